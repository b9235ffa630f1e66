"""datahub-poller: DataHub's change events from Kafka to a function, in batches, at least once, in order."""

__version__ = "0.1.0"
