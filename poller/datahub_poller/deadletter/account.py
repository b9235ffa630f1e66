"""What has become of an action's letters: the ledger's account of each, and the letters that lie in the place.

Pure but for the store that it is given. It must not know what kind of place that is, nor what is done with a letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from datahub_poller.deadletter.choice import Choice, State, matches
from datahub_poller.deadletter.found import Found, NotALetter, found
from datahub_poller.deadletter.store import Mark, Store, Stored

Name = tuple[str, str, int]
"""What a letter is known by: action, id, redrives; `Found.name`."""

EXAMPLES = 5
"""How many of what is no letter are kept to be shown."""


class Account:
    """What the ledger says of one action's letters."""

    def __init__(self, marks: Iterable[Mark], action: str) -> None:
        self._marks: dict[Name, tuple[Mark, ...]] = {}
        for mark in marks:
            if mark.action == action:
                self.add(mark)

    def add(self, mark: Mark) -> None:
        """Take in what has been done since. A letter that lies in two places is marked in each: that is said once."""
        name = (mark.action, mark.letter, mark.redrives)
        known = self._marks.get(name, ())
        if mark not in known:
            self._marks[name] = (*known, mark)

    def state_of(self, name: Name, at: float | None = None) -> State:
        """Dropped is dropped, whatever was done before or after. What was done before `at` does not count.

        `at` is when the letter was given up, where it says so: a record that fails once more after its letter was done
        with, in a group that was set back for one, has the same name, and nothing was done with that yet.
        """
        marks = [mark for mark in self._marks.get(name, ()) if at is None or mark.at >= at]
        if any(mark.done == "dropped" for mark in marks):
            return "dropped"
        return "redriven" if marks else "waiting"

    def marks_of(self, name: Name) -> tuple[Mark, ...]:
        """All that was done with a letter, oldest first."""
        return self._marks.get(name, ())


class Reject(NamedTuple):
    """What lies among the letters and is none: where, and why it is none."""

    where: str
    reason: str


class Letters:
    """The letters of one action in a place, each name once, in the order of the place; iterate once.

    The same letter may lie there more than once, after a crash: the first is handed out, and where the others lie is
    known when the iteration has ended. Only one that was given up after everything that was done with the first is a
    letter again. `repeated` counts the others, `others` letters of other actions, `rejected` what is no letter;
    `rejects` are the first few of these. Of what has passed, only names and the others' places are kept.
    """

    def __init__(self, store: Store, action: str) -> None:
        self.account = Account(store.marks(), action)
        self.repeated = 0
        self.others = 0
        self.rejected = 0
        self.rejects: list[Reject] = []
        self._store = store
        self._action = action
        self._handed: dict[Name, tuple[State, str]] = {}
        self._copies: dict[tuple[Name, str], list[Stored]] = {}

    def __iter__(self) -> Iterator[tuple[Found, State]]:
        """Each letter and its state. Raises CannotStart where the place cannot be read."""
        for stored in self._store.scan():
            letter = self._read(stored)
            if letter is None:
                continue
            if letter.action != self._action:
                self.others += 1
                continue
            name, state = letter.name, self.account.state_of(letter.name, letter.at)
            before = self._handed.get(name)
            if before is None or (before[0] != "waiting" and state == "waiting"):
                self._handed[name] = state, stored.where
                yield letter, state
            else:
                self.repeated += 1
                self._copies.setdefault((name, before[1]), []).append(stored)

    def places_of(self, letter: Found) -> list[Stored]:
        """Every place that this letter lies in: what is done with one is done with all. Complete after iteration."""
        return [letter.stored, *self._copies.get((letter.name, letter.stored.where), ())]

    def _read(self, stored: Stored) -> Found | None:
        try:
            return found(stored, self._action)
        except NotALetter as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a line that somebody has edited must not hide the others
            reason = f"it is damaged: {type(error).__name__}: {error}"
        self.rejected += 1
        if len(self.rejects) < EXAMPLES:
            self.rejects.append(Reject(stored.where, reason))
        return None


def letters(store: Store, action: str) -> Letters:
    """The letters of the action of this name. Reads the ledger at once, and the letters as they are iterated over."""
    return Letters(store, action)


class Chosen:
    """The chosen letters, iterated over once. `by_state` counts, by their state, all that are chosen but for it."""

    def __init__(self, letters: Letters, choice: Choice) -> None:
        self.letters = letters
        self.by_state: Counter[State] = Counter()
        self._choice = choice

    def __iter__(self) -> Iterator[tuple[Found, State]]:
        """Each chosen letter and its state. Raises CannotStart where the place cannot be read."""
        in_any = self._choice._replace(states=frozenset())
        for letter, state in self.letters:
            if matches(in_any, letter, state):
                self.by_state[state] += 1
                if not self._choice.states or state in self._choice.states:
                    yield letter, state

    @property
    def left_out(self) -> dict[State, int]:
        """How many would be chosen in another state."""
        states = self._choice.states
        return {state: count for state, count in self.by_state.items() if states and state not in states}
