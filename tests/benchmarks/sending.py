"""Puts events onto the broker: at once, or held back until everybody may read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import Producer, TopicPartition

FLUSH_SECONDS: Final = 120.0
FULL_SECONDS: Final = 0.05
OPEN_SECONDS: Final = 300.0


class Sending:
    """A producer that forgets no failure: `flush` raises RuntimeError where an event has not arrived."""

    def __init__(self, bootstrap: str, settings: Mapping[str, str | int]) -> None:
        base: dict[str, str | int] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._producer = Producer({**base, **settings})
        self._failed: list[str] = []

    def send(self, where: TopicPartition, key: bytes, value: bytes) -> None:
        """Hand an event over, waiting while the client's queue is full."""
        while True:
            try:
                self._producer.produce(where.topic, value, key, where.partition, on_delivery=self._told)
            except BufferError:
                self._producer.poll(FULL_SECONDS)
            else:
                self._producer.poll(0)
                return

    def flush(self) -> None:
        """Return when all have arrived."""
        left = self._producer.flush(FLUSH_SECONDS)
        if left or self._failed:
            raise RuntimeError(f"{left} events were not produced; {self._failed[:3]}")

    def _told(self, error: object, _: object) -> None:
        if error is not None:
            self._failed.append(str(error))


class HeldBack(Sending):
    """What is sent lies in a transaction: consumers get nothing of it until `release`, as they do unless told."""

    def __init__(self, bootstrap: str, name: str) -> None:
        super().__init__(bootstrap, {"transactional.id": name, "transaction.timeout.ms": int(1000 * OPEN_SECONDS)})
        self._producer.init_transactions(FLUSH_SECONDS)
        self._producer.begin_transaction()

    def release(self) -> None:
        """Everybody may read all of it from now on."""
        self._producer.commit_transaction(FLUSH_SECONDS)
