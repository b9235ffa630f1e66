"""What every run reads from: one real Apache Kafka, a registry, and topics with the same events for everybody.

Owns them and how a group's progress is looked at. Topics are produced once for each framing and number of events,
but for those whose events are held back: these are read by one run.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from benchmarks.corpus import GLUE_IDS, SCHEMA_IDS, TOPICS, Corpus, Framing, cycled, framed, partition_of
from benchmarks.sending import HeldBack, Sending
from benchmarks.tansu import SESSION_MS, tansu
from datahub_poller.demo.registry import RegistryServer
from kafka.cluster import KafkaCluster
from support.brokers import KafkaBed, eventually, patiently

PARTITIONS: Final = 2
"""Of each topic."""
JOINING_MS: Final = 1000
"""How long a new group waits for more members: three seconds unless a broker is told otherwise, and nothing in tests.
What a consumer imports while it joins is no part of reading, here as there."""
ANSWER_SECONDS: Final = 5.0


class Loaded(NamedTuple):
    """Topics with events in them, by the names that DataHub gives them; and where each partition ends.

    `passing` is how many of the events a filter lets through; None without a filter.
    """

    names: dict[str, str]
    ends: dict[TopicPartition, int]
    passing: int | None = None

    def of(self, topics: tuple[str, ...]) -> Loaded:
        """Some of them."""
        names = {topic: self.names[topic] for topic in topics}
        chosen = set(names.values())
        return Loaded(names, {where: end for where, end in self.ends.items() if where.topic in chosen})

    @property
    def events(self) -> int:
        return sum(self.ends.values())

    @property
    def handled(self) -> int:
        """How many of them a handler gets."""
        return self.events if self.passing is None else self.passing


class Stand:
    """The broker at `bootstrap` and the registry at `registry`, which speaks Confluent's API and Glue's.

    `broker` is the broker's process id; `session_ms` the session of every group, None for the client's own.
    """

    def __init__(
        self, bootstrap: str, broker: int, registry: RegistryServer, corpus: Corpus, session_ms: int | None = None
    ) -> None:
        self.bootstrap = bootstrap
        self.broker = broker
        self.session_ms = session_ms
        self.registry = registry.url
        self.corpus = corpus
        self._bed = KafkaBed(bootstrap)
        self._loaded: dict[tuple[Framing, int], Loaded] = {}
        self._made = 0
        for name, text in corpus.schemas.items():
            for topic in TOPICS:
                registry.put(SCHEMA_IDS[name], text, subject=f"{topic}-value")
            registry.put_version(str(GLUE_IDS[name]), text)

    def topics(self, partitions: Sequence[int] = (PARTITIONS,) * len(TOPICS)) -> dict[str, str]:
        """New ones, with so many partitions each, by the names that DataHub gives them."""
        prefix = f"{self._made}." if self._made else ""
        self._made += 1
        names = {topic: f"{prefix}{topic}" for topic in TOPICS}
        for name, count in zip(names.values(), partitions, strict=True):
            self._bed.create_topic(name, count)
        self._wait_for_leaders(zip(names.values(), partitions, strict=True))
        return names

    def _wait_for_leaders(self, topics: Iterable[tuple[str, int]]) -> None:
        """A leader may be told before it knows that it is one: who begins then is sent away for seconds."""
        wanted = [TopicPartition(name, number, 0) for name, count in topics for number in range(count)]
        with self._looking("looks-only") as consumer:

            def led() -> bool:
                found = patiently(lambda: consumer.offsets_for_times(wanted, timeout=ANSWER_SECONDS))
                return all(each.error is None for each in found)

            eventually(led, f"{len(wanted)} partitions have no leaders")

    def loaded(self, framing: Framing, count: int) -> Loaded:
        """Topics with so many events, produced when they are first asked for."""
        known = self._loaded.get((framing, count))
        if known is None:
            sending = Sending(self.bootstrap, {"linger.ms": 20})
            known = self._loaded[framing, count] = self._filled(sending, framing, count)
        return known

    def held_back(self, framing: Framing, count: int) -> tuple[Loaded, Callable[[], None]]:
        """New topics with so many events that nobody can read, and what lets everybody read them."""
        sending = HeldBack(self.bootstrap, f"held-back-{self._made}")
        return self._filled(sending, framing, count), sending.release

    def _filled(self, sending: Sending, framing: Framing, count: int) -> Loaded:
        names = self.topics()
        values = [framed(entry, framing) for entry in self.corpus.entries[:count]]
        ends: Counter[TopicPartition] = Counter()
        for number, entry in enumerate(cycled(self.corpus.entries, count)):
            where = TopicPartition(names[entry.topic], partition_of(entry.key, PARTITIONS))
            sending.send(where, entry.key, values[number % len(values)])
            ends[where] += 1
        sending.flush()
        return Loaded(names, dict(ends))

    @contextlib.contextmanager
    def watched(self, group: str, loaded: Loaded) -> Iterator[Callable[[], int]]:
        """How many events the group has committed so far, asked of the broker each time."""
        wanted = list(loaded.ends)
        with self._looking(group) as consumer:

            def committed() -> int:
                found = patiently(lambda: consumer.committed(wanted, timeout=ANSWER_SECONDS))
                # A transaction's end stands in the log too, behind its last event.
                return sum(min(max(0, each.offset), loaded.ends[each]) for each in found)

            yield committed

    @contextlib.contextmanager
    def _looking(self, group: str) -> Iterator[Consumer]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "log_level": 0})
        try:
            yield consumer
        finally:
            consumer.close()


@contextlib.contextmanager
def stand(
    libs: Path | None, directory: Path, corpus: Corpus, environ: Mapping[str, str]
) -> Iterator[tuple[Stand, str]]:
    """A broker of these jars, or Tansu where there are none, and a registry; and which broker it is."""
    if libs is None:
        with tansu(environ, directory) as (bootstrap, pid), RegistryServer() as registry:
            yield Stand(bootstrap, pid, registry, corpus, SESSION_MS), "Tansu"
        return
    jars = [path.stem.removeprefix("kafka-clients-") for path in libs.glob("kafka-clients-*.jar")]
    with (
        KafkaCluster(libs, directory, heap="512m", rebalance_delay_ms=JOINING_MS) as cluster,
        RegistryServer() as registry,
    ):
        (broker,) = cluster._running.values()
        yield Stand(cluster.bootstrap, broker.pid, registry, corpus), f"Apache Kafka {', '.join(jars)}"
