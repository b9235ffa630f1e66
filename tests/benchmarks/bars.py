"""Whether a bar is reached: one figure of a run, or its ratio to another run's in the same rounds, against a limit.

Pure: no clock, no processes. Which bars there are: `runs.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from benchmarks.figures import Record, Spread, compared, figure

Figure = Literal["per_second", "cpu_ms", "peak", "until_poll", "rss", "p50_at_20", "p50_at_1000", "p99_at_1000"]
WORDS: Final = {
    "per_second": "events/s",
    "cpu_ms": "CPU per event",
    "peak": "MB at most",
    "until_poll": "seconds to the first poll",
    "rss": "MB at the first poll",
    "p50_at_20": "ms to the handler at 20 events/s, p50",
    "p50_at_1000": "ms to the handler at 1,000 events/s, p50",
    "p99_at_1000": "ms to the handler at 1,000 events/s, p99",
}
WORST: Final = ("peak", "rss")
"""Memory is judged by its worst round, all else by the median of all rounds."""


class Bar(NamedTuple):
    """A limit on one figure of a run; on its ratio to another run's where it is `against` one.

    A figure that is no more than `enough` by itself reaches the bar whatever its ratio is.
    """

    run: str
    figure: Figure
    against: str = ""
    at_least: float | None = None
    at_most: float | None = None
    enough: float | None = None

    @property
    def what(self) -> str:
        against = f" against {self.against}" if self.against else ""
        return f"{self.run}: {WORDS[self.figure]}{against}"

    @property
    def limit(self) -> str:
        enough = "" if self.enough is None else f", or {self.enough:g} by itself"
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}{enough}"

    @property
    def needs(self) -> set[str]:
        """The runs that it is about."""
        return {self.run, self.against} - {""}


class Verdict(NamedTuple):
    """What a bar's figure is; None where no round has it. What was not measured has reached nothing.

    `alone` is the figure without what it is compared with.
    """

    bar: Bar
    found: Spread | None
    alone: Spread | None = None

    @property
    def value(self) -> float | None:
        if self.found is None:
            return None
        return self.found.most if self.bar.figure in WORST else self.found.middle

    @property
    def reached(self) -> bool:
        if self.value is None:
            return False
        if self.bar.enough is not None and self.alone is not None and self.alone.middle <= self.bar.enough:
            return True
        low = self.bar.at_least is not None and self.value < self.bar.at_least
        return not low and not (self.bar.at_most is not None and self.value > self.bar.at_most)

    def __str__(self) -> str:
        """A sentence: what it is about, what it should be, what it is."""
        found = "not measured" if self.value is None else f"it is {self.value:.2f}"
        return f"{self.bar.what}: should be {self.bar.limit}: {found}"


def judged(records: Sequence[Record], bars: Iterable[Bar]) -> list[Verdict]:
    """A verdict for each bar."""
    return [Verdict(bar, _found(records, bar), figure(records, bar.run, bar.figure)) for bar in bars]


def of_runs(bars: Iterable[Bar], names: Iterable[str]) -> list[Bar]:
    """The bars that are about nothing but these runs."""
    known = set(names)
    return [bar for bar in bars if bar.needs <= known]


def _found(records: Sequence[Record], bar: Bar) -> Spread | None:
    if bar.against:
        return compared(records, bar.run, bar.against, bar.figure)
    return figure(records, bar.run, bar.figure)
