"""From what was measured to what is said of it: medians, ratios inside of a round, rows, the document.

Pure: no clock, no processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, Self


class Measured(NamedTuple):
    """One run of one round: CPU and time of its window. `peak` is in MB; `commits` is None where nobody counts them.

    Of several processes, CPU, memory, calls and commits are sums. `until_window` and `until_first` are seconds from
    the start to the window and to the first event handled. `broker` is the CPU seconds that the broker used in the
    window. `handled` is how many of the events a filter let through.
    """

    run: str
    round: int
    events: int
    seconds: float
    cpu: float
    peak: float
    calls: int
    commits: int | None = None
    until_window: float = 0.0
    until_first: float = 0.0
    broker: float | None = None
    handled: int | None = None

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds for a thousand events."""
        return self.cpu * 1e6 / self.events

    @property
    def broker_ms(self) -> float | None:
        """The broker's, for a thousand events."""
        return None if self.broker is None else self.broker * 1e6 / self.events


class Started(NamedTuple):
    """One start of the poller, in seconds from the start of its process; `rss` in MB, at the first poll."""

    run: str
    round: int
    until_poll: float
    rss: float
    until_assigned: float


class Thin(NamedTuple):
    """Few events, spread over all partitions: `seconds` from the first one's sending to the last one's commit."""

    events: int
    seconds: float
    cpu: float
    calls: int
    rss: float

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds for a thousand events, rest included."""
        return self.cpu * 1e6 / self.events

    @property
    def fill(self) -> float:
        """Events in a call, on average."""
        return self.events / self.calls


class Rested(NamedTuple):
    """One poller without events: CPU milliseconds for each second, MB; and under thin traffic if it got any."""

    run: str
    round: int
    partitions: int
    until_assigned: float
    cpu_ms: float
    rss: float
    thin: Thin | None = None


class Delayed(NamedTuple):
    """Milliseconds from the producer to the handler, at so many events per second on one partition."""

    run: str
    round: int
    p50_at_20: float
    p99_at_20: float
    p50_at_1000: float
    p99_at_1000: float


Record = Measured | Started | Rested | Delayed


class Spread(NamedTuple):
    """The median, the least and the greatest."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """None of nothing."""
        return cls(median(values), min(values), max(values)) if values else None


class Row(NamedTuple):
    """What all rounds together say of a run. Ratios are None where no round has both it and what it is beside."""

    run: str
    beside: str
    rounds: int
    events: int
    per_second: Spread
    ratio: Spread | None
    cpu_ms: float
    cpu_ratio: float | None
    broker_ms: float | None
    peak: float
    passed: float | None = None


def delays(sent: Sequence[float], arrivals: Iterable[tuple[int, float]]) -> list[float]:
    """Milliseconds for each event of one partition: the times of sending, and of calls with so many events each."""
    came = (at for events, at in arrivals for _ in range(events))
    return [1000 * (at - began) for began, at in zip(sent, came, strict=True)]


def percentile(values: Sequence[float], percent: int) -> float:
    """The least value that so many per cent do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def figure(records: Iterable[Record], run: str, name: str) -> Spread | None:
    """One figure of a run in all its rounds."""
    return Spread.of(list(_by_round(records, run, name).values()))


def compared(records: Sequence[Record], run: str, against: str, name: str) -> Spread | None:
    """The ratio of one figure of two runs, taken inside of each round that has both."""
    mine, theirs = _by_round(records, run, name), _by_round(records, against, name)
    return Spread.of([value / theirs[number] for number, value in mine.items() if number in theirs])


def _by_round(records: Iterable[Record], run: str, name: str) -> dict[int, float]:
    values = ((each.round, getattr(each, name)) for each in records if each.run == run)
    return {number: value for number, value in values if value is not None}


def rows(measured: Sequence[Measured], beside: Mapping[str, str]) -> list[Row]:
    """A row for each run, in the order in which they were first measured. `beside` says what each is divided by."""
    return [_row(measured, run, beside[run]) for run in dict.fromkeys(each.run for each in measured)]


def _row(measured: Sequence[Measured], run: str, other: str) -> Row:
    some = [each for each in measured if each.run == run]
    speed = figure(measured, run, "per_second")
    assert speed is not None
    first = some[0]
    return Row(
        run=run,
        beside=other,
        rounds=len(some),
        events=first.events,
        per_second=speed,
        ratio=compared(measured, run, other, "per_second"),
        cpu_ms=median(each.cpu_ms for each in some),
        cpu_ratio=_middle(compared(measured, run, other, "cpu_ms")),
        broker_ms=_middle(figure(measured, run, "broker_ms")),
        peak=max(each.peak for each in some),
        passed=None if first.handled is None else first.handled / first.events,
    )


def _middle(spread: Spread | None) -> float | None:
    return None if spread is None else spread.middle


def document(records: Sequence[Record], table_rows: Iterable[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """For scripts: the rows, and what was measured, run by run, start by start, rest by rest."""
    return {
        **about,
        "rows": [plain(row) for row in table_rows],
        "runs": [_run(each) for each in records if isinstance(each, Measured)],
        "starts": [plain(each) for each in records if isinstance(each, Started)],
        "rests": [plain(each) for each in records if isinstance(each, Rested)],
        "delays": [plain(each) for each in records if isinstance(each, Delayed)],
    }


def _run(each: Measured) -> dict[str, Any]:
    return {**plain(each), "per_second": each.per_second, "cpu_ms": each.cpu_ms, "broker_ms": each.broker_ms}


def plain(value: NamedTuple) -> dict[str, Any]:
    """By names, also what is inside of it."""
    found = {name: plain(each) if isinstance(each, Spread | Thin) else each for name, each in value._asdict().items()}
    return {**found, "cpu_ms": value.cpu_ms, "fill": value.fill} if isinstance(value, Thin) else found
