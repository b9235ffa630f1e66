"""Quix Streams with its own Avro deserializer. It calls nobody with a batch: a sink that it flushes stands in."""

from __future__ import annotations

from typing import Any

from meter import Meter, settings
from quixstreams import Application
from quixstreams.models.serializers.avro import AvroDeserializer
from quixstreams.models.serializers.schema_registry import SchemaRegistryClientConfig
from quixstreams.sinks import BatchingSink, SinkBatch

RUN = settings()
METER = Meter(RUN)


class Counting(BatchingSink):
    def write(self, batch: SinkBatch) -> None:
        METER.add(batch.size)


def seen(value: Any) -> Any:
    METER.begin()
    return value


def main() -> None:
    application = Application(
        broker_address=RUN.bootstrap,
        consumer_group=RUN.group,
        auto_offset_reset="earliest",
        commit_every=RUN.batch,
        commit_interval=5.0,
        loglevel="WARNING",
        auto_create_topics=False,
        use_changelog_topics=False,
    )
    sink = Counting()
    registry = SchemaRegistryClientConfig(url=RUN.registry)
    for name in RUN.topics:
        reader = AvroDeserializer(schema_registry_client_config=registry)
        topic = application.topic(name, value_deserializer=reader, key_deserializer="bytes")
        application.dataframe(topic).apply(seen).sink(sink)
    application.run()


if __name__ == "__main__":
    main()
