"""What is shown of the partitions that are read, in which order, and when it is over.

Knows neither the client nor how a line looks. Registries are asked on the
same thread: a question holds up all partitions for its moment, what comes of it only those that need the schema.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from datahub_poller.decode.schemas import Fetch
from datahub_poller.errors import Fatal
from datahub_poller.filters import Filter
from datahub_poller.intake import Intake
from datahub_poller.kafka.browse import Begin, Read, Span
from datahub_poller.model import Awaiting, Event, Record, SchemaKey, Skipped, TopicPartition, Undecodable
from datahub_poller.workers import Done

READ_RECORDS = 500
READ_SECONDS = 0.1
GATHER_SECONDS = 3.0
"""What was gathered is shown when nothing more has come for so long, whatever is still missing."""


class Wanted(NamedTuple):
    """What a person asked for. `newest` is a number of events in all, None: everything from `begin` on."""

    begin: Begin
    newest: int | None = None
    follow: bool = False
    filtered: bool = True
    topics: tuple[str, ...] = ()


class Seen(NamedTuple):
    """A record that is shown. `dropped`: the action's filters would not let it through."""

    record: Record
    verdict: Event | Undecodable
    dropped: bool


class Reads(Protocol):
    """Of a `Browser`, what reading needs."""

    def assign(self, begins: Mapping[TopicPartition, int]) -> None:
        """Read these, from these offsets."""

    def drop(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these no more."""

    def pause(self, tp: TopicPartition) -> None:
        """Bring nothing more of this one for now."""

    def resume(self, tp: TopicPartition) -> None:
        """Go on with it."""

    def read(self, limit: int, timeout: float) -> Read:
        """What is there within `timeout` s. Raises Fatal."""


class Fetches:
    """Questions to registries, asked when they are taken: never within the call that found out that one is due."""

    def __init__(self) -> None:
        self._due: list[tuple[Fetch, Callable[[], Any]]] = []

    def submit(self, ticket: Fetch, work: Callable[[], Any]) -> None:
        """Remember the question."""
        self._due.append((ticket, work))

    def take(self) -> list[Done]:
        """Ask all that is due."""
        due, self._due = self._due, []
        return [_done(ticket, work) for ticket, work in due]


@dataclass(slots=True)
class _Part:
    """A partition: `next` and `end` are offsets; `held` waits for a schema, in order."""

    next: int
    end: int
    held: deque[Record] = field(default_factory=deque)

    @property
    def done(self) -> bool:
        """All is read that was there at the start."""
        return not self.held and self.next >= self.end

    @property
    def left(self) -> int:
        """Offsets up to the end that are not shown."""
        return max(0, self.end - (self.held[0].offset if self.held else self.next))


class Tail:
    """Reads `spans`. `admitted` is the action's filter, to tell what it drops; times are monotonic seconds."""

    def __init__(
        self,
        reads: Reads,
        intake: Intake,
        fetches: Fetches,
        spans: Mapping[TopicPartition, Span],
        wanted: Wanted,
        admitted: Filter,
        patience: float,
        clock: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._reads = reads
        self._intake = intake
        self._fetches = fetches
        self._wanted = wanted
        self._admitted = admitted
        self._patience = patience
        self._clock = clock
        self._tell = tell
        self._parts = {tp: _Part(span.begin, span.end) for tp, span in spans.items()}
        self._told: set[SchemaKey] = set()
        self._progress_at = clock()
        self.skipped: Counter[str] = Counter()

    def batches(self) -> Iterator[list[Seen]]:
        """What is to be shown, as it comes. Raises Fatal: where it does not come in time, unless it is followed."""
        begins = {tp: part.next for tp, part in self._parts.items() if self._wanted.follow or not part.done}
        if begins:
            self._reads.assign(begins)
        gathered: list[Seen] | None = None if self._wanted.newest is None else []
        while True:
            seen = self._turn() if begins else []
            quiet = self._clock() - self._progress_at
            if gathered is not None:
                gathered = self._newest([*gathered, *seen]) if seen else gathered
                if not (quiet > GATHER_SECONDS or all(part.done or part.held for part in self._parts.values())):
                    continue
                seen, gathered = gathered, None
            if seen:
                yield seen
            if self._wanted.follow:
                continue
            if all(part.done for part in self._parts.values()):
                return
            if quiet > self._patience:
                raise Fatal(self._gave_up())

    # -- reading

    def _turn(self) -> list[Seen]:
        seen: list[Seen] = []
        self._fetch(tick=True)
        for tp, part in self._parts.items():
            if part.held:
                self._retry(tp, part, seen)
        found = self._reads.read(READ_RECORDS, READ_SECONDS)
        for record in found.records:
            self._take(record, seen)
        for tp, end in found.ends.items():
            part = self._parts[tp]
            if not part.held and end > part.next:  # what is not in the log any more, or is no record
                part.next = end
                self._progress()
        if not self._wanted.follow:
            self._drop_finished(found)
        return seen

    def _take(self, record: Record, seen: list[Seen]) -> None:
        part = self._parts[record.tp]
        if part.done and not self._wanted.follow:
            return
        if part.held:
            part.held.append(record)
            self._intake.read(record, self._clock())  # so that one question is for all that are held
        elif not self._show(record, seen):
            part.held.append(record)
            self._reads.pause(record.tp)
            self._progress()
        else:
            part.next = record.offset + 1
            self._progress()

    def _retry(self, tp: TopicPartition, part: _Part, seen: list[Seen]) -> None:
        while part.held:
            record = part.held[0]
            if not self._show(record, seen):
                return
            part.held.popleft()
            part.next = record.offset + 1
            self._progress()
        self._reads.resume(tp)

    def _show(self, record: Record, seen: list[Seen]) -> bool:
        """False: its schema is not here."""
        if record.offset >= self._parts[record.tp].end and not self._wanted.follow:
            return True
        verdict = self._intake.read(record, self._clock())
        if isinstance(verdict, Awaiting):
            self._fetch(tick=True)
            verdict = self._intake.read(record, self._clock())
        match verdict:
            case Awaiting():
                return False
            case Skipped(reason):
                self.skipped[reason] += 1
            case Event(envelope):
                seen.append(Seen(record, verdict, not self._admitted.passes(envelope)))
            case Undecodable():
                seen.append(Seen(record, verdict, dropped=False))
        return True

    def _drop_finished(self, found: Read) -> None:
        touched = {record.tp for record in found.records} | set(found.ends)
        if gone := [tp for tp in touched if self._parts[tp].done]:
            self._reads.drop(gone)

    def _progress(self) -> None:
        self._progress_at = self._clock()

    def _newest(self, gathered: list[Seen]) -> list[Seen]:
        """The newest of what was there at the start, by time, and all that has come since."""

        def there(seen: Seen) -> bool:
            return seen.record.offset < self._parts[seen.record.tp].end

        by_time = sorted(gathered, key=lambda seen: (seen.record.timestamp, seen.record.tp, seen.record.offset))
        before = [seen for seen in by_time if there(seen)]
        newest = before[max(0, len(before) - (self._wanted.newest or 0)) :]
        return [*newest, *(seen for seen in by_time if not there(seen))]

    # -- schemas

    def _fetch(self, *, tick: bool) -> None:
        if tick:
            self._intake.tick(self._clock())
        while answers := self._fetches.take():
            for answer in answers:
                self._intake.arrived(answer, self._clock())
        for change in self._intake.changes():
            self._tell(str(change))
        for key, waiting in self._intake.waiting().items():
            if waiting.tries and key not in self._told:  # else its turn comes in a moment
                self._told.add(key)
                self._tell(f"waiting for {key}: {waiting.reason}")

    def _gave_up(self) -> str:
        left = [part.left for part in self._parts.values() if not part.done]
        reasons = [f"{key}: {waiting.reason}" for key, waiting in self._intake.waiting().items()]
        counts = f"{_count(sum(left), 'record')} of {_count(len(left), 'partition')}"
        why = "; ".join(reasons) or "the broker brings nothing"
        return f"gave up after {self._patience:g} s in which nothing came: {counts} not shown: {why}"


def _done(ticket: Fetch, work: Callable[[], Any]) -> Done:
    try:
        return Done(ticket, work(), None)
    except Exception as error:  # noqa: BLE001 - which kind it is, `Schemas` decides
        return Done(ticket, None, error)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
