"""A run: look at all letters, hand the first of them out, and look again, until nothing is left that is new.

It must not know where letters are handed out to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from datahub_poller.deadletter.account import Letters, Name, letters
from datahub_poller.deadletter.store import Mark, Store, Stored
from datahub_poller.redrive.handing import Ending
from datahub_poller.redrive.marking import Marking
from datahub_poller.redrive.outcomes import Outcome
from datahub_poller.redrive.planning import SUPERSEDED, WAVE_BYTES, WAVE_LETTERS, Case, Look, Rules


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many letters a run hands out, and what one wave holds of them."""

    limit: int | None = None
    letters: int = WAVE_LETTERS
    bytes: int = WAVE_BYTES


class Seen(NamedTuple):
    """One look at the place: what is chosen of it, and what lies there beside letters."""

    look: Look
    letters: Letters

    def cases(self) -> list[Case]:
        """What is handed out next."""
        return self.look.cases(self.letters.places_of)


def look_at(store: Store, action: str, rules: Rules, bounds: Bounds, tried: Container[Name] = ()) -> Seen:
    """Look at every letter. Raises CannotStart where the place cannot be read."""
    most = bounds.letters if bounds.limit is None else min(bounds.letters, bounds.limit)
    look = Look(rules, tried, most, bounds.bytes)
    found = letters(store, action)
    for letter, state in found:
        look.take(letter, state)
    return Seen(look, found)


class Shelf:
    """A Store that can be opened anew: a queue shows what it has shown once only after it was closed."""

    def __init__(self, store: Store, opened: Callable[[], Store]) -> None:
        self._store = store
        self._opened = opened

    @property
    def place(self) -> str:
        """The store's."""
        return self._store.place

    @property
    def caution(self) -> str:
        """The store's."""
        return self._store.caution

    def renew(self) -> None:
        """Let go of all that was found, and open the place anew."""
        self._store.close()
        self._store = self._opened()

    def scan(self) -> Iterator[Stored]:
        """As the store does."""
        return self._store.scan()

    def marks(self) -> Iterator[Mark]:
        """As the store does."""
        return self._store.marks()

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        """As the store does."""
        self._store.mark(marks)

    def remove(self, stored: Sequence[Stored]) -> int:
        """As the store does."""
        return self._store.remove(stored)

    def close(self) -> None:
        """As the store does."""
        self._store.close()


class Summary(NamedTuple):
    """`waiting` were chosen and not tried; `gone` were chosen and not to be seen any more when it was their turn.

    `left_out` are letters that the rules leave out, by the reason.
    """

    ending: Ending
    waiting: int
    gone: int
    left_out: Counter[str]


class Run:
    """`hand_out` takes the cases of one wave; what it has done with them it has written down by `marking`."""

    def __init__(
        self,
        shelf: Shelf,
        action: str,
        rules: Rules,
        bounds: Bounds,
        hand_out: Callable[[Sequence[Case]], Ending],
        marking: Marking,
    ) -> None:
        self._shelf = shelf
        self._action = action
        self._rules = rules
        self._bounds = bounds
        self._hand_out = hand_out
        self._marking = marking
        self._tried: set[Name] = set()

    def go(self, seen: Seen) -> Summary:
        """Until all that is chosen was tried once, or it is no use going on. `seen` is the first look."""
        gone = 0
        left = self._bounds.limit
        while seen.look.matched and left != 0:
            before, matched = self._marking.tally.all, seen.look.matched
            ending, handed = self._wave(seen)
            done = self._marking.tally.all - before
            if ending != "through":
                waiting = matched if left is None else min(matched, left)
                return Summary(ending, max(0, waiting - done), gone, seen.look.left)
            left = None if left is None else left - handed
            if left == 0:
                break
            self._shelf.renew()  # a queue shows what stands behind letters that stay only when these are let go of
            bounds = Bounds(left, self._bounds.letters, self._bounds.bytes)
            seen = look_at(self._shelf, self._action, self._rules, bounds, self._tried)
            gone += max(0, matched - done - seen.look.matched)
        return Summary("through", 0, gone, seen.look.left)

    def _wave(self, seen: Seen) -> tuple[Ending, int]:
        """How it ended, and how many letters were handed out."""
        cases = seen.cases()
        over = seen.look.superseded(seen.letters.places_of)
        self._tried.update(case.letter.name for case in [*over, *cases])
        self._marking.add([Outcome(case, "failed_again", SUPERSEDED) for case in over])
        return self._hand_out(cases), len(cases)
