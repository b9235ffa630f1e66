"""What is counted beside the counters: how large batches were, how long calls took, which letters were written.

Pure, and bounded: a histogram has fixed bounds, and letters of many kinds are counted as `other` together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from datahub_poller.model import Failure
from datahub_poller.observe.figures import Distribution, LetterCount

HANDLER_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
BATCH_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
MOST_CLASSES: Final = 50
"""Classes of errors that are counted by name: a handler can make up new ones without end."""
OTHER: Final = "other"


class Histogram:
    """Counts of values up to each of the `bounds`, and above the last."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def sum(self) -> float:
        """Of all values."""
        return self._sum

    def distribution(self) -> Distribution:
        """As it is now."""
        return Distribution(self._bounds, tuple(self._counts), self._sum)


class Tally:
    """Counted by the loop's thread."""

    def __init__(self) -> None:
        self.handler_seconds = Histogram(HANDLER_SECONDS)
        self.batch_size = Histogram(BATCH_SIZES)
        self._letters: Counter[tuple[str, str]] = Counter()

    def called(self, events: int, seconds: float) -> None:
        """A call of the handler with so many events came back after so long."""
        self.batch_size.observe(events)
        self.handler_seconds.observe(seconds)

    def lettered(self, failures: Iterable[Failure]) -> None:
        """Letters about these are acknowledged."""
        for failure in failures:
            key = (failure.stage, failure.kind)
            if key not in self._letters and len(self._letters) >= MOST_CLASSES:
                key = (failure.stage, OTHER)
            self._letters[key] += 1

    def letters(self) -> tuple[LetterCount, ...]:
        """How many of each stage and class."""
        return tuple(LetterCount(stage, kind, count) for (stage, kind), count in self._letters.items())
