"""What an operator sees: log lines, the status snapshot and the loopback port that serves it."""
