"""What to do next: dead letters to write, pieces to try again, batches to invoke, a probe for an open breaker.

Pure. It starts nothing: each work that it answers is entered in the ledger as in flight, and the loop starts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datahub_poller.batching import Pick, choose, due_at
from datahub_poller.lanes import Lane
from datahub_poller.ledger import Ledger
from datahub_poller.model import GivenUp, Undecodable
from datahub_poller.parts import Part
from datahub_poller.works import Invoke, Share, Work, WriteLetters

ERROR_LIMIT = 200
"""Characters of an error in the breaker's reason."""


class Dispatch:
    """Reads the ledger for work. `new_id` makes a batch's id."""

    def __init__(self, ledger: Ledger, new_id: Callable[[], str]) -> None:
        self._ledger = ledger
        self._new_id = new_id
        self._last_flight = 0
        self._retry_next = False

    def next_works(self, now: float) -> list[Work]:
        """Calls to start now."""
        ledger = self._ledger
        works: list[Work] = []
        if ledger.stopping:
            return works
        occupied = ledger.occupied()
        for lane in occupied:
            if lane.may_act and not ledger.halted:
                self._take_undecodable(lane, now)
                works += self._letters(lane, now)
        if ledger.halted:
            return works
        if ledger.breaker.is_open:
            return works + self._probe(now)
        while ledger.slots > 0 and ledger.rate_due <= now and (work := self._next(occupied, now)) is not None:
            works.append(work)
        return works

    def next_due(self, now: float) -> float | None:
        """When something falls due although nothing arrives; `None` if nothing does."""
        ledger = self._ledger
        if ledger.breaker.is_open:
            return max(ledger.breaker.probe_at, ledger.rate_due, now)
        occupied = ledger.occupied()
        dues = [due for lane in occupied if (due := _due(lane, ledger.rate_due)) is not None]
        if ledger.slots > 0 and (due := due_at(occupied, ledger.settings.limits)) is not None:
            dues.append(max(due, ledger.rate_due))
        return min(dues, default=None)

    # -- invocations

    def _next(self, occupied: Sequence[Lane], now: float) -> Invoke | None:
        # They take turns, so that neither a backlog nor a lane that is split to pieces starves the other.
        first, second = (self._retry, self._untried) if self._retry_next else (self._untried, self._retry)
        self._retry_next = not self._retry_next
        work = first(occupied, now)
        return work if work is not None else second(occupied, now)

    def _untried(
        self, occupied: Sequence[Lane], now: float, at_once: bool = False, probe: bool = False
    ) -> Invoke | None:
        ledger = self._ledger
        picks = choose(occupied, ledger.settings.limits, now, at_once)
        return self._fresh(picks[:1] if probe else picks, now, probe) if picks else None

    def _retry(self, occupied: Sequence[Lane], now: float) -> Invoke | None:
        due = [
            (max(due, lane.since), lane) for lane in occupied if (due := _piece_due(lane)) is not None and due <= now
        ]
        return self._again(min(due, key=lambda pair: pair[0])[1], now) if due else None

    def _fresh(self, picks: list[Pick], now: float, probe: bool) -> Invoke:
        successes = self._ledger.breaker.successes
        shares = tuple(Share(lane.lease, lane.take(events, successes)) for lane, events in picks)
        return self._launch([lane for lane, _ in picks], shares, now, again=False, probe=probe)

    def _again(self, lane: Lane, now: float, probe: bool = False) -> Invoke:
        assert lane.part is not None
        assert lane.part.piece is not None
        entries = lane.part.piece.entries
        again = sum(not entry.untried for entry in entries)
        self._ledger.counters["retries"] += again > 0
        self._ledger.counters["events_retried"] += again
        for entry in entries:
            entry.untried = False
        return self._launch([lane], (Share(lane.lease, lane.part.piece),), now, again=True, probe=probe)

    def _launch(self, lanes: list[Lane], shares: tuple[Share, ...], now: float, again: bool, probe: bool) -> Invoke:
        attempt = max(share.piece.attempts for share in shares) + 1
        work = Invoke(self._number(), self._new_id(), attempt, shares, again)
        self._ledger.take_off(work, lanes, now, probe)
        self._ledger.counters["invocations"] += 1
        events = sum(len(share.piece.entries) for share in shares)
        self._ledger.counters["events_invoked"] += events
        self._ledger.handed_out(events, now)
        return work

    def _number(self) -> int:
        self._last_flight += 1
        return self._last_flight

    # -- letters

    def _take_undecodable(self, lane: Lane, now: float) -> None:
        ledger = self._ledger
        head = lane.head()
        if head is not None and lane.part is None and isinstance(head.verdict, GivenUp):
            lane.take_given_up(ledger.breaker.successes)
            return
        if not lane.free or head is None or not isinstance(head.verdict, Undecodable):
            return
        if ledger.settings.throw:
            ledger.stop_before(head.record, head.verdict.failure)
            return
        if ledger.breaker.is_open:
            return
        if ledger.breaker.room == 0 and not head.given_up:
            head.given_up = True
            ledger.breaker.gave_up(undecodable=1)
            last = str(head.verdict.failure)[:ERROR_LIMIT]
            ledger.open_breaker(lane, now, f"{ledger.breaker.row}; the last: {last}")
            return
        ledger.breaker.gave_up(undecodable=lane.take_undecodable(ledger.breaker.room, ledger.breaker.successes))
        assert lane.part is not None
        for doomed in lane.part.doomed:
            if doomed.final:
                continue
            error = str(doomed.failure)
            ledger.note("warning", "record is undecodable", lane, offset=doomed.entry.offset, error=error)

    def _letters(self, lane: Lane, now: float) -> list[Work]:
        part = lane.part
        if part is None or not part.doomed or part.letters_due > now:
            return []
        doomed = tuple(part.doomed) if self._may_write_all(lane, part, now) else part.final
        if not doomed:
            return []
        write = WriteLetters(self._number(), lane.lease, doomed)
        self._ledger.take_off(write, [lane], now)
        return [write]

    def _may_write_all(self, lane: Lane, part: Part, now: float) -> bool:
        """Whether the part has come to its end, and what it gave up is judged not to be the handler's fault."""
        if part.todo or part.held:
            return False
        if not part.judged:
            ledger, bisect = self._ledger, self._ledger.settings.policy.bisect
            if bisect and ledger.breaker.suspects(part.size, part.succeeded, part.witness):
                ledger.hold(lane, now, f"nothing of a batch of {part.size} succeeded, not even one by one")
                return False
            if ledger.breaker.is_open:
                part.held = True
                return False
        part.judged = True
        return True

    # -- the probe

    def _probe(self, now: float) -> list[Work]:
        ledger = self._ledger
        if not ledger.breaker.may_probe(now) or ledger.slots == 0 or ledger.expecting or ledger.rate_due > now:
            return []
        work = self._find_probe(now)
        if work is None:
            ledger.breaker.trip(now, ledger.breaker.reason or "")
            return []
        ledger.breaker.probing = True
        partitions = [str(share.lease.tp) for share in work.shares]
        ledger.log("info", "breaker probes", batch_id=work.batch_id, partitions=partitions)
        return [work]

    def _find_probe(self, now: float) -> Invoke | None:
        # Another lane's untried events say most about the handler; then the lane that has been left alone longest.
        ledger = self._ledger
        ledger.reread_undecodable()
        if (work := self._untried(ledger.occupied(), now, at_once=True, probe=True)) is not None:
            return work
        due = [lane for lane in ledger.lanes.values() if (at := _piece_due(lane)) is not None and at <= now]
        for lane in sorted(due + ledger.held() + ledger.stuck(), key=lambda lane: lane.since):
            if self._ready_to_probe(lane):
                return self._again(lane, now, probe=True)
        return None

    def _ready_to_probe(self, lane: Lane) -> bool:
        """Whether the lane has something to probe with: if it can be, what is behind the records that it gave up."""
        limits, breaker = self._ledger.settings.limits, self._ledger.breaker
        part = lane.part
        if part is None:
            breaker.gave_up(undecodable=lane.take_undecodable(breaker.probe_room, breaker.successes))
            part = lane.work
            part.held, part.judged = True, False
        if part.held and not lane.reach_behind(limits.size, limits.bytes) and part.piece is None:
            lane.restart(limits.size, limits.bytes)
        part.held = part.piece is None
        return not part.held


def _piece_due(lane: Lane) -> float | None:
    """When the lane's next piece may be invoked."""
    part = lane.part
    if part is None or part.held or part.piece is None or not lane.may_invoke:
        return None
    return part.piece.due


def _due(lane: Lane, rate_due: float) -> float | None:
    """When something falls due for the lane; an invocation not before the rate allows one."""
    part = lane.part
    if part is None or not lane.may_act:
        return None
    dues = [] if (piece_due := _piece_due(lane)) is None else [max(piece_due, rate_due)]
    if part.doomed and (part.final or not (part.todo or part.held)):
        dues.append(part.letters_due)
    return min(dues, default=None)
