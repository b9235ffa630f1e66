"""What a result changes: settled, tried again, split, given up, or waiting.

Pure. A result counts only while the lease that it was started under is held; what came too late changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from datahub_poller.lanes import Lane
from datahub_poller.ledger import Ledger
from datahub_poller.model import Failure
from datahub_poller.parts import Attempt, Part, Piece
from datahub_poller.policy import GiveUp, Retry, Split, Tried, wait
from datahub_poller.works import Away, Delivered, Failed, Flight, Invoke, Named, Outcome, WriteLetters

ERROR_LIMIT = 300
"""Characters of an error in a record's history; the last one's are in its letter in full."""


class Call(NamedTuple):
    """An invocation that came back, begun at `started`."""

    work: Invoke
    started: float

    @property
    def batch_id(self) -> str:
        """Its batch's."""
        return self.work.batch_id

    def attempt(self, piece: Piece, failure: Failure) -> Attempt:
        """What is remembered of it where it failed."""
        number = piece.attempts + 1
        return Attempt(self.started, self.batch_id, number, len(piece.entries), str(failure)[:ERROR_LIMIT])


class Results:
    """Enters outcomes into the ledger. `chance` gives jitter: a number in [0, 1)."""

    def __init__(self, ledger: Ledger, chance: Callable[[], float]) -> None:
        self._ledger = ledger
        self._chance = chance

    def returned(self, flight_id: int, outcome: Outcome, now: float) -> None:
        """A call came back. It changes only lanes whose lease it was started under."""
        flight = self._ledger.land(flight_id)
        match flight.work:
            case Invoke() as work:
                self._ledger.tally.called(sum(len(share.piece.entries) for share in work.shares), now - flight.started)
                self._invoked(work, flight, outcome, now)
            case WriteLetters() as work:
                self._wrote(work, outcome, now)

    def _invoked(self, work: Invoke, flight: Flight, outcome: Outcome, now: float) -> None:
        mine = []
        for share in work.shares:
            if (lane := self._ledger.lane_of(share.lease)) is not None:
                mine.append((lane, share.piece))
                continue
            self._ledger.counters["late_results"] += 1
            self._ledger.log("warning", "late result ignored", partition=str(share.lease.tp), batch_id=work.batch_id)
        # A success ends a row of failures before those of the same invocation are counted.
        closed = False
        if mine and self._shows_success(work, outcome):
            closed = self._ledger.breaker.succeeded()
        elif flight.probe:
            self._stay_open(work, now)
        if mine and (isinstance(outcome, Failed) or (isinstance(outcome, Named) and outcome.failed)):
            self._ledger.counters["invocations_failed"] += 1
        for lane, piece in mine:
            lane.flight, lane.since = None, now
            self._apply(lane, piece, Call(work, flight.started), outcome, now)
        if closed:
            self._close_breaker(now)

    def _close_breaker(self, now: float) -> None:
        """What was given up while the handler may have been at fault is tried anew."""
        ledger = self._ledger
        ledger.log("info", "breaker closed")
        for lane in [] if ledger.breaker.is_open else ledger.unjudged():
            self._try_anew(lane, now)

    def _try_anew(self, lane: Lane, now: float) -> None:
        ledger = self._ledger
        lane.restart(ledger.settings.limits.size, ledger.settings.limits.bytes)
        # Undecodable still: their letters come next, and count in the run that begins now.
        undecodable = sum(not doomed.final for doomed in lane.work.doomed)
        if ledger.breaker.gave_up(undecodable=min(undecodable, max(0, ledger.breaker.in_a_row - 1))):
            ledger.hold(lane, now, ledger.breaker.row)

    def _stay_open(self, work: Invoke, now: float) -> None:
        breaker = self._ledger.breaker
        if breaker.is_open:
            breaker.trip(now, breaker.reason or "")
            self._ledger.log("warning", "breaker stays open", batch_id=work.batch_id, reason=breaker.reason)

    @staticmethod
    def _shows_success(work: Invoke, outcome: Outcome) -> bool:
        match outcome:
            case Delivered():
                return True
            case Named(failed=failed):
                return len(failed) < sum(len(share.piece.entries) for share in work.shares)
        return False

    def _apply(self, lane: Lane, piece: Piece, call: Call, outcome: Outcome, now: float) -> None:
        match outcome:
            case Delivered():
                self._ledger.counters["events_delivered"] += len(piece.entries)
                lane.succeed(piece)
                lane.trouble = None
            case Named(failed=failed, response=response):
                mine = {offset for tp, offset in failed if tp == lane.tp}
                self._named(lane, piece, call, mine, response, now)
            case Failed(failure=failure, lineage=lineage):
                fatal = self._ledger.settings.policy.is_fatal(lineage)
                piece.failed(call.attempt(piece, failure), now - call.started)
                self._failed(lane, piece, call, failure, now, fatal=fatal)
            case Away(reason=reason):
                piece.waits += 1
                piece.due = now + wait(piece.waits, self._chance())
                lane.trouble = reason
                self._ledger.note("warning", "target is away", lane, batch_id=call.batch_id, reason=reason)

    def _named(self, lane: Lane, piece: Piece, call: Call, mine: set[int], response: str, now: float) -> None:
        if not mine:
            self._apply(lane, piece, call, Delivered(), now)
            return
        again = self._ledger.settings.policy.again([entry.offset for entry in piece.entries], mine)
        self._ledger.counters["events_delivered"] += len(piece.entries) - len(again)
        message = f"named by the handler in batch {call.batch_id}"
        failure = Failure("handler", "BatchItemFailure", message, response=response)
        piece.failed(call.attempt(piece, failure), now - call.started)  # with all the events that were in it
        lane.narrow(piece, again)
        self._failed(lane, piece, call, failure, now, named=True)

    def _failed(
        self,
        lane: Lane,
        piece: Piece,
        call: Call,
        failure: Failure,
        now: float,
        named: bool = False,
        fatal: bool = False,
    ) -> None:
        """It counts as an attempt already."""
        lane.last_failure = failure
        lane.trouble = str(failure)
        self._ledger.counters["events_failed"] += len(piece.entries)
        offsets = (piece.entries[0].offset, piece.entries[-1].offset)
        fields: dict[str, Any] = {"batch_id": call.batch_id, "first": offsets[0], "last": offsets[1]}
        shared = len(call.work.shares) > 1
        tried = Tried(len(piece.entries), piece.attempts, piece.splitting, shared, piece.spent, fatal, named)
        match self._ledger.settings.policy.after_failure(tried, self._chance()):
            case Retry(delay=delay):
                piece.due = now + delay
                piece.spent += delay
                self._ledger.note(
                    "warning",
                    "batch failed, will be tried again",
                    lane,
                    **fields,
                    attempt=piece.attempts,
                    in_seconds=round(delay, 3),
                    error=str(failure),
                )
            case Split():
                lane.split(piece)
                self._ledger.note(
                    "warning", "batch failed, is split", lane, **fields, attempt=piece.attempts, error=str(failure)
                )
            case GiveUp():
                if named and self._ledger.settings.policy.order == "strict":  # what is behind may fail because of it
                    lane.set_apart(piece, 1)
                self._give_up(lane, piece, call.batch_id, failure, now)

    def _give_up(self, lane: Lane, piece: Piece, batch_id: str, failure: Failure, now: float) -> None:
        self._ledger.note(
            "error",
            "records given up",
            lane,
            batch_id=batch_id,
            first=piece.entries[0].offset,
            count=len(piece.entries),
            attempts=piece.attempts,
            error=str(failure),
        )
        if self._ledger.settings.throw:
            self._ledger.stop_before(piece.entries[0].record, failure)
            return
        if self._ledger.breaker.gave_up(failed=lane.doom(piece, failure, batch_id)):
            self._ledger.hold(lane, now, self._ledger.breaker.row)

    def _wrote(self, work: WriteLetters, outcome: Outcome, now: float) -> None:
        lane = self._ledger.lane_of(work.lease)
        if lane is None:
            self._ledger.counters["late_results"] += 1
            return
        part = lane.part
        assert part is not None
        lane.flight, lane.since = None, now
        self._entered(lane, part, work, outcome, now)
        if lane.part is not None and lane.part.held and not self._ledger.breaker.is_open:
            self._try_anew(lane, now)  # the breaker closed while what a person gave up was being written

    def _entered(self, lane: Lane, part: Part, work: WriteLetters, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Delivered):
            self._ledger.counters["dead_letters"] += len(work.doomed)
            self._ledger.tally.lettered(doomed.failure for doomed in work.doomed)
            self._ledger.note(
                "warning",
                "dead letters written",
                lane,
                count=len(work.doomed),
                offsets=[doomed.entry.offset for doomed in work.doomed[:10]],
            )
            lane.lettered(work.doomed)
            part.letter_tries = 0
            lane.trouble = None
            return
        reason = outcome.reason if isinstance(outcome, Away) else str(outcome)
        part.letter_tries += 1
        self._ledger.counters["letter_writes_failed"] += 1
        part.letters_due = now + wait(part.letter_tries, self._chance())
        if lane.trouble != reason:
            self._ledger.note("debug", "dead letters could not be written, will be tried again", lane, reason=reason)
        lane.trouble = reason
