"""What is held: lanes, calls in flight, the breaker, counters, and what stopped the run.

Pure. `dispatch` decides from it what to do next, `results` enters what came back; the loop gives them records,
results and the time. What an operator should read is left in `notes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from datahub_poller.appetite import Appetite
from datahub_poller.batching import Limits
from datahub_poller.lanes import Lane
from datahub_poller.model import Event, Failure, Record, SchemaChange, Skipped, TopicPartition, Undecodable, Verdict
from datahub_poller.parts import Lease, Paused
from datahub_poller.policy import Breaker, Policy
from datahub_poller.tally import Tally
from datahub_poller.works import Flight, Halt, Invoke, Level, Note, Work


@dataclass(frozen=True, slots=True)
class Settings:
    """What the action file says about delivery. `timeout` of an invocation is in seconds.

    `buffer` is in bytes; against it counts what a record is made of, and `overhead` for what it becomes in memory.
    `rate` is in events for each second, to all calls together.
    """

    policy: Policy
    limits: Limits
    concurrency: int = 1
    buffer: int = 64 * 1024 * 1024
    throw: bool = False
    timeout: float = 60.0
    overhead: int = 0
    rate: float | None = None


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
        self.all_paused: Paused | None = None
        self.notes: list[Note] = []
        self.counters: Counter[str] = Counter()
        self.tally = Tally()
        self.rate_due = 0.0
        self._appetite = Appetite(settings.buffer, settings.overhead, settings.limits, settings.concurrency)

    # -- partitions come and go

    def open(self, tp: TopicPartition, start: int, committed: int | None, now: float, renew: bool = False) -> None:
        """The partition is ours from `start`. It waits for a call of an earlier lease that still runs.

        `renew`: its commit is to be made again.
        """
        lane = Lane(Lease(tp), start, committed, now, renew)
        lane.blocked = self.flying(tp)
        lane.paused = self.all_paused
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

    def occupied(self) -> list[Lane]:
        """Those that hold records: of thousands of partitions few do at a time, and most turns are about these."""
        return [lane for lane in self.lanes.values() if lane.part is not None or lane.pending]

    # -- records come in

    def take_in(self, records: Sequence[Record], read: Callable[[Record, float], Verdict], now: float) -> None:
        """Records came. Those without a lane are dropped: their owner reads them."""
        lanes, largest, kept, filtered, skipped, decoded = self.lanes, 0, 0, 0, 0, False
        lane: Lane | None = None
        tp: TopicPartition | None = None
        for record in records:
            if record.tp is not tp:  # they come in runs
                tp = record.tp
                lane = lanes.get(tp)
            if lane is None:
                continue
            verdict = read(record, now)
            entry = lane.offer(record, verdict, now)
            if entry is None:
                size = record.size
                if isinstance(verdict, Skipped):
                    filtered += verdict.reason == "filtered"
                    skipped += 1
            else:
                size = entry.size
                kept += 1
            if size > largest:  # noqa: PLR1730 - `max` takes three times as long, for every record
                largest = size
            decoded = decoded or _is_decoded(verdict)
        if decoded:
            self.breaker.decoded()
        if records:
            self.counters["records_polled"] += len(records)
            self.counters["events_filtered"] += filtered
            self.counters["records_skipped"] += skipped - filtered
            self._appetite.took(len(records), kept, largest)

    def schemas_came(self, changes: Sequence[SchemaChange]) -> None:
        """A registry has answered; these ids name other schemas than before."""
        for change in changes:
            registry, schema_id = change.key
            about: dict[str, Any] = {"registry": registry, "id": schema_id, "name": change.name, **change.fields()}
            self.log("warning", "schema has changed under its id", **about)
        self.reread()
        if changes:
            self.reread_undecodable()

    def reread(self) -> None:
        """Schemas came: read again what waited for one."""
        for lane in self.lanes.values():
            unread = lane.awaiting + lane.undecodable
            if lane.awaiting and lane.reread(self._read_again) and lane.awaiting + lane.undecodable < unread:
                self.note("debug", "schema arrived", lane, waiting=lane.awaiting)

    def reread_undecodable(self) -> None:
        """Read again what could not be decoded: it may have been the registry's fault."""
        for lane in self.lanes.values():
            if lane.undecodable and lane.reread(self._read_again, Undecodable):
                self.note("info", "undecodable records were read after all", lane, left=lane.undecodable)

    def _read_again(self, record: Record) -> Verdict:
        verdict = self.read(record)
        if isinstance(verdict, Skipped):
            self.counters["events_filtered" if verdict.reason == "filtered" else "records_skipped"] += 1
        if _is_decoded(verdict):
            self.breaker.decoded()
        return verdict

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

    def busy_seconds(self, now: float) -> float:
        """How long calls of the handler have taken, those that run included, whoever has their partitions now."""
        running = (now - flight.started for flight in self.flights.values() if isinstance(flight.work, Invoke))
        return self.tally.handler_seconds.sum + sum(running)

    def handed_out(self, events: int, now: float) -> None:
        """So many events go to the handler now: by the rate, the next may go when the time for these is over."""
        if self.settings.rate is not None:
            self.rate_due = max(self.rate_due, now) + events / self.settings.rate

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
        """Lanes whose letters the breaker holds, and that may be probed with."""
        return [lane for lane in self.lanes.values() if lane.may_invoke and lane.part is not None and lane.part.held]

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
        return self._appetite.held_bytes(self.occupied())

    def room(self, most: int, now: float, fetching: bool) -> int:
        """How many records may be read at once, `most` at most; `fetching`: a registry is being asked."""
        return self._appetite.room(self.lanes.values(), self.occupied(), most, now, self.slots <= 0, fetching)

    def paused(self, now: float, fetching: bool) -> frozenset[TopicPartition]:
        """Which partitions must bring nothing now."""
        return self._appetite.paused(self.lanes.values(), self.occupied(), now, fetching)

    def held_back(self, tp: TopicPartition) -> bool:
        """Whether it was to bring nothing, when that was asked for last."""
        return self._appetite.holds_back(tp)

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


def _is_decoded(verdict: Verdict) -> bool:
    return isinstance(verdict, Event) or (isinstance(verdict, Skipped) and verdict.reason != "tombstone")
