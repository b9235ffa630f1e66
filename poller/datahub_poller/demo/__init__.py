"""The demonstration: an embedded broker, registries on loopback and sample events for the real poller."""
