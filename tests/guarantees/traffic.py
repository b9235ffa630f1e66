"""What is produced in a run: events of several hundred keys on two topics, some of which cannot be handled or read.

Sent by an idempotent producer that outlasts broken brokers. What became of them is read from the topics' logs later,
so nothing is counted here but what was asked for.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from datahub_poller.demo import samples

KEYS: Final = 400
POOL: Final = 60
PLATFORM_SCHEMA: Final = 4
CHANGE_LOG_SCHEMA: Final = 2
SCHEMAS: Final[Mapping[str, tuple[int, samples.SchemaName]]] = {
    "pe": (PLATFORM_SCHEMA, "PlatformEvent"),
    "mcl": (CHANGE_LOG_SCHEMA, "MetadataChangeLog"),
}
FLUSH_SECONDS: Final = 90.0


class Mix(NamedTuple):
    """The shares of what the handler fails on, and of what is no event; the rest is good."""

    poison: float = 0.003
    junk: float = 0.003


def bodies(route: str) -> list[bytes]:
    """Avro records of a route's topic, without framing. They need not differ much: a record is known by its place."""
    made = []
    for number in range(POOL):
        urn = f"urn:li:dataset:(urn:li:dataPlatform:hive,db.t{number},PROD)"
        stamp = {"time": 1_770_000_000_000 + number, "actor": "urn:li:corpuser:jdoe"}
        if route == "pe":
            event = {"entityUrn": urn, "entityType": "dataset", "category": "TAG", "operation": "ADD"}
            made.append(samples.entity_change(event | {"auditStamp": stamp, "version": 0}).body)
        else:
            made.append(samples.metadata_change_log(urn, "status", {"removed": False}, created=stamp).body)
    return made


class Traffic(threading.Thread):
    """`total` events at about `rate` a second, or until `end`. `topics` are by route; `schemas` may change."""

    def __init__(
        self,
        bootstrap: str,
        topics: Mapping[str, str],
        chance: random.Random,
        *,
        rate: float,
        total: int | None = None,
        mix: Mix = Mix(),  # noqa: B008 - a tuple
    ) -> None:
        super().__init__(name="traffic", daemon=True)
        self.schemas = {route: SCHEMAS[route][0] for route in topics}
        self.asked = 0
        self.paused = False
        self._topics = dict(topics)
        self._bodies = {route: bodies(route) for route in topics}
        self._chance = chance
        self._rate = rate
        self._total = total
        self._mix = mix
        self._done = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "enable.idempotence": True,
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "message.timeout.ms": int(FLUSH_SECONDS * 1000),
                "topic.metadata.refresh.interval.ms": 1000,
            }
        )

    def run(self) -> None:
        began = time.monotonic()
        paused = 0.0
        while not self._done.is_set() and (self._total is None or self.asked < self._total):
            self._producer.poll(0)
            wanted = (time.monotonic() - began - paused) * self._rate
            if self.paused or self.asked >= wanted:
                self._done.wait(0.01)
                paused += 0.01 if self.paused else 0.0
                continue
            self._send(self._chance.choice(sorted(self._topics)))

    def _send(self, route: str) -> None:
        kind, value = self._made(route)
        key = f"{kind}-k{self._chance.randrange(KEYS)}".encode()
        try:
            self._producer.produce(self._topics[route], value, key)
        except BufferError:  # the brokers are away for long
            self._done.wait(0.1)
            return
        except KafkaException:  # the topic is on its way out
            self._done.wait(0.1)
            return
        self.asked += 1

    def _made(self, route: str) -> tuple[str, bytes]:
        draw = self._chance.random()
        body = self._chance.choice(self._bodies[route])
        framed = samples.confluent_frame(self.schemas[route], body)
        if draw < self._mix.junk:
            return "junk", self._chance.choice((framed[:5] + body[: len(body) // 2], b"\x07" + framed, b"", framed[:3]))
        return ("poison" if draw < self._mix.junk + self._mix.poison else "good"), framed

    def end(self) -> None:
        """Stop, and wait until the brokers have all of it. AssertionError where they never take it."""
        self._done.set()
        self.finish()

    def finish(self) -> None:
        """Wait until all is produced, and the brokers have it."""
        self.join()
        left = self._producer.flush(FLUSH_SECONDS)
        assert left == 0, f"{left} events were not taken by the brokers"
