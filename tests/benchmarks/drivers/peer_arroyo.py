"""Arroyo: decode each message, gather a batch, hand it on, commit at once.

Its processor reads one topic; the consumer's `subscribe` is widened here so that it reads all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arroyo.backends.kafka import KafkaConsumer
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.commit import IMMEDIATE
from arroyo.processing.processor import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, RunTask
from arroyo.processing.strategies.abstract import ProcessingStrategyFactory
from arroyo.processing.strategies.batching import BatchStep
from arroyo.types import Commit, Message, Partition, Topic
from decoding import Decoder
from meter import Meter, settings

RUN = settings()
DECODE = Decoder(RUN.registry)
METER = Meter(RUN)


def decoded(message: Message[Any]) -> Any:
    METER.begin()
    return DECODE(message.payload.value)


def handled(message: Message[Any]) -> Any:
    METER.add(len(message.payload))
    return message.payload


class Factory(ProcessingStrategyFactory[Any]):
    def create_with_partitions(self, commit: Commit, partitions: Mapping[Partition, int]) -> Any:
        return RunTask(decoded, BatchStep(RUN.batch, 1.0, RunTask(handled, CommitOffsets(commit))))


class AllTopics(KafkaConsumer):
    def subscribe(self, topics: Any, *arguments: Any, **more: Any) -> None:
        super().subscribe([Topic(name) for name in RUN.topics], *arguments, **more)


def main() -> None:
    configuration = build_kafka_consumer_configuration(
        {}, bootstrap_servers=[RUN.bootstrap], auto_offset_reset="earliest", group_id=RUN.group
    )
    processor = StreamProcessor(AllTopics(configuration), Topic(RUN.topics[0]), Factory(), IMMEDIATE, join_timeout=5.0)
    processor.run()


if __name__ == "__main__":
    main()
