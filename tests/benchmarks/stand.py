"""What every run reads from: one real Apache Kafka, a registry, and topics with the same events for everybody.

Owns them and how a group's progress is looked at. Topics are produced once for each framing and number of events.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.corpus import (
    GLUE_IDS,
    SCHEMA_IDS,
    TOPICS,
    Corpus,
    Framing,
    cycled,
    framed,
    partition_of,
)
from datahub_poller.demo.registry import RegistryServer
from kafka.cluster import KafkaCluster
from support.brokers import KafkaBed, patiently

PARTITIONS: Final = 2
FLUSH_SECONDS: Final = 120.0
FULL_SECONDS: Final = 0.05


class Loaded(NamedTuple):
    """Topics with events in them, by the names that DataHub gives them; and where each partition ends."""

    names: dict[str, str]
    ends: dict[TopicPartition, int]

    def of(self, topics: tuple[str, ...]) -> Loaded:
        """Some of them."""
        names = {topic: self.names[topic] for topic in topics}
        chosen = set(names.values())
        return Loaded(names, {where: end for where, end in self.ends.items() if where.topic in chosen})

    @property
    def events(self) -> int:
        return sum(self.ends.values())


class Stand:
    """The broker at `bootstrap` and the registry at `registry`, which speaks Confluent's API and Glue's."""

    def __init__(self, bootstrap: str, registry: RegistryServer, corpus: Corpus) -> None:
        self.bootstrap = bootstrap
        self.registry = registry.url
        self._corpus = corpus
        self._bed = KafkaBed(bootstrap)
        self._loaded: dict[tuple[Framing, int], Loaded] = {}
        for name, text in corpus.schemas.items():
            for topic in TOPICS:
                registry.put(SCHEMA_IDS[name], text, subject=f"{topic}-value")
            registry.put_version(str(GLUE_IDS[name]), text)

    def loaded(self, framing: Framing, count: int) -> Loaded:
        """Topics with so many events, produced when they are first asked for."""
        known = self._loaded.get((framing, count))
        if known is None:
            known = self._loaded[framing, count] = self._produced(framing, count)
        return known

    def _produced(self, framing: Framing, count: int) -> Loaded:
        prefix = "" if not self._loaded else f"{framing}.{count}."
        names = {topic: f"{prefix}{topic}" for topic in TOPICS}
        for name in names.values():
            self._bed.create_topic(name, PARTITIONS)
        values = [framed(entry, framing) for entry in self._corpus.entries[:count]]
        ends: Counter[TopicPartition] = Counter()
        failed: list[str] = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0, "linger.ms": 20})
        for number, entry in enumerate(cycled(self._corpus.entries, count)):
            where = TopicPartition(names[entry.topic], partition_of(entry.key, PARTITIONS))
            _send(producer, where, entry.key, values[number % len(values)], failed)
            ends[where] += 1
        left = producer.flush(FLUSH_SECONDS)
        if left or failed:
            raise RuntimeError(f"{left} events were not produced; {failed[:3]}")
        return Loaded(names, dict(ends))

    @contextlib.contextmanager
    def watched(self, group: str, loaded: Loaded) -> Iterator[Callable[[], int]]:
        """How many events the group has committed so far, asked of the broker each time."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "log_level": 0})
        wanted = list(loaded.ends)
        try:
            yield lambda: sum(max(0, each.offset) for each in patiently(lambda: consumer.committed(wanted, timeout=5)))
        finally:
            consumer.close()


def _send(producer: Producer, where: TopicPartition, key: bytes, value: bytes, failed: list[str]) -> None:
    def told(error: object, _: object) -> None:
        if error is not None:
            failed.append(str(error))

    while True:
        try:
            producer.produce(where.topic, value, key, where.partition, on_delivery=told)
        except BufferError:
            producer.poll(FULL_SECONDS)
        else:
            producer.poll(0)
            return


@contextlib.contextmanager
def stand(libs: Path, directory: Path, corpus: Corpus) -> Iterator[tuple[Stand, str]]:
    """A broker of these jars and a registry, and which Kafka it is."""
    jars = [path.stem.removeprefix("kafka-clients-") for path in libs.glob("kafka-clients-*.jar")]
    with KafkaCluster(libs, directory, heap="512m") as cluster, RegistryServer() as registry:
        yield Stand(cluster.bootstrap, registry, corpus), f"Apache Kafka {', '.join(jars)}"
