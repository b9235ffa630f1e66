"""Which letters are handed out again, in which order, and which are left out and why.

Pure. It must not know how a letter is handed out, nor what became of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import Final, Literal, NamedTuple

from datahub_poller.deadletter.account import Name
from datahub_poller.deadletter.choice import Choice, State, matches
from datahub_poller.deadletter.found import Found, NotALetter
from datahub_poller.deadletter.store import Stored
from datahub_poller.model import TopicPartition

Target = Literal["handler", "file", "topic"]

WAVE_LETTERS: Final = 10_000
WAVE_BYTES: Final = 64 * 1024 * 1024
"""What is held at once, at most: so many letters, and so many bytes of their lines; one letter always."""
EXAMPLES: Final = 5

NO_EVENT = "it holds no event (--to handler decodes it anew, --transform can repair it)"
NO_RECORD = "DataHub Actions wrote it, without the record (--to handler or --to file takes it)"
SUPERSEDED = "it has failed again, there is a later letter of the same record"


class Rules(NamedTuple):
    """What a run hands out. `began` is in epoch seconds; `repairs`: a transform may make an event where there is none.

    A letter that was redriven `max_redrives` times is left out.
    """

    choice: Choice
    target: Target
    began: float
    max_redrives: int = 3
    repairs: bool = False


class Case(NamedTuple):
    """A letter to be handed out, and every place where it lies: what is done with one is done with all."""

    letter: Found
    places: Sequence[Stored]


def left_out(letter: Found, rules: Rules) -> str | None:
    """Why a letter that is chosen is not handed out; None where it is."""
    if letter.redrives >= rules.max_redrives:
        return f"redriven {letter.redrives} times already (--max-redrives {rules.max_redrives})"
    if rules.target == "file" and letter.event_type is None and not rules.repairs:
        return NO_EVENT
    if letter.foreign:
        return NO_RECORD if rules.target == "topic" else None
    try:
        letter.record()
    except NotALetter as error:
        return str(error)
    return None


class _Held(NamedTuple):
    """Sorted by what stands first: known places by topic, partition, offset; then the others as they lie there."""

    unplaced: bool
    topic: str
    partition: int
    offset: int
    redrives: int
    number: int
    letter: Found


class Look:
    """One look at all letters: how many are chosen, and the first of them, at most `most` and `size` bytes.

    `tried` are the names that this run has handed out before.
    """

    def __init__(
        self, rules: Rules, tried: Container[Name] = (), most: int = WAVE_LETTERS, size: int = WAVE_BYTES
    ) -> None:
        self.matched = 0
        self.errors: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.topics: set[str] = set()
        self.places: Counter[str] = Counter()
        self._rules = rules
        self._tried = tried
        self._most = most
        self._size = size
        self._held: list[_Held] = []
        self._bytes = 0
        self._later: dict[str, list[tuple[int, float]]] = {}
        self._number = 0

    def take(self, letter: Found, state: State) -> None:
        """Look at one letter, whether it is chosen or not."""
        rules = self._rules
        if letter.redrives and letter.at is not None:
            self._later.setdefault(letter.id, []).append((letter.redrives, letter.at))
        if letter.name in self._tried or state != "waiting" or not matches(rules.choice, letter, state):
            return
        if self._is_new(letter):
            return
        if (reason := left_out(letter, rules)) is not None:
            self.left[reason] += 1
            return
        self.matched += 1
        self.errors[letter.kind] += 1
        if letter.tp is not None:
            self.topics.add(letter.tp.topic)
            self.places[str(letter.tp)] += 1
        self._hold(letter)

    def _is_new(self, letter: Found) -> bool:
        """Whether this run has made it itself, or the poller beside it."""
        if letter.at is not None and letter.at >= self._rules.began:
            return True
        action, name, redrives = letter.name
        return redrives > 0 and (action, name, redrives - 1) in self._tried

    def _hold(self, letter: Found) -> None:
        tp = TopicPartition("", 0) if letter.tp is None else letter.tp
        self._number += 1
        unplaced = letter.tp is None or letter.offset is None
        self._held.append(
            _Held(unplaced, tp.topic, tp.partition, letter.offset or 0, letter.redrives, self._number, letter)
        )
        self._bytes += len(letter.stored.line)
        if len(self._held) > 2 * self._most + 100 or self._bytes > 2 * self._size:
            self._shorten()

    def _shorten(self) -> None:
        self._held.sort()
        count = size = 0
        for each in self._held[: self._most]:
            if count and size + len(each.letter.stored.line) > self._size:
                break
            count += 1
            size += len(each.letter.stored.line)
        del self._held[count:]
        self._bytes = size

    def cases(self, places_of: Callable[[Found], Sequence[Stored]]) -> list[Case]:
        """The first letters, in the order in which they are handed out: at most one for each offset of a partition.

        To be asked when all letters were looked at. `places_of` tells where a letter lies.
        """
        self._shorten()
        cases: list[Case] = []
        before: tuple[TopicPartition, int] | None = None
        for each in self._held:
            letter = each.letter
            if self._is_superseded(letter):
                continue
            if letter.tp is not None and letter.offset is not None:
                place = letter.tp, letter.offset
                if place == before:  # a topic that was made anew: the other one comes in the next wave
                    continue
                before = place
            cases.append(Case(letter, places_of(letter)))
        return cases

    def superseded(self, places_of: Callable[[Found], Sequence[Stored]]) -> list[Case]:
        """Letters that have a successor: an earlier run was stopped between writing that and saying so."""
        return [Case(each.letter, places_of(each.letter)) for each in self._held if self._is_superseded(each.letter)]

    def _is_superseded(self, letter: Found) -> bool:
        """Whether there is a letter of a later redrive, and the record has not failed anew since that."""
        later = self._later.get(letter.id, ())
        return any(redrives > letter.redrives and at >= (letter.at or 0.0) for redrives, at in later)

    def first(self) -> list[Found]:
        """A few letters to show."""
        return [each.letter for each in sorted(self._held)[:EXAMPLES]]
