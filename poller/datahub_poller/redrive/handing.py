"""Hands letters to the handler, by the rules of the action file and with the poller's own parts.

A lane for each partition, batches, retries, splitting, the rate and the breaker are the ledger's, as in the loop.
Here is what the loop does around them: what came back is written down before anything new begins. Time is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, Protocol

from datahub_poller.dispatch import Dispatch
from datahub_poller.errors import Fatal
from datahub_poller.ledger import Ledger
from datahub_poller.loop import Desk
from datahub_poller.model import SchemaChange, SchemaKey, Waiting
from datahub_poller.parts import Entry
from datahub_poller.redrive.marking import Marking
from datahub_poller.redrive.outcomes import Outcome
from datahub_poller.redrive.planning import Case
from datahub_poller.redrive.wave import Wave
from datahub_poller.results import Results
from datahub_poller.workers import Done
from datahub_poller.works import Delivered, Invoke, WriteLetters

Ending = Literal["through", "broken", "stopped"]
"""All was tried; the breaker opened; somebody asked to stop."""

LONGEST_WAIT: Final = 0.2
SHORTEST_WAIT: Final = 0.001
FAILED_AND_STAYS = "failed again, and stays as it is, for there is no record to make a new letter of"
TOLD: Final = frozenset({"target is away", "dead letters could not be written, will be tried again"})
"""What of the ledger's notes concerns whoever waits."""


class Schemas(Protocol):
    """Of an `Intake`, what waiting for schemas needs."""

    def arrived(self, done: Done, now: float) -> None:
        """A fetch returned."""

    def tick(self, now: float) -> None:
        """Start the fetches that are due."""

    def fetching(self) -> bool:
        """Whether a fetch is on its way."""

    def changes(self) -> Sequence[SchemaChange]:
        """Ids that name another schema, since they were last taken from here."""

    def waiting(self) -> Mapping[SchemaKey, Waiting]:
        """Every schema that is not here or in doubt, and why."""


class Handing:
    """`stop` gives the time by which running calls must have ended, once somebody asked to stop; None before."""

    def __init__(
        self,
        ledger: Ledger,
        dispatch: Dispatch,
        results: Results,
        desk: Desk,
        wave: Wave,
        schemas: Schemas,
        marking: Marking,
        clock: Callable[[], float],
        stop: Callable[[], float | None],
        trouble: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._dispatch = dispatch
        self._results = results
        self._desk = desk
        self._wave = wave
        self._schemas = schemas
        self._marking = marking
        self._clock = clock
        self._stop = stop
        self._trouble = trouble

    def hand_out(self, cases: Sequence[Case]) -> Ending:
        """Until each of them is done with, or it is no use going on. Raises Fatal."""
        ledger = self._ledger
        records = self._wave.begin(cases)
        now = self._clock()
        for record in records:
            if record.tp not in ledger.lanes:
                ledger.open(record.tp, record.offset, None, now)
        ledger.take_in(records, self._wave.read, now)
        try:
            while (ending := self._turn()) is None:
                pass
        finally:
            ledger.close(list(ledger.lanes))
        return ending

    def _turn(self) -> Ending | None:
        now = self._clock()
        self._schemas.tick(now)
        self._set_aside()
        self._marking.write(now)
        if (ending := self._ending(now)) is not None:
            return ending
        if not self._marking.pending:
            for work in self._dispatch.next_works(now):
                self._desk.start(work)
        self._tell(now)
        for done in self._desk.take(self._patience(now)):
            self._enter(done)
        return None

    def _ending(self, now: float) -> Ending | None:
        """Why nothing is left to do. The calls that run, and what is to be written down, come first."""
        ledger = self._ledger
        until = self._stop()
        if until is not None:
            ledger.stopping = True
            return "stopped" if now >= until or not (ledger.in_flight() or self._marking.pending) else None
        if ledger.in_flight() or self._marking.pending:
            return None
        if ledger.breaker.is_open and not self._letters_due():
            return "broken"
        return "through" if all(lane.idle for lane in ledger.lanes.values()) else None

    def _letters_due(self) -> bool:
        """Whether letters that were judged before the breaker opened are still to be written."""
        parts = [lane.part for lane in self._ledger.lanes.values() if lane.part is not None]
        return any(part.judged and part.doomed and not part.todo for part in parts)

    def _patience(self, now: float) -> float:
        if self._ledger.flights or self._schemas.fetching():
            return LONGEST_WAIT
        dues = [self._marking.due] if self._marking.pending else [self._dispatch.next_due(now)]
        due = min((each for each in dues if each is not None), default=now + LONGEST_WAIT)
        return max(SHORTEST_WAIT, min(LONGEST_WAIT, due - now))

    # -- what comes back

    def _enter(self, done: Done) -> None:
        now = self._clock()
        if not isinstance(done.ticket, int):
            self._schemas.arrived(done, now)
            for change in self._schemas.changes():
                self._trouble(str(change))
            self._ledger.reread()
            return
        if done.error is not None:
            raise Fatal(f"a worker failed: {type(done.error).__name__}: {done.error}") from done.error
        flight = self._ledger.flights[done.ticket]
        match flight.work:
            case Invoke(shares=shares):
                entries = [entry for share in shares for entry in share.piece.entries]
                self._results.returned(done.ticket, done.value, now)
                self._marking.add([self._delivered(entry) for entry in entries if self._is_settled(entry)])
            case WriteLetters(doomed=doomed):
                self._results.returned(done.ticket, done.value, now)
                if isinstance(done.value, Delivered):
                    self._marking.add([self._failed(each.entry, str(each.failure)) for each in doomed])

    def _is_settled(self, entry: Entry) -> bool:
        """After an invocation: whether the handler has dealt with it. What was given up settles with its letter."""
        return entry.done or self._ledger.lanes[entry.record.tp].settled > entry.offset

    def _delivered(self, entry: Entry) -> Outcome:
        return Outcome(self._wave.case_of(entry.record), "delivered")

    def _failed(self, entry: Entry, error: str) -> Outcome:
        case = self._wave.case_of(entry.record)
        if case.letter.foreign:
            return Outcome(case, None, f"{FAILED_AND_STAYS}: {error}")
        return Outcome(case, "failed_again", error)

    def _set_aside(self) -> None:
        left, self._wave.left = self._wave.left, []
        self._marking.add(left)

    # -- what a person should know

    def _tell(self, now: float) -> None:
        for flight in self._ledger.overdue(now):
            self._trouble(f"the handler is past its timeout and still runs, for {now - flight.started:.0f} s")
        for note in self._ledger.drain_notes():
            if note.event in TOLD:
                self._trouble(f"{note.event}: {note.fields.get('reason')}")
        for key, waiting in self._schemas.waiting().items():
            if waiting.tries:  # else its turn comes in a moment
                self._trouble(f"waiting for {key}: {waiting.reason}")
