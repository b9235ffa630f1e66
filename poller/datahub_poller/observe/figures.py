"""Figures of a snapshot that are more than a number: distributions, and letters by what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Distribution(NamedTuple):
    """How many values were above the bound before and at most `bounds[i]`; the last count is of what is above all."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    sum: float = 0.0

    @property
    def total(self) -> int:
        """How many values in all."""
        return sum(self.counts)


NOTHING = Distribution()


class LetterCount(NamedTuple):
    """Dead letters acknowledged. `kind` is the error's class."""

    stage: str
    kind: str
    letters: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Since the process began. `decode_seconds` is the time spent in decoding and filtering.

    `handler_busy_seconds` is the time of all calls, that of running ones as of the snapshot; never less than before.
    `handler_slots` is how many can run at once now.
    """

    handler_seconds: Distribution = NOTHING
    batch_size: Distribution = NOTHING
    letters: tuple[LetterCount, ...] = ()
    decode_seconds: float = 0.0
    handler_busy_seconds: float = 0.0
    handler_slots: int = 1
