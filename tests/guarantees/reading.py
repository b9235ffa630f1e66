"""Reading a broker's logs to their ends, from outside of any group. What was read is others' to understand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition


@contextmanager
def reader(bootstrap: str) -> Iterator[Consumer]:
    """A consumer that joins no group, reads committed records only, and never begins elsewhere than it was told."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "group.id": "reads-only",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def to_the_ends(consumer: Consumer, where: Sequence[KafkaPartition], until: float) -> Iterator[Message]:
    """The records from these offsets on, until the end of each partition. TimeoutError where that is not in time.

    Raises KafkaException where retention took the beginning meanwhile: ask again.
    """
    left = {(each.topic, each.partition) for each in where}
    consumer.assign(list(where))
    while left:
        if time.monotonic() > until:
            raise TimeoutError(f"not read to their ends in time: {sorted(left)}")
        found: list[Any] = consumer.consume(10_000, 0.2)  # the stubs allow for messages without a place
        for message in found:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard((message.topic(), message.partition()))
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise KafkaException(error)
