"""One face for the brokers that tests run on: librdkafka's mock cluster and a real Apache Kafka.

Owns what a test does to a broker besides running the poller on it: topics, records, a look at committed offsets.
Every look is a fresh client's, so that nothing of what a test's own client believes gets in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from datahub_poller.demo.broker import MockCluster

QUIET: Final = {"log_level": 0}
REQUEST: Final = 5.0
PATIENCE: Final = 60.0

Result = TypeVar("Result")


class Sent(NamedTuple):
    """A record as a test writes it. `timestamp` is in milliseconds since the epoch; 0 means now."""

    topic: str
    partition: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int = 0


class Committed(NamedTuple):
    """What a group has committed for a partition."""

    offset: int
    metadata: str


class Bed(Protocol):
    """A broker to test on. What waits, waits until the broker has it; what fails, raises."""

    kind: Literal["scripted", "mock", "kafka"]
    bootstrap: str
    consumer: dict[str, str | int]
    """Properties with which a consumer group is quick here."""

    def create_topic(self, name: str, partitions: int = 1) -> None: ...
    def delete_records(self, topic: str, partition: int, before: int) -> None: ...
    def produce(self, topic: str, partition: int, value: bytes | None, *, key: bytes | None = None) -> int: ...
    def produce_all(self, records: Iterable[Sent]) -> list[int]: ...
    def partitions(self, topic: str) -> list[int]: ...
    def committed(self, group: str, topic: str) -> dict[int, Committed]: ...
    def end_offsets(self, topic: str) -> dict[int, int]: ...


class _Clients:
    """What both kinds of broker are asked in the same way."""

    def __init__(self, bootstrap: str) -> None:
        self._base: dict[str, str | int] = {"bootstrap.servers": bootstrap, **QUIET}
        self._producer = Producer({**self._base, "message.timeout.ms": int(PATIENCE * 1000)})

    def produce_all(self, records: Iterable[Sent]) -> list[int]:
        sent: list[Message] = []
        errors: list[str] = []

        def delivered(error: object, message: Message) -> None:
            if error is None:
                sent.append(message)
            else:
                errors.append(str(error))

        order: list[tuple[str, int]] = []
        for record in records:
            order.append((record.topic, record.partition))
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                on_delivery=delivered,
                timestamp=record.timestamp,
                headers=list(record.headers),
            )
            self._producer.poll(0)
        left = self._producer.flush(PATIENCE)
        if left or errors:
            raise AssertionError(f"{left} records not delivered; {errors[:3]}")
        return _offsets_in_order(order, sent)

    def partitions(self, topic: str) -> list[int]:
        described = patiently(lambda: self._producer.list_topics(topic, timeout=REQUEST)).topics[topic]
        if described.error is not None:
            raise KafkaException(described.error)
        return sorted(described.partitions)

    def committed(self, group: str, topic: str) -> dict[int, Committed]:
        wanted = [TopicPartition(topic, partition) for partition in self.partitions(topic)]
        consumer = Consumer({**self._base, "group.id": group, "enable.auto.commit": False})
        try:
            found = patiently(lambda: _without_errors(consumer.committed(wanted, timeout=REQUEST)))
        finally:
            consumer.close()
        return {p.partition: Committed(p.offset, p.metadata or "") for p in found if p.offset != OFFSET_INVALID}

    def end_offsets(self, topic: str) -> dict[int, int]:
        consumer = Consumer({**self._base, "group.id": "looks-only", "enable.auto.commit": False})
        try:
            return {partition: _end(consumer, topic, partition) for partition in self.partitions(topic)}
        finally:
            consumer.close()


class MockBed(_Clients):
    """The mock cluster, with faults to order through `cluster`.

    It drops what exceeds 5 MiB in a partition, knows no admin requests and no offsets by time, and takes no
    notice of transactions.
    """

    kind: Literal["mock"] = "mock"

    def __init__(self, cluster: MockCluster) -> None:
        cluster.rebalance_delay(100)
        self.cluster = cluster
        self.bootstrap = cluster.bootstrap
        # It waits out the whole fetch wait even when records come, and a rebalance takes about a session timeout.
        self.consumer: dict[str, str | int] = {
            "fetch.wait.max.ms": 10,
            "session.timeout.ms": 2000,
            "heartbeat.interval.ms": 300,
        }
        super().__init__(cluster.bootstrap)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        self.cluster.create_topic(name, partitions)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        self.cluster.delete_records(topic, partition, before)

    def produce(self, topic: str, partition: int, value: bytes | None, *, key: bytes | None = None) -> int:
        return self.produce_all([Sent(topic, partition, value, key)])[0]


class KafkaBed(_Clients):
    """A real Apache Kafka, ours or one that KAFKA_BOOTSTRAP names."""

    kind: Literal["kafka"] = "kafka"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.consumer: dict[str, str | int] = {
            "fetch.wait.max.ms": 100,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
        }
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
        super().__init__(bootstrap)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        # Kept for ever: a record's time is the test's business, and an old one would make it go at once.
        topic = NewTopic(name, partitions, config={"retention.ms": "-1"})
        self._admin.create_topics([topic])[name].result(PATIENCE)
        self._wait_for_leaders(name, partitions)

    def add_partitions(self, name: str, total: int) -> None:
        """Let a topic have `total` partitions."""
        self._admin.create_partitions([NewPartitions(name, total)])[name].result(PATIENCE)
        self._wait_for_leaders(name, total)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        where = TopicPartition(topic, partition, before)
        next(iter(self._admin.delete_records([where]).values())).result(PATIENCE)

    def produce(self, topic: str, partition: int, value: bytes | None, *, key: bytes | None = None) -> int:
        return self.produce_all([Sent(topic, partition, value, key)])[0]

    def _wait_for_leaders(self, topic: str, partitions: int) -> None:
        def led() -> bool:
            # Asked by the producer, which goes by what it knows of a topic.
            described = self._producer.list_topics(topic, timeout=REQUEST).topics[topic].partitions
            return len(described) == partitions and all(p.error is None and p.leader > 0 for p in described.values())

        eventually(led, f"{topic} has no leaders for {partitions} partitions")


def eventually(condition: Callable[[], bool], problem: str, patience: float = PATIENCE) -> None:
    """Return when the condition holds; AssertionError with the problem when it never does."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"{problem} (waited {patience:.0f} s)")
        time.sleep(0.02)


def patiently(ask: Callable[[], Result], patience: float = PATIENCE) -> Result:
    """The answer to a question that a broker may not be ready for yet (no coordinator, no leader)."""
    until = time.monotonic() + patience
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _without_errors(partitions: list[TopicPartition]) -> list[TopicPartition]:
    for partition in partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return partitions


def _end(consumer: Consumer, topic: str, partition: int) -> int:
    asked = TopicPartition(topic, partition)
    return patiently(lambda: consumer.get_watermark_offsets(asked, timeout=REQUEST))[1]


def _offsets_in_order(order: list[tuple[str, int]], sent: list[Message]) -> list[int]:
    """Delivery reports of a partition come in the order of production, those of different ones as they like."""
    queues: dict[tuple[str, int], list[int]] = {}
    for message in sent:
        queues.setdefault((message.topic() or "", message.partition() or 0), []).append(message.offset() or 0)
    rest = {where: iter(offsets) for where, offsets in queues.items()}
    return [next(rest[where]) for where in order]
