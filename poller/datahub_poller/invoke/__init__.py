"""Targets: how one batch reaches a handler. Each blocks in a worker thread and knows only values and error kinds."""
