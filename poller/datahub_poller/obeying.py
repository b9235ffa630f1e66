"""What an operator's order changes: a record given up, a breaker closed, a pause, an end to waiting.

Pure, and the poll thread's own. It starts nothing: what an order lets go on, `dispatch` finds in its next turn. Every
order leaves a line for the log: who, why, what, and what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from datahub_poller.lanes import Lane
from datahub_poller.ledger import Ledger
from datahub_poller.model import Answer, Failure, SchemaKey, TopicPartition, Waiting
from datahub_poller.orders import BreakerClose, GiveUp, Order, Pause, Resume, RetryNow, Scope
from datahub_poller.parts import Paused
from datahub_poller.taking_out import Stuck, find, take_out

NAMED = 20
"""How many partitions an answer names."""


class Obeying:
    """Carries orders out on a ledger.

    `schemas` are those that are waited for; `ask_again` ends the waiting before they are asked for again, and tells for
    how many; `scrub` takes secrets out of what a person said.
    """

    def __init__(
        self,
        ledger: Ledger,
        schemas: Callable[[], Mapping[SchemaKey, Waiting]],
        ask_again: Callable[[float], int],
        scrub: Callable[[str], str] = str,
    ) -> None:
        self._ledger = ledger
        self._schemas = schemas
        self._ask_again = ask_again
        self._scrub = scrub

    def obey(self, order: Order, now: float) -> Answer:
        """Do it, or say why not."""
        order = order._replace(who=self._scrub(order.who), why=self._scrub(order.why))
        answer = self._obey(order, now)
        if not (isinstance(order.what, GiveUp) and order.what.look):
            about = {"order": str(order.what), "who": order.who, "why": order.why or None, "said": answer.said}
            if answer.obeyed:
                self._ledger.log("info", "order obeyed", **about)
            else:
                self._ledger.log("warning", "order refused", **about)
        return answer

    def _obey(self, order: Order, now: float) -> Answer:
        if self._ledger.halt is not None:
            return _refused(f"the poller has halted before {self._ledger.halt.record}, and stops")
        if self._ledger.stopping:
            return _refused("the poller is stopping")
        match order.what:
            case BreakerClose():
                return self._close_breaker()
            case GiveUp() as what:
                return self._give_up(what, order, now)
            case Pause(scope=scope):
                return self._pause(scope, Paused(order.who, order.why, now), now)
            case Resume(scope=scope):
                return self._resume(scope, now)
            case RetryNow():
                return self._retry_now(now)

    # -- the breaker

    def _close_breaker(self) -> Answer:
        ledger, breaker = self._ledger, self._ledger.breaker
        if not breaker.is_open:
            return _refused(f"the breaker is not open: {breaker.run} letters in a row of {breaker.in_a_row}")
        reason, accepted = breaker.reason, sum(map(_accept, ledger.lanes.values()))
        for flight in ledger.flights.values():
            flight.probe = False
        breaker.succeeded()
        ledger.log("info", "breaker closed")
        return Answer(True, f"the breaker is closed ({reason}); held letters that are written now: {accepted}")

    # -- one record

    def _give_up(self, what: GiveUp, order: Order, now: float) -> Answer:
        lane = self._ledger.lanes.get(what.tp)
        if lane is None:
            return _refused(self._not_held(what.tp))
        if lane.draining:
            return _refused(f"{what.tp} is being given back to the group")
        flight = None if lane.flight is None else self._ledger.flights[lane.flight]
        overdue = flight is not None and flight.overdue
        stuck = find(lane, what.offset, flight, overdue or self._ledger.breaker.is_open, self._schemas())
        if isinstance(stuck, str):
            return _refused(stuck)
        if what.look:
            return Answer(True, _described(stuck, now))
        said = f"{order.who}: {order.why or 'no reason given'}"
        message = f"{said}; before that: {stuck.error}" if stuck.error else said
        stack, response = ("", "") if stuck.failure is None else (stuck.failure.stack, stuck.failure.response)
        take_out(lane, stuck, Failure("operator", "GivenUp", message, stack, response))
        self._ledger.counters["given_up_by_order"] += 1
        when = "now" if stuck.at_once else "when what is before it is done"
        return Answer(True, f"{stuck.entry.record} is given up: its letter is written {when}")

    def _not_held(self, tp: TopicPartition) -> str:
        mine = sorted(self._ledger.lanes)
        held = ", ".join(map(str, mine[:NAMED])) or "none"
        more = f" and {len(mine) - NAMED} more" if len(mine) > NAMED else ""
        return (
            f"{tp} is not this process's: it holds {held}{more}. Other processes of the group have ports of their own"
        )

    # -- pauses

    def _pause(self, scope: Scope, paused: Paused, now: float) -> Answer:
        ledger = self._ledger
        if scope.topic is None:
            if ledger.all_paused is not None:
                return _refused(f"the action is paused already, {_by(ledger.all_paused, now)}")
            ledger.all_paused = paused
            for lane in ledger.lanes.values():
                lane.paused = lane.paused or paused
            return Answer(True, "the action is paused until `resume` or a restart; running calls finish")
        lanes = self._lanes(scope)
        if isinstance(lanes, Answer):
            return lanes
        fresh = [lane for lane in lanes if lane.paused in {None, ledger.all_paused}]
        if not fresh:
            return _refused(f"{_names(lanes)} paused already, {_by(lanes[0].paused, now)}")
        for lane in fresh:
            lane.paused = paused
        return Answer(
            True,
            f"paused until `resume`, a restart, or a partition's revocation: {_names(fresh)}; running calls finish",
        )

    def _resume(self, scope: Scope, now: float) -> Answer:
        ledger = self._ledger
        if scope.topic is None:
            mine = [lane for lane in ledger.lanes.values() if lane.paused]
            if ledger.all_paused is None and not mine:
                return _refused("nothing is paused")
            what = "the action" if ledger.all_paused else _names(mine)
            ledger.all_paused = None
            for lane in mine:
                lane.paused = None
            return Answer(True, f"resumed: {what}")
        lanes = self._lanes(scope)
        if isinstance(lanes, Answer):
            return lanes
        mine = [lane for lane in lanes if lane.paused is not None and lane.paused is not ledger.all_paused]
        if not mine:
            if ledger.all_paused is None:
                return _refused(f"{_names(lanes)}: not paused")
            whole = "the whole action is paused"
            return _refused(f"{whole}, {_by(ledger.all_paused, now)}: `resume` without a topic ends that")
        for lane in mine:
            lane.paused = ledger.all_paused
        but = "" if ledger.all_paused is None else "; but the whole action is paused still"
        return Answer(True, f"resumed: {_names(mine)}{but}")

    def _lanes(self, scope: Scope) -> Sequence[Lane] | Answer:
        """The partitions that are meant, of which there is one at least."""
        topic, partition = scope
        lanes = [lane for tp, lane in sorted(self._ledger.lanes.items()) if tp.topic == topic]
        if partition is not None:
            lanes = [lane for lane in lanes if lane.tp.partition == partition]
        if lanes:
            return lanes
        if partition is None:
            topics = ", ".join(sorted({tp.topic for tp in self._ledger.lanes})) or "none"
            return _refused(f"this process holds no partition of the topic {topic}; its topics: {topics}")
        return _refused(self._not_held(TopicPartition(str(topic), partition)))

    # -- waiting

    def _retry_now(self, now: float) -> Answer:
        ledger, breaker = self._ledger, self._ledger.breaker
        lanes = list(ledger.lanes.values())
        ended = {
            "back-offs": sum(_hurry_pieces(lane, now) for lane in lanes),
            "waits for the sink": sum(_hurry_letters(lane, now) for lane in lanes),
            "waits for a schema": self._ask_again(now),
            "pauses of the breaker": int(breaker.is_open and not breaker.probing and breaker.probe_at > now),
        }
        if breaker.is_open:
            breaker.probe_at = min(breaker.probe_at, now)
        words = ", ".join(f"{name}: {count}" for name, count in ended.items() if count)
        return Answer(True, f"ended now: {words}" if words else "nothing was waiting for its time")


def _refused(why: str) -> Answer:
    return Answer(False, why)


def _accept(lane: Lane) -> int:
    """What it gave up is accepted by a person; how many that are."""
    part = lane.part
    if part is None or part.judged:
        return 0
    fresh = sum(not doomed.final for doomed in part.doomed)
    part.doomed = [doomed._replace(final=True) for doomed in part.doomed]
    part.held = False
    return fresh


def _hurry_pieces(lane: Lane, now: float) -> int:
    """Its back-offs end; they are not counted as time that was spent on the pieces."""
    late = [piece for piece in lane.part.todo if piece.due > now] if lane.part else []
    for piece in late:
        if not piece.waits:
            piece.spent -= piece.due - now
        piece.due = now
    return len(late)


def _hurry_letters(lane: Lane, now: float) -> int:
    part = lane.part
    if part is None or not part.doomed or part.letters_due <= now:
        return 0
    part.letters_due = now
    return 1


def _described(stuck: Stuck, now: float) -> str:
    record = stuck.entry.record
    key = "none" if record.key is None else record.key.decode("utf-8", "backslashreplace")[: NAMED * 10]
    error = f"; last error: {stuck.error}" if stuck.error else ""
    return f"{record}: key {key}, here for {now - stuck.entry.at:.0f} s, failed attempts: {stuck.attempts}{error}"


def _by(paused: Paused | None, now: float) -> str:
    return (
        "" if paused is None else f"by {paused.who} for {now - paused.since:.0f} s: {paused.why or 'no reason given'}"
    )


def _names(lanes: Sequence[Lane]) -> str:
    more = f" and {len(lanes) - NAMED} more" if len(lanes) > NAMED else ""
    return ", ".join(str(lane.tp) for lane in lanes[:NAMED]) + more
