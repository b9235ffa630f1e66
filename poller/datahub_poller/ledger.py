"""What is held: lanes, calls in flight, the breaker, counters, and what stopped the run.

Pure. `dispatch` decides from it what to do next, `results` enters what came back; the loop gives them records,
results and the time. What an operator should read is left in `notes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from datahub_poller.batching import Limits
from datahub_poller.lanes import Lane
from datahub_poller.model import Event, Failure, Record, Skipped, TopicPartition, Undecodable, Verdict
from datahub_poller.parts import Lease
from datahub_poller.policy import Breaker, Policy
from datahub_poller.works import Flight, Halt, Invoke, Level, Note, Work

FIRST_GUESS = 64 * 1024
FADING = 0.98
"""A record's size in bytes before one was seen, and how soon a large one is forgotten, record by record."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the action file says about delivery. `timeout` of an invocation is in seconds.

    `buffer` is in bytes; against it counts what a record is made of, and `overhead` for what it becomes in memory.
    """

    policy: Policy
    limits: Limits
    concurrency: int = 1
    buffer: int = 64 * 1024 * 1024
    throw: bool = False
    timeout: float = 60.0
    overhead: int = 0


class Ledger:
    """The state of all owned partitions, changed by one thread."""

    def __init__(self, settings: Settings, breaker: Breaker, read: Callable[[Record], Verdict]) -> None:
        self.settings = settings
        self.breaker = breaker
        self.read = read
        self.lanes: dict[TopicPartition, Lane] = {}
        self.flights: dict[int, Flight] = {}
        self.halt: Halt | None = None
        self.stopping = False
        self.notes: list[Note] = []
        self.counters: Counter[str] = Counter()
        self._paused: frozenset[TopicPartition] = frozenset()
        self._usual: float = FIRST_GUESS
        self._ahead = settings.limits.size * (settings.concurrency + 1)

    # -- partitions come and go

    def open(self, tp: TopicPartition, start: int, committed: int | None, now: float) -> None:
        """The partition is ours from `start`. It waits for a call of an earlier lease that still runs."""
        lane = Lane(Lease(tp), start, committed, now)
        lane.blocked = self.flying(tp)
        self.lanes[tp] = lane

    def drain(self, partitions: Iterable[TopicPartition]) -> None:
        """Start nothing new for these."""
        for tp in partitions:
            if (lane := self.lanes.get(tp)) is not None:
                lane.draining = True

    def close(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours no more: what is in flight for them changes nothing when it returns."""
        for tp in partitions:
            if (lane := self.lanes.pop(tp, None)) is None:
                continue
            if lane.flight is not None:
                self.counters["abandoned_calls"] += 1
            if lane.committed is not None and lane.committed < lane.settled:
                self.counters["settled_not_committed"] += lane.settled - lane.committed

    # -- records come in

    def offer(self, record: Record, verdict: Verdict, now: float) -> None:
        """A record was read. Without a lane it is dropped: its owner reads it."""
        lane = self.lanes.get(record.tp)
        if lane is None:
            return
        lane.offer(record, verdict, now)
        size, faded = record.size, FADING * self._usual
        self._usual = size if size > faded else max(1.0, faded)
        self._decoded(verdict)

    def reread(self) -> None:
        """Schemas came: read again what waited for one."""
        for lane in self.lanes.values():
            if lane.awaiting and lane.reread(self._read_again):
                self.note("info", "schema arrived", lane, waiting=lane.awaiting)

    def reread_undecodable(self) -> None:
        """Read again what could not be decoded: it may have been the registry's fault."""
        for lane in self.lanes.values():
            if lane.undecodable and lane.reread(self._read_again, Undecodable):
                self.note("info", "undecodable records were read after all", lane, left=lane.undecodable)

    def _read_again(self, record: Record) -> Verdict:
        verdict = self.read(record)
        self._decoded(verdict)
        return verdict

    def _decoded(self, verdict: Verdict) -> None:
        if isinstance(verdict, Event) or (isinstance(verdict, Skipped) and verdict.reason != "tombstone"):
            self.breaker.decoded()

    # -- calls

    @property
    def halted(self) -> bool:
        """Whether a record stopped the run."""
        return self.halt is not None

    @property
    def slots(self) -> int:
        """How many more invocations may start. One that runs past its lease still counts: its worker is taken."""
        running = sum(isinstance(flight.work, Invoke) for flight in self.flights.values())
        return self.settings.concurrency - running

    def take_off(self, work: Work, lanes: Iterable[Lane], now: float, probe: bool = False) -> None:
        """A call starts, and its lanes wait for it."""
        self.flights[work.flight] = Flight(work, now, probe)
        for lane in lanes:
            lane.flight, lane.since = work.flight, now

    @property
    def expecting(self) -> bool:
        """Whether an invocation runs that may still return in time."""
        return any(isinstance(flight.work, Invoke) and not flight.overdue for flight in self.flights.values())

    def land(self, flight_id: int) -> Flight:
        """A call returned: partitions that waited for it to return may go on."""
        flight = self.flights.pop(flight_id)
        for tp in flight.partitions():
            if (lane := self.lanes.get(tp)) is not None and lane.blocked:
                lane.blocked = self.flying(tp)
        return flight

    def flying(self, tp: TopicPartition) -> bool:
        """Whether a call with records of this partition runs, under whatever lease."""
        return any(tp in flight.partitions() for flight in self.flights.values())

    def lane_of(self, lease: Lease) -> Lane | None:
        """The lane, if the lease is still held."""
        lane = self.lanes.get(lease.tp)
        return lane if lane is not None and lane.lease is lease else None

    def overdue(self, now: float) -> list[Flight]:
        """Invocations that newly ran past their timeout. They cannot be stopped; they are reported once."""
        late = [
            flight
            for flight in self.flights.values()
            if isinstance(flight.work, Invoke) and not flight.overdue and now - flight.started > self.settings.timeout
        ]
        for flight in late:
            flight.overdue = True
            self.counters["overdue_invocations"] += 1
            if flight.probe:
                self.breaker.trip(now, self.breaker.reason or "the probe did not return")
        return late

    def in_flight(self, partitions: Iterable[TopicPartition] | None = None) -> bool:
        """Whether a call under a lease that is held has not returned, of these partitions or of any."""
        wanted = self.lanes if partitions is None else partitions
        return any(lane.flight is not None for tp in wanted if (lane := self.lanes.get(tp)) is not None)

    # -- holding back

    def held(self) -> list[Lane]:
        """Lanes whose letters the breaker holds."""
        return [lane for lane in self.lanes.values() if lane.may_act and lane.part is not None and lane.part.held]

    def stuck(self) -> list[Lane]:
        """Lanes with undecodable records before an event that they may not settle while the breaker is open."""
        return [lane for lane in self.lanes.values() if lane.free and lane.event_behind(self.breaker.probe_room)]

    def unjudged(self) -> list[Lane]:
        """Lanes that gave something up whose letters may still be withdrawn."""
        return [
            lane
            for lane in self.lanes.values()
            if lane.may_act and lane.part is not None and lane.part.doomed and not lane.part.judged
        ]

    def hold(self, lane: Lane, now: float, reason: str) -> None:
        """Open the breaker because of what this lane gave up, and keep its letters."""
        assert lane.part is not None
        lane.part.held, lane.part.judged = True, False
        self.open_breaker(lane, now, reason)

    def open_breaker(self, lane: Lane, now: float, reason: str) -> None:
        """Open the breaker because of this lane."""
        was_open = self.breaker.is_open
        self.breaker.trip(now, reason)
        if not was_open:
            self.note("error", "breaker opened", lane, reason=reason, pause_seconds=self.breaker.pause)

    def stop_before(self, record: Record, failure: Failure) -> None:
        """A record is given up and there is to be no letter: nothing new starts."""
        self.halt = Halt(record, failure)
        where = {"topic": record.tp.topic, "partition": record.tp.partition, "offset": record.offset}
        self.log("error", "halted: a record was given up and failure_mode is THROW", **where, error=str(failure))

    def held_bytes(self) -> int:
        """What counts against the buffer: all entries, those in flight included."""
        return sum(self._weight(lane) for lane in self.lanes.values())

    def _weight(self, lane: Lane) -> int:
        return lane.bytes + self.settings.overhead * lane.records

    def room(self, most: int) -> int:
        """How many records may be read at once, `most` at most: for any one lane they are not to be too many.

        And only one where all calls are on their way and the next ones could be made of what is here: what is decoded
        sooner than it is needed costs memory, and time when it has left the processor's caches.
        """
        if self.slots <= 0 and sum(len(lane.pending) for lane in self.lanes.values()) >= self._ahead:
            return 1
        half = self.settings.buffer // 2
        left = half - self.held_bytes()
        if left <= 0:
            share = half // max(1, len(self.lanes))
            left = min(
                (share - self._weight(lane) for lane in self.lanes.values() if lane.tp not in self._paused), default=0
            )
        return max(1, min(most, int(left / (self._usual + self.settings.overhead))))

    def paused(self) -> frozenset[TopicPartition]:
        """Which partitions must bring nothing now.

        The first half of the buffer is for whoever comes first, so that one busy partition may use it; the second
        half is shared out, so that one that waits cannot take the room of the others. A lane that waits for a
        schema holds a batch at most.
        """
        half = self.settings.buffer // 2
        share = half // max(1, len(self.lanes))
        total = self.held_bytes()
        self._paused = frozenset(
            lane.tp
            for lane in self.lanes.values()
            if (lane.awaiting and len(lane.pending) >= self.settings.limits.size)
            or total >= 2 * half
            or (total >= half and self._weight(lane) >= share)
            or (lane.tp in self._paused and 4 * total >= 3 * half and 2 * self._weight(lane) >= share)
        )
        return self._paused

    # -- for the log

    def drain_notes(self) -> list[Note]:
        """What happened since the last call, oldest first."""
        notes, self.notes = self.notes, []
        return notes

    def note(self, level: Level, event: str, lane: Lane, **fields: Any) -> None:
        """Leave a line about a lane."""
        self.log(level, event, topic=lane.tp.topic, partition=lane.tp.partition, **fields)

    def log(self, level: Level, event: str, **fields: Any) -> None:
        """Leave a line."""
        self.notes.append(Note(level, event, fields))
