"""The consumer in a group: the only importer of confluent_kafka's clients."""
