"""Random histories of a group's beginning on a real Kafka, with wrong clocks, judged by the oracles.

A history is short: records, one to three pollers that start at one moment (some killed at once), then records,
partitions, a topic, kills, stops and starts in any order. What is owed is known from outside: what the logs hold from
the group's first commit on, and everything of partitions that came later.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.demo import samples
from datahub_poller.demo.registry import RegistryServer
from datahub_poller.model import TopicPartition
from guarantees import gather, group_log, oracles, recording
from guarantees.cells import COMPACTED
from guarantees.processes import Processes
from guarantees.setting import Setting, action_file
from guarantees.topics import Topics
from guarantees.trace import Commit, Due, Limits, Trace
from guarantees.traffic import SCHEMAS, bodies
from support.recorded import Place

HOUR_MS: Final = 3_540_000
CLOCKS: Final = (-HOUR_MS, 0, HOUR_MS, None)
"""What producers' clocks are off by, in milliseconds; None: their records have no time at all."""
NO_TIME: Final = -1
PATIENCE: Final = 60.0
SLOTS: Final = ("a", "b", "c")
JUDGES: Final = tuple(name for name in oracles.ORACLES if name != "BoundedDuplicates")
"""Members come and go amid each other's rebalances, where a group refuses last commits: repeats are for the cells."""


class Shape(NamedTuple):
    """What of a history is decided before it begins."""

    protocol: Any
    partitions: int
    append_time: bool
    """Whether the broker stamps the records."""
    absent: bool
    """Whether one of the two topics does not exist yet."""
    taken_over: bool
    """Whether another tool has committed for partition 0, and for nothing else."""
    members: int
    compacted: bool
    """Whether the topics are compacted; their keys come again then."""


def shape_of(chance: random.Random) -> Shape:
    return Shape(
        protocol=chance.choice(("range", "cooperative", "kip-848")),
        partitions=chance.randint(1, 4),
        append_time=chance.random() < 0.25,
        absent=chance.random() < 0.4,
        taken_over=chance.random() < 0.2,
        members=chance.randint(1, 3),
        compacted=chance.random() < 0.2,
    )


class Told(NamedTuple):
    """What came of a history."""

    events: int
    owed: int
    processes: int
    killed: int
    partitions_added: int


class History:
    """One group with topics of its own. `directory` keeps all that it leaves behind."""

    def __init__(self, bootstrap: str, directory: Path, name: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.shape = shape_of(self.chance)
        self.directory = directory
        self.name = name
        self.bootstrap = bootstrap
        self.added = 0
        names = {route: f"{name}-{route}" for route in SCHEMAS}
        settings = dict(COMPACTED) if self.shape.compacted else {}
        if self.shape.append_time:
            settings["message.timestamp.type"] = "LogAppendTime"
        self.topics = Topics(bootstrap, name, names, self.shape.partitions, settings)
        self.there = ["mcl"] if self.shape.absent else ["mcl", "pe"]
        self.processes = Processes(directory, lambda _: False)
        self.registry = RegistryServer()
        for number, schema in SCHEMAS.values():
            self.registry.put(number, samples.schema_text(schema))
        self._bodies = {route: bodies(route) for route in SCHEMAS}
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 1})
        self._sent = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """The registry and the topics are there; whatever runs is killed in the end."""
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording.__file__, self.directory / "recording.py")
        self.registry.start()
        try:
            for route in self.there:
                self.topics.create(route)
            (self.directory / "action.json").write_text(json.dumps(self._action()))
            yield
        finally:
            self.processes.end()
            self.registry.stop()
            self.topics.close()

    def _action(self) -> dict[str, Any]:
        changes = {"source/config/start": "latest", "batch/window": "10ms"}
        return action_file(
            Setting(protocol=self.shape.protocol, deadline=5.0, changes=changes),
            self.name,
            bootstrap=self.bootstrap,
            registry=self.registry.url,
            topics=self.topics.names,
            letters=str(self.directory / "letters"),
            way_in={},
        )

    # -- what happens

    def produce(self) -> None:
        """Some records for each partition of a topic, by a clock that is right or wrong."""
        route, clock = self.chance.choice(self.there), self.chance.choice(CLOCKS)
        for number in self.ends(route):
            for _ in range(self.chance.randint(0, 4)):
                at = NO_TIME if clock is None else int(time.time() * 1000) + clock
                value = samples.confluent_frame(SCHEMAS[route][0], self.chance.choice(self._bodies[route]))
                self._send(self.topics.names[route], value, number, at)
                self._sent += 1
        assert self._producer.flush(PATIENCE) == 0

    def _send(self, topic: str, value: bytes, partition: int, at: int) -> None:
        def taken() -> bool:
            self._producer.list_topics(topic, timeout=5.0)  # it goes by what it knows of a topic
            key = self._sent % 5 if self.shape.compacted else self._sent
            self._producer.produce(topic, value, f"good-{key}", partition, timestamp=at)
            return True

        self.topics.patiently(taken, f"{topic}-{partition} cannot be written to")

    def grow(self) -> None:
        """A partition more, and records."""
        route = self.chance.choice(self.there)
        count = len(self.ends(route))
        self.topics.grow(route, count + 1)
        self.topics.patiently(lambda: len(self.topics.ends(route) or ()) == count + 1, "no new partition")
        self.added += 1
        self.produce()

    def make(self) -> None:
        """The topic that was not there yet, and records."""
        if "pe" not in self.there:
            self.topics.create("pe")
            self.there.append("pe")
        self.produce()

    def start(self) -> None:
        """A process, if there is a place for it."""
        self.reap()
        if free := [slot for slot in SLOTS if slot not in self.processes.running()]:
            self.processes.start(free[0], self.directory / "action.json", ("-m", "datahub_poller"), {})

    def kill(self) -> None:
        """kill -9 of one."""
        self.reap()
        if running := self.processes.running():
            self.processes.kill(self.chance.choice(running))

    def stop(self) -> None:
        """SIGTERM for one."""
        self.reap()
        if running := self.processes.running():
            self.processes.stop(self.chance.choice(running))

    def reap(self) -> None:
        assert not self.processes.reap(), self.processes.unexpected

    def ends(self, route: str) -> dict[int, int]:
        found: list[dict[int, int]] = []
        self.topics.patiently(lambda: found.append(self.topics.ends(route) or {}) or found[-1], f"{route} has no ends")
        return found[-1]

    def all_ends(self) -> dict[TopicPartition, int]:
        return {TopicPartition(self.topics.names[r], n): end for r in self.there for n, end in self.ends(r).items()}

    def pause(self, longest: float) -> None:
        time.sleep(self.chance.uniform(0.0, longest))

    def await_commits(self) -> None:
        """Return when a poller has committed for every partition: the group has begun."""
        wanted = {(tp.topic, tp.partition) for tp in self.all_ends()}

        def begun() -> bool:
            self.reap()
            return wanted <= self._committed("datahub-poller").keys()

        self.topics.patiently(begun, "the group has not begun", PATIENCE)

    def drain(self) -> None:
        """Return when every partition is committed to its end."""

        def done() -> bool:
            self.reap()
            committed = self._committed()
            return all(committed.get((tp.topic, tp.partition), -1) >= end for tp, end in self.all_ends().items())

        try:
            self.topics.patiently(done, "not drained", PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._committed()} of {self.all_ends()}") from error

    def _committed(self, beside: str = "") -> Mapping[tuple[str, int], int]:
        looker = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "log_level": 0})
        try:
            asked = [KafkaPartition(tp.topic, tp.partition) for tp in self.all_ends()]
            found = looker.committed(asked, timeout=5.0)
        finally:
            looker.close()
        said = [each for each in found if each.offset >= 0 and beside in (each.metadata or "")]
        return {(each.topic, each.partition): each.offset for each in said}

    def cut(self) -> dict[TopicPartition, int]:
        """Retention takes the beginnings of some partitions; where their logs begin then. Not of compacted topics."""
        lows = {}
        for tp, end in self.all_ends().items():
            if end and not self.shape.compacted and self.chance.random() < 0.3:
                route = next(route for route, name in self.topics.names.items() if name == tp.topic)
                lows[tp] = self.chance.randint(1, end)
                self.topics.delete_records(route, tp.partition, lows[tp])
        return lows

    def take_over(self) -> None:
        """As DataHub Actions leaves a group: a commit for the partition that had events."""
        tool = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "log_level": 0})
        end = self.ends("mcl")[0]
        tool.commit(offsets=[KafkaPartition(self.topics.names["mcl"], 0, end)], asynchronous=False)
        tool.close()

    # -- the end

    def trace(self) -> Trace:
        """As everybody but the pollers tells it. `due` is all that the logs hold."""
        log = group_log.read_group(self.bootstrap, self.name)
        names = [self.topics.names[route] for route in self.there]
        return Trace(
            limits=Limits(50, 2, 5.0, cooperative=self.shape.protocol == "cooperative"),
            due=gather.read_due(self.bootstrap, names),
            calls=gather.read_journal(self.directory / "calls.jsonl"),
            commits=[commit for commit in log.commits if commit.tp.topic in names],
            ownerships=log.ownerships,
            letters=gather.read_letters(self.directory / "letters"),
            lives=self.processes.lives,
        )


def play(bootstrap: str, directory: Path, name: str, seed: int) -> Told:
    """Play a history and judge it. AssertionError, with the seed, where a promise is broken."""
    history = History(bootstrap, directory, name, seed)
    try:
        with history.running():
            owed = _played(history)
    except Exception as error:
        raise AssertionError(f"seed {seed}, {history.shape}: {error}") from error
    lives = history.processes.lives
    return Told(history._sent, owed, len(lives), sum(life.how == "killed" for life in lives), history.added)


def _played(history: History) -> int:
    chance, shape = history.chance, history.shape
    for _ in range(chance.randint(0, 2)):
        history.produce()
    if shape.taken_over:
        history.take_over()
    lows = history.cut()
    before = history.all_ends()
    for _ in range(shape.members):
        history.start()
    if chance.random() < 0.5:
        history.pause(1.5)
        history.kill()
        history.start()
    if chance.random() < 0.3:
        history.produce()
    history.await_commits()
    begun = history.all_ends()
    steps: list[Callable[[], None]] = [history.produce, history.grow, history.kill, history.start, history.stop]
    for step in [history.produce, history.make, *chance.choices(steps, k=chance.randint(2, 5)), history.produce]:
        step()
        history.pause(0.5)
    history.start()
    history.drain()
    for slot in history.processes.running():
        history.processes.stop(slot)
    assert not history.processes.unexpected, history.processes.unexpected
    trace = history.trace()
    expected = {tp: (end, begun[tp]) for tp, end in before.items()}
    if shape.taken_over:  # the others of this topic had a commit
        rest = [tp for tp in before if tp.topic == history.topics.names["mcl"] and tp.partition != 0]
        expected |= {tp: (lows.get(tp, 0), lows.get(tp, 0)) for tp in rest}
    trace.due = _owed(trace, expected)
    for oracle in JUDGES:
        oracles.ORACLES[oracle](trace)
    return len(trace.due)


def _owed(trace: Trace, expected: Mapping[TopicPartition, tuple[int, int]]) -> dict[Place, Due]:
    """What the group owes: from its first commits on, and all that came later.

    `expected` says between which offsets the first commits must be, of the partitions that existed at the beginning.
    """
    first: dict[TopicPartition, Commit] = {}
    for commit in trace.commits:
        first.setdefault(commit.tp, commit)
    for tp, (low, high) in expected.items():
        assert low <= first[tp].offset <= high, f"{tp} begins at {first[tp].offset}, not between {low} and {high}"
    return {
        place: due
        for place, due in trace.due.items()
        if place.tp not in expected or place.offset >= first[place.tp].offset
    }
