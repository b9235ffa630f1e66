"""Dead letters: the letter itself, and the sinks that keep it. A write returns only when it is durable."""
