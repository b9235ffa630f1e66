"""What became of a letter in a run, as a mark of the ledger and as a line for the record, and the sum of it all.

Pure: it must not know how a line is shown, nor where a mark is written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from datahub_poller.deadletter.store import Done, Mark, Stored
from datahub_poller.redrive.planning import SUPERSEDED, Case


class Outcome(NamedTuple):
    """`done` is None where the letter stays as it is; `error` says why, or what failed again."""

    case: Case
    done: Done | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Author:
    """Who runs this, what for, and where letters go."""

    who: str
    run: str
    to: str
    why: str = ""

    def marks(self, outcome: Outcome, at: float) -> list[tuple[Stored, Mark]]:
        """One for each place that the letter lies in; `at` in epoch seconds. None where it stays."""
        if outcome.done is None:
            return []
        action, name, redrives = outcome.case.letter.name
        mark = Mark(action, name, redrives, outcome.done, at, self.who, self.run, self.to, outcome.error, self.why)
        return [(stored, mark) for stored in outcome.case.places]


@dataclass(slots=True)
class Tally:
    """How many letters were done with, and why others stay. `superseded` had failed again in an earlier run."""

    done: Counter[Done] = field(default_factory=Counter)
    superseded: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> None:
        """One more."""
        if outcome.error == SUPERSEDED:
            self.superseded += 1
        elif outcome.done is None:
            self.left[outcome.error] += 1
        else:
            self.done[outcome.done] += 1

    @property
    def all(self) -> int:
        """Letters that were dealt with in some way."""
        return self.done.total() + self.superseded + self.left.total()
