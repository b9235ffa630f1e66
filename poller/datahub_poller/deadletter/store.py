"""What reading dead letters back promises, whatever the place: every letter, and what was done with it since.

A store's letters stay where they are when they are redriven; a ledger beside them says so. It must not know what is
chosen, or why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

Done = Literal["delivered", "failed_again", "written", "produced", "dropped"]
"""What was done with a letter: its event was handed to the handler and that succeeded; that failed, and there is
another letter now; it was written to a file; its record was produced to a topic; it was dropped."""


class Stored(NamedTuple):
    """A letter as it was found: its line of JSON, complete, and where it lies, in the store's own words.

    `handle` is the store's own; nobody else looks at it.
    """

    line: bytes
    where: str
    handle: Any = None


class Mark(NamedTuple):
    """A line of the ledger: what was done with one letter. `at` is in epoch seconds.

    A letter is named by `action`, `letter` (its id) and `redrives`: a record that fails again after a redrive has
    another letter under the same id, with a higher count.
    """

    action: str
    letter: str
    redrives: int
    done: Done
    at: float
    who: str
    run: str
    to: str = ""
    error: str = ""
    why: str = ""


class Store(Protocol):
    """A place that letters are read from. One thread uses it."""

    @property
    def place(self) -> str:
        """Where the letters are, for people. No secrets."""

    @property
    def caution(self) -> str:
        """What a person must know of looking at this place, such as that looking hides what is seen; mostly empty."""

    def scan(self) -> Iterator[Stored]:
        """Every letter that lies there, in the order of the place. What is not a letter is handed out all the same.

        Raises CannotStart where the place cannot be read.
        """

    def marks(self) -> Iterator[Mark]:
        """The ledger, oldest first."""

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        """Add to the ledger; returns when that is durable. Raises Transient."""

    def remove(self, letters: Sequence[Stored]) -> int:
        """Delete these letters from the place, as far as it can: how many are gone. Raises Transient.

        What has been marked as dropped counts as gone, whether it could be deleted or not.
        """

    def close(self) -> None:
        """Let go of what was found and not marked."""
