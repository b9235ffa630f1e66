"""Writes down what was done with letters: marks in the store's ledger, tried again until they are durable.

It must not know what is done next; whoever hands letters out waits while anything is not written down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from datahub_poller.deadletter.store import Store
from datahub_poller.errors import Transient
from datahub_poller.policy import wait
from datahub_poller.redrive.outcomes import Author, Outcome, Tally


class Marking:
    """`tell` hears of each outcome once it lasts; `trouble` of what stands in the way. `chance` gives [0, 1)."""

    def __init__(
        self,
        store: Store,
        author: Author,
        wall: Callable[[], float],
        chance: Callable[[], float],
        tell: Callable[[Outcome, float], None],
        trouble: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self._store = store
        self._author = author
        self._wall = wall
        self._chance = chance
        self._tell = tell
        self._trouble = trouble
        self._waiting: list[tuple[Outcome, float]] = []
        self._due = 0.0
        self._tries = 0

    @property
    def pending(self) -> int:
        """How many outcomes are not written down yet."""
        return len(self._waiting)

    @property
    def due(self) -> float:
        """When the next try is, by the clock that `write` is told."""
        return self._due

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """These happened, now."""
        at = self._wall()
        self._waiting += [(outcome, at) for outcome in outcomes]

    def write(self, now: float) -> None:
        """Write down what is not yet, if it is time to try."""
        if not self._waiting or now < self._due:
            return
        marks = [mark for outcome, at in self._waiting for mark in self._author.marks(outcome, at)]
        try:
            if marks:
                self._store.mark(marks)
        except Transient as error:
            self._tries += 1
            self._due = now + wait(self._tries, self._chance())
            self._trouble(f"what was done cannot be written down, and nothing more is begun until it is: {error}")
            return
        self._tries, self._due = 0, 0.0
        written, self._waiting = self._waiting, []
        for outcome, at in written:
            self.tally.count(outcome)
            self._tell(outcome, at)
