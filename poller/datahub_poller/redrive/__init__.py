"""`dead-letters redrive`: dead letters are handed out again, to the handler, to a file or to a topic."""
