"""The status snapshot: what each lane does and why, and whether a person should look.

Reads the loop's state on the loop's own thread, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from datahub_poller import __version__
from datahub_poller.lanes import Lane
from datahub_poller.ledger import Ledger
from datahub_poller.loop import Poller
from datahub_poller.model import Awaiting, Event, SchemaKey, TopicPartition, Waiting
from datahub_poller.observe.figures import Figures
from datahub_poller.observe.status import (
    BreakerStatus,
    BufferStatus,
    PartitionState,
    PartitionStatus,
    PausedStatus,
    PollerState,
    PollerStatus,
    SchemaWait,
)
from datahub_poller.parts import Part, Paused
from datahub_poller.progress import Progress
from datahub_poller.works import Flight, Invoke, WriteLetters

JOINING_SECONDS = 60.0
"""A group lets a member in within seconds, unless others still work for it. Longer is worth a look."""
SLOW_WRITE_SECONDS = 10.0
"""A sink that takes longer hangs: a network file system that is away refuses nothing."""


class What(NamedTuple):
    """A lane's state in a word, and the reason in words."""

    state: PartitionState
    reason: str = ""


IDLE, IN_FLIGHT = What("idle"), What("in_flight")
UNDECODABLE = "undecodable records"
FULL = "source.config.buffer is full"
STOPS = "the poller stops"
TAKEN = "all of batch.concurrency calls are running"
RATE = "batch.rate lets the next call begin"


def snapshot(
    poller: Poller, action: str, schemas: Mapping[SchemaKey, Waiting], progress: Progress, now: float
) -> PollerStatus:
    """The whole poller at `now`. `progress` is told of it."""
    ledger = poller.ledger
    positions = poller.source.positions(list(ledger.lanes))
    ends = poller.source.ends(list(ledger.lanes))
    busy = {
        tp
        for tp, lane in ledger.lanes.items()
        if lane.paused is None and (not lane.idle or (ends.get(tp) or 0) > lane.settled)
    }
    progress.look(ledger.lanes.values(), busy, now)
    partitions = tuple(
        _partition(ledger, lane, schemas, progress, positions.get(tp), ends.get(tp), now)
        for tp, lane in sorted(ledger.lanes.items())
    )
    reasons = tuple(_reasons(poller, partitions, now))
    return PollerStatus(
        action=action,
        version=__version__,
        state=_state(poller, reasons),
        red=bool(reasons),
        reasons=reasons,
        started_at=poller.started,
        uptime=round(now - poller.started, 3),
        assigned=len(ledger.lanes),
        counters={**ledger.counters, "rebalances": poller.rebalances},
        paused=_paused(ledger.all_paused),
        breaker=_breaker(ledger, now),
        buffer=BufferStatus(ledger.held_bytes(), ledger.settings.buffer),
        missing_topics=tuple(sorted(poller.source.missing)),
        schemas=tuple(SchemaWait(str(key), each.since, each.tries, each.reason) for key, each in schemas.items()),
        partitions=partitions,
        figures=Figures(
            handler_seconds=ledger.tally.handler_seconds.distribution(),
            batch_size=ledger.tally.batch_size.distribution(),
            letters=ledger.tally.letters(),
            decode_seconds=poller.decode_seconds,
            handler_busy_seconds=ledger.busy_seconds(now),
            handler_slots=min(ledger.settings.concurrency, max(1, len(ledger.lanes))),
        ),
    )


def _state(poller: Poller, reasons: tuple[str, ...]) -> PollerState:
    if poller.ledger.halt is not None:
        return "halted"
    if poller.stopping:
        return "stopping"
    if not poller.ledger.lanes and not poller.source.missing.issuperset(poller.settings.topics):
        return "starting" if _apart(poller) else "waiting"
    if poller.ledger.all_paused is not None:
        return "paused"
    return "waiting" if reasons else "running"


def _apart(poller: Poller) -> bool:
    """Whether the group has never let it in."""
    return poller.rebalances == 0 and not poller.source.joined


def _reasons(poller: Poller, partitions: tuple[PartitionStatus, ...], now: float) -> list[str]:
    ledger = poller.ledger
    reasons = []
    if ledger.halt is not None:
        reasons.append(f"halted before {ledger.halt.record}: {ledger.halt.failure}")
    if poller.source_trouble is not None:
        reasons.append(f"kafka: {poller.source_trouble}")
    if _apart(poller) and now - poller.started > JOINING_SECONDS and not poller.stopping:
        reasons.append("group: it has not let this process in")
    reasons += [f"topic {topic} does not exist" for topic in sorted(poller.source.missing)]
    if poller.commits.trouble is not None:
        reasons.append(f"commits fail: {poller.commits.trouble}")
    if ledger.breaker.reason is not None:
        reasons.append(f"breaker open: {ledger.breaker.reason}")
    reasons += [
        f"handler past its timeout for {now - flight.started - ledger.settings.timeout:.0f} s"
        for flight in ledger.flights.values()
        if flight.overdue
    ]
    reasons += [
        f"{flight.work.lease.tp} letters are being written for {now - flight.started:.0f} s"
        for flight in ledger.flights.values()
        if isinstance(flight.work, WriteLetters) and now - flight.started > SLOW_WRITE_SECONDS
    ]
    reasons += [
        f"{each.topic}-{each.partition} {each.state.replace('_', ' ')}: {each.reason}"
        for each in partitions
        if _waits(each)
    ]
    reasons += [
        f"{each.topic}-{each.partition} has not moved for {now - (each.moved or now):.0f} s: {each.state}"
        for each in partitions
        if each.stuck and not _waits(each)
    ]
    return reasons


def _waits(partition: PartitionStatus) -> bool:
    if partition.state == "backing_off":
        return bool(partition.reason)
    return partition.state in ("waiting_schema", "waiting_sink", "blocked")


def _partition(
    ledger: Ledger,
    lane: Lane,
    schemas: Mapping[SchemaKey, Waiting],
    progress: Progress,
    position: int | None,
    end: int | None,
    now: float,
) -> PartitionStatus:
    what = _what(ledger, lane, schemas, now)
    part = lane.part
    due = None
    if part is not None and what.state in ("backing_off", "waiting_sink", "ready"):
        due = part.piece.due if part.piece is not None else part.letters_due
    flight = ledger.flights.get(lane.flight) if lane.flight is not None else None
    moved = progress.moved_at(lane.tp)
    oldest = lane.head() if part is None else part.entries[0]
    runs = what == IN_FLIGHT  # a call within its time is no trouble, however long it may take
    return PartitionStatus(
        topic=lane.tp.topic,
        partition=lane.tp.partition,
        state=what.state,
        reason=what.reason,
        since=lane.paused.since if what.state == "paused" and lane.paused is not None else lane.since,
        attempts=part.piece.attempts if part is not None and part.piece is not None else 0,
        next_try_in=None if due is None else round(max(0.0, due - now), 3),
        last_error=None if lane.last_failure is None else str(lane.last_failure),
        position=position,
        settled=lane.settled,
        committed=lane.committed,
        end=end,
        lag=None if end is None else max(0, end - lane.settled),
        records=lane.records,
        bytes=lane.bytes,
        in_flight=_in_flight(flight, lane.tp),
        paused=_paused(lane.paused),
        oldest=None if oldest is None or oldest.record.timestamp < 0 else oldest.record.timestamp / 1000,
        moved=moved,
        stuck=now - moved >= progress.patience and not runs,
    )


def _what(ledger: Ledger, lane: Lane, schemas: Mapping[SchemaKey, Waiting], now: float) -> What:
    if ledger.halt is not None and ledger.halt.record.tp == lane.tp:
        return What("halted", str(ledger.halt.failure))
    if lane.blocked:
        return What("blocked", "a call from before the partition came back still runs")
    if lane.flight is not None:
        return _flying(ledger.flights[lane.flight], lane, ledger, now)
    if lane.draining:
        return What("draining")
    if lane.paused is not None and not _letters_wait(lane):
        return What("paused", f"by {lane.paused.who}: {lane.paused.why or 'no reason given'}")
    if lane.part is not None:
        return _working(ledger, lane, now)
    head = lane.head()
    if head is None:
        return What("idle", FULL) if ledger.held_back(lane.tp) else IDLE
    if isinstance(head.verdict, Awaiting):
        return _waiting_schema(head.verdict.key, schemas)
    if ledger.breaker.is_open:
        return What("breaker", ledger.breaker.reason or "")
    return What("ready", _waits_for(ledger, now) if isinstance(head.verdict, Event) else UNDECODABLE)


def _flying(flight: Flight, lane: Lane, ledger: Ledger, now: float) -> What:
    if not isinstance(flight.work, Invoke):
        # A try is no success: what is wrong stays to be seen until one is acknowledged.
        if lane.part is not None and lane.part.letter_tries > 0:
            return What("waiting_sink", lane.trouble or "")
        slow = now - flight.started
        return What("writing_letters", f"for {slow:.0f} s by now" if slow > SLOW_WRITE_SECONDS else "")
    late = now - flight.started - ledger.settings.timeout
    return What("in_flight", f"handler past its timeout for {late:.0f} s" if late > 0 else "")


def _letters_wait(lane: Lane) -> bool:
    """Whether letters that may be written are still to be."""
    part = lane.part
    return part is not None and bool(part.final or (part.doomed and part.judged))


def _working(ledger: Ledger, lane: Lane, now: float) -> What:
    part = lane.part
    assert part is not None
    if part.final:
        return _with_letters(lane, part)
    if part.held or ledger.breaker.is_open:
        return What("breaker", ledger.breaker.reason or "")
    if part.piece is None:
        return _with_letters(lane, part)
    if part.piece.waits:
        return What("backing_off", lane.trouble or "")
    if part.piece.attempts and part.piece.due > now:
        return What("backing_off")
    return What("ready", _waits_for(ledger, now))


def _with_letters(lane: Lane, part: Part) -> What:
    """Before the first try what troubles the lane is still the handler's failure."""
    return What("waiting_sink", lane.trouble or "") if part.letter_tries else What("writing_letters")


def _waits_for(ledger: Ledger, now: float) -> str:
    """What keeps events that are ready from being handed out; empty where that is `batch.window` alone."""
    if ledger.stopping or ledger.halted:
        return STOPS
    if ledger.slots <= 0:
        late = sum(flight.overdue for flight in ledger.flights.values())
        return f"{TAKEN}, {late} of them past the timeout" if late else TAKEN
    if ledger.rate_due > now:
        return f"{RATE} in {ledger.rate_due - now:.1f} s"
    return ""


def _waiting_schema(key: SchemaKey, schemas: Mapping[SchemaKey, Waiting]) -> What:
    waiting = schemas.get(key)
    return What("waiting_schema", f"{key}: {waiting.reason}" if waiting is not None else f"{key}: asked for")


def _in_flight(flight: Flight | None, tp: TopicPartition) -> int:
    if flight is None or not isinstance(flight.work, Invoke):
        return 0
    return sum(len(share.piece.entries) for share in flight.work.shares if share.lease.tp == tp)


def _paused(paused: Paused | None) -> PausedStatus | None:
    return None if paused is None else PausedStatus(*paused)


def _breaker(ledger: Ledger, now: float) -> BreakerStatus:
    breaker = ledger.breaker
    if not breaker.is_open:
        return BreakerStatus("closed", breaker.run, breaker.in_a_row)
    return BreakerStatus(
        "probing" if breaker.probing else "open",
        breaker.run,
        breaker.in_a_row,
        round(max(0.0, breaker.probe_at - now), 3),
    )
