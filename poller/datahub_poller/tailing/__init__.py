"""`tail`: an action's events as a handler would get them, read beside its consumer group."""
