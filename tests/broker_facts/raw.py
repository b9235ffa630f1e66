"""A bare consumer in a group, and what its callbacks were told, in order.

Owns nothing of what the poller does: no decisions, no commits of its own. What confluent-kafka does by default is
left to it, so that what a test sees is the client's doing and the broker's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

RANGE: Final = {"partition.assignment.strategy": "range"}
COOPERATIVE: Final = {"partition.assignment.strategy": "cooperative-sticky"}
KIP_848: Final = {"group.protocol": "consumer"}

Told = tuple[str, list[int]]


class Answer(NamedTuple):
    """A commit's answer by callback: the error for the whole of it, and for each partition, by their codes' names."""

    error: str | None
    partitions: dict[int, str | None]
    at: float


class Raw:
    """A consumer of one topic, turned by the test. `told` is what callbacks said, by partition number."""

    def __init__(self, bootstrap: str, group: str, topic: str, protocol: Mapping[str, Any] = RANGE, **more: Any):
        timing = {} if protocol == KIP_848 else {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 200}
        properties = {name.replace("_", "."): value for name, value in more.items()}
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "log_level": 0,
                "on_commit": self._on_commit,
                "error_cb": lambda error: self.errors.append(error.name()),
                **timing,
                **protocol,
                **properties,
            }
        )
        self.topic = topic
        self.told: list[Told] = []
        self.owned: set[int] = set()
        self.records: list[tuple[int, int]] = []
        self.values: list[bytes] = []
        self.message_errors: list[tuple[str, int | None]] = []
        self.errors: list[str] = []
        self.answers: list[Answer] = []
        self.on_revoke: Callable[[list[int]], None] = lambda _: None

    def join(self) -> Self:
        """Subscribe; being assigned takes turns."""
        self.consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        return self

    def turn(self, limit: int = 500, timeout: float = 0.02) -> list[Message]:
        """One `consume`; gives the records that it brought."""
        came = []
        for message in self.consumer.consume(limit, timeout):
            if message.error() is not None:
                self.message_errors.append((message.error().name(), message.partition()))
            else:
                came.append(message)
                self.records.append((message.partition(), message.offset()))
                self.values.append(message.value())
        return came

    def offsets(self, partition: int = 0) -> list[int]:
        """The offsets received of a partition, in the order in which they came."""
        return [offset for number, offset in self.records if number == partition]

    def at(self, partition: int = 0, offset: int = OFFSET_INVALID, metadata: str = "") -> TopicPartition:
        """A place in the topic."""
        return TopicPartition(self.topic, partition, offset, metadata=metadata)

    def commit(self, offsets: Mapping[int, int]) -> dict[int, str | None]:
        """Commit and wait. Gives each partition's error, by name; where it raised, that error under -1."""
        try:
            found = self.consumer.commit(offsets=[self.at(p, o) for p, o in offsets.items()], asynchronous=False)
        except KafkaException as error:
            return {-1: error.args[0].name()}
        return {each.partition: name(each.error) for each in found}

    def send_commit(self, offsets: Mapping[int, int]) -> None:
        """Commit without waiting; `answers` gets what came of it, in a turn."""
        self.consumer.commit(offsets=[self.at(p, o) for p, o in offsets.items()], asynchronous=True)

    def close(self) -> None:
        self.consumer.close()

    def _assigned(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self.told.append(("assign", _numbers(partitions)))
        self.owned |= set(_numbers(partitions))

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self.told.append(("revoke", _numbers(partitions)))
        self.on_revoke(_numbers(partitions))
        self.owned -= set(_numbers(partitions))

    def _lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self.told.append(("lost", _numbers(partitions)))
        self.owned -= set(_numbers(partitions))

    def _on_commit(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        found = {each.partition: name(each.error) for each in partitions}
        self.answers.append(Answer(name(error), found, time.monotonic()))

    def __repr__(self) -> str:
        return (
            f"<Raw {sorted(self.owned)} told {self.told[-6:]} {len(self.records)} records {self.message_errors[-3:]}>"
        )


def name(error: KafkaError | None) -> str | None:
    """An error by its code's name."""
    return None if error is None else error.name()


def until(condition: Callable[[], object], *members: Raw, patience: float = 40.0) -> float:
    """Turn the members until the condition holds; how many seconds it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() > began + patience:
            raise AssertionError(f"not within {patience:.0f} s: {members}")
        for member in members:
            member.turn()
    return time.monotonic() - began


def drive(seconds: float, *members: Raw) -> None:
    """Turn the members for a while in which something must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for member in members:
            member.turn()


def _numbers(partitions: Sequence[TopicPartition]) -> list[int]:
    return sorted(each.partition for each in partitions)
