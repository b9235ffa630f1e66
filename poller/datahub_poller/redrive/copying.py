"""Puts letters into a file or a topic, batch by batch: what is acknowledged is written down, then comes the next.

It must not know what kind of place it is. Time is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from datahub_poller.deadletter.found import Found
from datahub_poller.deadletter.store import Done
from datahub_poller.errors import TooLarge, Transient
from datahub_poller.model import Envelope
from datahub_poller.policy import wait
from datahub_poller.redrive.envelopes import envelope_of
from datahub_poller.redrive.handing import LONGEST_WAIT, Ending
from datahub_poller.redrive.marking import Marking
from datahub_poller.redrive.outcomes import Outcome
from datahub_poller.redrive.planning import NO_EVENT, Case
from datahub_poller.redrive.transform import Left, Transform

TOO_LARGE: Final = "it is larger than the topic takes (max.message.bytes)"


class Ready(NamedTuple):
    """A letter, with its event as it is to be handed out; a topic gets the record and needs none."""

    letter: Found
    envelope: Envelope | None


class Place(Protocol):
    """Where letters are put. `done` is what the ledger says of them then."""

    done: Done

    def ready(self, case: Case) -> Ready | Left:
        """What is put there of a letter, or why nothing is."""

    def put(self, batch: Sequence[Ready]) -> None:
        """Returns when all of it lasts. Raises Transient: nothing counts as put, and all of it comes again.

        TooLarge says that all is put but for those.
        """


def with_event(case: Case, transform: Transform | None) -> Ready | Left:
    """A letter with its envelope."""
    letter = case.letter
    if transform is not None:
        repaired = transform(letter.document)
        return repaired if isinstance(repaired, Left) else Ready(letter, envelope_of(letter, *repaired))
    if letter.event_type is None:
        return Left(NO_EVENT)
    return Ready(letter, envelope_of(letter, letter.event_type, letter.document["event"]))


class Copying:
    """`rate` is in letters for each second; `pause` waits so many seconds, or until somebody asks to stop."""

    def __init__(
        self,
        place: Place,
        marking: Marking,
        size: int,
        rate: float | None,
        clock: Callable[[], float],
        pause: Callable[[float], None],
        stop: Callable[[], float | None],
        chance: Callable[[], float],
        trouble: Callable[[str], None],
    ) -> None:
        self._place = place
        self._marking = marking
        self._size = size
        self._rate = rate
        self._clock = clock
        self._pause = pause
        self._stop = stop
        self._chance = chance
        self._trouble = trouble
        self._due = 0.0

    def hand_out(self, cases: Sequence[Case]) -> Ending:
        """All of them, unless somebody asks to stop."""
        for first in range(0, len(cases), self._size):
            batch = cases[first : first + self._size]
            if not self._wait_until(self._due) or not self._put(batch) or not self._write():
                return "stopped"
            if self._rate is not None:
                self._due = max(self._due, self._clock()) + len(batch) / self._rate
        return "through"

    def _put(self, batch: Sequence[Case]) -> bool:
        """False: somebody asked to stop before it was put."""
        ready: list[tuple[Case, Ready]] = []
        for case in batch:
            made = self._place.ready(case)
            if isinstance(made, Left):
                self._marking.add([Outcome(case, None, made.reason)])
            else:
                ready.append((case, made))
        tries = 0
        while ready:
            try:
                self._place.put([each for _, each in ready])
            except TooLarge as error:
                self._put_but(ready, error)
                return True
            except Transient as error:
                tries += 1
                self._trouble(str(error))
                if not self._wait_until(self._clock() + wait(tries, self._chance())):
                    return False
                continue
            self._marking.add([Outcome(case, self._place.done) for case, _ in ready])
            break
        return True

    def _put_but(self, ready: Sequence[tuple[Case, Ready]], error: TooLarge) -> None:
        for number, (case, _) in enumerate(ready):
            large = number in error.which
            self._marking.add([Outcome(case, None, TOO_LARGE) if large else Outcome(case, self._place.done)])

    def _write(self) -> bool:
        """Write down what was done. After somebody asked to stop, it is tried until the time for that is over."""
        self._marking.write(self._clock())
        while self._marking.pending:
            until = self._stop()
            if until is not None and self._clock() >= until:
                return False
            self._pause(LONGEST_WAIT)
            self._marking.write(self._clock())
        return True

    def _wait_until(self, due: float) -> bool:
        """False: somebody asked to stop."""
        while self._stop() is None and (left := due - self._clock()) > 0:
            self._pause(min(left, LONGEST_WAIT))
        return self._stop() is None
