"""A broker and a source in memory, on whatever time the test has: what simulations of the whole loop run on.

The source keeps the same contract as the one over librdkafka. Faults are ordered through the broker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from datahub_poller.errors import Transient
from datahub_poller.model import Record, TopicPartition
from datahub_poller.source import Listener, Start
from datahub_poller.start import Begin, Beginning, Earliest, End, Found, Mark, StartAt, Topic, decide, mark
from datahub_poller.start import Committed as Read
from datahub_poller.start import partitions_at_first_start as at_first_start
from support.brokers import Committed, Sent

SILENT: Final = "the coordinator does not answer"


@dataclass
class Log:
    """A partition. An entry of None is a control record, or one that nobody is to see."""

    low: int = 0
    entries: list[Record | None] = field(default_factory=list)

    @property
    def high(self) -> int:
        return len(self.entries)

    def since(self, at: int) -> int:
        """The first offset with this time or a later one, else the end."""
        times = ((n, entry.timestamp) for n, entry in enumerate(self.entries) if entry is not None and n >= self.low)
        return next((n for n, timestamp in times if timestamp >= at), self.high)


class Group:
    """Who is in it, what each is to own, and what was committed."""

    def __init__(self) -> None:
        self.members: list[ScriptedSource] = []
        self.committed: dict[TopicPartition, Committed] = {}
        self.generation = 0
        self.targets: dict[ScriptedSource, set[TopicPartition]] = {}

    def rebalance(self, broker: ScriptedBroker) -> None:
        """Ranges, topic by topic, in the order of joining."""
        targets: dict[ScriptedSource, set[TopicPartition]] = {member: set() for member in self.members}
        for topic in sorted({topic for member in self.members for topic in member.topics}):
            takers = [member for member in self.members if topic in member.topics]
            count = len(broker.logs.get(topic, []))
            for number in range(count):
                targets[takers[number * len(takers) // count]].add(TopicPartition(topic, number))
        if targets != self.targets:
            self.targets = targets
            self.generation += 1


class ScriptedBroker:
    """A `Bed` without a network. `wall_ms` dates the records that have no time of their own.

    `refusals` answer the next commits; while `silent`, nothing is said about committed offsets.
    """

    kind: Literal["scripted"] = "scripted"
    bootstrap = ""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self.wall_ms = wall_ms
        self.consumer: dict[str, str | int] = {}
        self.logs: dict[str, list[Log]] = {}
        self.groups: dict[str, Group] = {}
        self.refusals: deque[str] = deque()
        self.silent = False

    # -- what tests do to it

    def create_topic(self, name: str, partitions: int = 1) -> None:
        self.logs[name] = [Log() for _ in range(partitions)]

    def add_partitions(self, name: str, total: int) -> None:
        self.logs[name] += [Log() for _ in range(total - len(self.logs[name]))]

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        self.logs[topic][partition].low = before

    def produce(self, topic: str, partition: int, value: bytes | None, *, key: bytes | None = None) -> int:
        return self.produce_all([Sent(topic, partition, value, key)])[0]

    def produce_all(self, records: Iterable[Sent]) -> list[int]:
        offsets = []
        for sent in records:
            log = self.logs[sent.topic][sent.partition]
            timestamp = self.wall_ms() if sent.timestamp == 0 else sent.timestamp
            where, offset = TopicPartition(sent.topic, sent.partition), log.high
            log.entries.append(
                Record(where, offset, timestamp, "CREATE_TIME", sent.key, sent.value, tuple(sent.headers))
            )
            offsets.append(offset)
        return offsets

    def control(self, topic: str, partition: int) -> None:
        """A transaction's marker: an offset that no reader sees."""
        self.logs[topic][partition].entries.append(None)

    def partitions(self, topic: str) -> list[int]:
        return list(range(len(self.logs[topic])))

    def committed(self, group: str, topic: str) -> dict[int, Committed]:
        return {tp.partition: each for tp, each in self.group(group).committed.items() if tp.topic == topic}

    def end_offsets(self, topic: str) -> dict[int, int]:
        return {number: log.high for number, log in enumerate(self.logs[topic])}

    def expel(self, source: ScriptedSource) -> None:
        """As if the member had not polled in time: it hears of it at its next poll."""
        source.expelled = True
        self.leave(source)

    # -- what sources do with it

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group())

    def log(self, tp: TopicPartition) -> Log:
        return self.logs[tp.topic][tp.partition]

    def join(self, source: ScriptedSource) -> None:
        self.group(source.group).members.append(source)

    def leave(self, source: ScriptedSource) -> None:
        group = self.group(source.group)
        if source in group.members:
            group.members.remove(source)
            group.rebalance(self)

    def commit(self, source: ScriptedSource, offsets: Mapping[TopicPartition, int]) -> str | None:
        """The reason why not. Like Kafka, it takes a member's word for partitions that are another's."""
        if self.refusals:
            return self.refusals.popleft()
        group = self.group(source.group)
        if source not in group.members:
            return "unknown member"
        group.committed |= {tp: Committed(offset, source.metadata(tp)) for tp, offset in offsets.items()}
        return None


class ScriptedSource:
    """`Source` on a `ScriptedBroker`. `wait` passes the time of a poll that brings nothing."""

    def __init__(
        self,
        broker: ScriptedBroker,
        group: str,
        start_at: StartAt = "latest",
        incremental: bool = False,
        wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.group = group
        self.topics: tuple[str, ...] = ()
        self.generation = 0
        self.expelled = False
        self._broker = broker
        self._start_at = start_at
        self._incremental = incremental
        self._wait = wait
        self._positions: dict[TopicPartition, int] = {}
        self._unresolved: set[TopicPartition] = set()
        self._paused: frozenset[TopicPartition] = frozenset()
        self._partitions: dict[str, int] = {}
        self._missing: set[str] = set()
        self._answers: deque[tuple[dict[TopicPartition, int], str | None]] = deque()
        self._turn = 0
        self._trouble = False
        self._assigned_generation = 0

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        self.topics = tuple(topics)
        self._missing |= set(topics) - self._broker.logs.keys()
        self._listener = listener
        self._broker.join(self)

    def poll(self, limit: int, timeout: float) -> list[Record]:
        self._serve()
        records: list[Record] = []
        owned = sorted(self._positions)
        self._turn += 1
        for n in range(len(owned)):
            tp = owned[(n + self._turn) % len(owned)]
            if tp not in self._paused:
                records += self._read(tp, limit - len(records))
        if not records:
            self._wait(timeout)
        return records

    def set_paused(self, partitions: frozenset[TopicPartition]) -> None:
        self._paused = partitions & self._positions.keys()

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._positions[tp] for tp in partitions if tp in self._positions}

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._broker.log(tp).high for tp in partitions if tp in self._positions}

    @property
    def joined(self) -> bool:
        return self._assigned_generation > 0 and not self._unresolved

    @property
    def missing(self) -> frozenset[str]:
        return frozenset(topic for topic in self.topics if not self._broker.logs.get(topic))

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        assert not self._answers, "one commit at a time"
        error = self._broker.commit(self, offsets)
        self._answers.append((dict(offsets) if error is None else {}, error))

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        error = self._broker.commit(self, offsets)
        if error is not None:
            raise Transient(error)

    def close(self) -> None:
        try:
            self._give_up(set(self._positions) | self._unresolved)
        finally:
            self._broker.leave(self)

    def wait_for(self, topic: str) -> None:
        """The topic does not exist yet."""
        self._missing.add(topic)

    def metadata(self, tp: TopicPartition) -> str:
        """What goes with a commit."""
        return mark(Mark(self._partitions[tp.topic])) if tp.topic in self._partitions else ""

    def _serve(self) -> None:
        if self.expelled:
            self.expelled = False
            gone = set(self._positions) | self._unresolved
            self._forget(gone)
            self._listener.lost(gone)
            self._broker.join(self)
        while self._answers:
            self._listener.committed(*self._answers.popleft())
        self._rebalance()
        if self._unresolved and not self._broker.silent:
            self._begin(self._unresolved)

    def _rebalance(self) -> None:
        group = self._broker.group(self.group)
        group.rebalance(self._broker)
        target = group.targets[self]
        owned = set(self._positions) | self._unresolved
        if self.generation != group.generation:
            self._give_up(owned - target if self._incremental else owned)
            self.generation = group.generation
        everybody = all(member.generation == group.generation for member in group.members)
        if everybody and self._assigned_generation != group.generation:
            self._assigned_generation = group.generation
            self._begin(target - self._positions.keys())

    def _give_up(self, gone: set[TopicPartition]) -> None:
        if gone:
            try:
                self._listener.revoked(gone)
            finally:
                self._forget(gone)

    def _forget(self, gone: set[TopicPartition]) -> None:
        self._unresolved -= gone
        self._paused -= gone
        for tp in gone:
            self._positions.pop(tp, None)

    def _begin(self, new: set[TopicPartition]) -> None:
        if self._broker.silent:
            self._unresolved = set(new)
            self._trouble = True
            self._listener.trouble(SILENT)
            return
        starts: dict[TopicPartition, Start] = {}
        for topic in sorted({tp.topic for tp in new}):
            starts |= self._starts(topic, sorted(tp for tp in new if tp.topic == topic))
        self._unresolved = new - starts.keys()
        self._positions |= {tp: start.offset for tp, start in starts.items()}
        self._listener.assigned(starts)
        if self._trouble:
            self._trouble = False
            self._listener.trouble(None)

    def _starts(self, topic: str, mine: Sequence[TopicPartition]) -> dict[TopicPartition, Start]:
        """As the source over librdkafka does; here nobody waits for another member in vain."""
        stored = self._broker.committed(self.group, topic)
        committed = {n: Read(None, "") for n in self._broker.partitions(topic)}
        committed |= {n: Read(each.offset, each.metadata) for n, each in stored.items()}
        self._partitions[topic] = 0 if topic in self._missing else at_first_start(committed)
        starts = {tp: Start(offset, offset) for tp in mine if (offset := committed[tp.partition].offset) is not None}
        new = {tp.partition for tp in mine if tp not in starts}
        for decision in decide(self._start_at, Topic(new, committed, topic in self._missing, 0.0)) if new else ():
            match decision:
                case Begin(numbers, where):
                    starts |= {TopicPartition(topic, n): Start(self._where(topic, n, where), None) for n in numbers}
                case Found(numbers, where):
                    found = {TopicPartition(topic, n): self._where(topic, n, where) for n in numbers}
                    if self._broker.commit(self, found) is None:
                        starts |= {tp: Start(found[tp], found[tp]) for tp in mine}
        return starts

    def _where(self, topic: str, partition: int, where: Beginning) -> int:
        log = self._broker.logs[topic][partition]
        match where:
            case Earliest():
                return log.low
            case End():
                return log.high
            case _:
                return log.since(where.at)

    def _read(self, tp: TopicPartition, limit: int) -> list[Record]:
        log = self._broker.log(tp)
        if not log.low <= self._positions[tp] <= log.high:
            self._positions[tp] = self._listener.gap(tp, log.low, log.high)
        records: list[Record] = []
        while len(records) < limit and self._positions[tp] < log.high:
            entry = log.entries[self._positions[tp]]
            self._positions[tp] += 1
            if entry is not None:
                records.append(entry)
        return records
