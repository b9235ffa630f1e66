"""From what was measured to what is said of it: medians, ratios inside of a round, the table, the bars.

Pure: no clock, no processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Literal, NamedTuple


class Measured(NamedTuple):
    """One run of one round: CPU and time of its window. `peak` is in MB; `commits` is None where nobody counts them.

    `until_window` and `until_first` are seconds from the process's start to the window and to the first event handled.
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

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds for a thousand events."""
        return self.cpu * 1e6 / self.events


class Spread(NamedTuple):
    """The median, the least and the greatest."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


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
    peak: float


class Bar(NamedTuple):
    """A limit on one figure of a run."""

    run: str
    figure: Literal["ratio", "cpu_ratio", "peak"]
    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        words = {"ratio": "events/s, against bare", "cpu_ratio": "CPU, against bare", "peak": "MB at most"}
        limit = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{self.run}: {words[self.figure]}: {limit}"


def rows(measured: Iterable[Measured], beside: Mapping[str, str]) -> list[Row]:
    """A row for each run, in the order in which they were first measured. `beside` says what each is divided by."""
    by_run: dict[str, dict[int, Measured]] = {}
    for each in measured:
        by_run.setdefault(each.run, {})[each.round] = each
    return [_row(run, mine, beside[run], by_run.get(beside[run], {})) for run, mine in by_run.items()]


def _row(run: str, mine: Mapping[int, Measured], other: str, theirs: Mapping[int, Measured]) -> Row:
    both = [(each, theirs[number]) for number, each in mine.items() if number in theirs]
    some = list(mine.values())
    return Row(
        run=run,
        beside=other,
        rounds=len(some),
        events=some[0].events,
        per_second=Spread.of([each.per_second for each in some]),
        ratio=Spread.of([each.per_second / base.per_second for each, base in both]) if both else None,
        cpu_ms=median(each.cpu_ms for each in some),
        cpu_ratio=median(each.cpu_ms / base.cpu_ms for each, base in both) if both else None,
        peak=max(each.peak for each in some),
    )


def missed(table_rows: Iterable[Row], bars: Iterable[Bar]) -> list[str]:
    """A sentence for each bar that was not reached. What was not measured has reached nothing."""
    by_run = {row.run: row for row in table_rows}
    return [said for bar in bars if (said := _missed(by_run.get(bar.run), bar))]


def _missed(row: Row | None, bar: Bar) -> str:
    value = None if row is None else _figure(row, bar.figure)
    if value is None:
        return f"{bar}: not measured"
    low = bar.at_least is not None and value < bar.at_least
    high = bar.at_most is not None and value > bar.at_most
    return f"{bar}: it is {value:.2f}" if low or high else ""


def _figure(row: Row, name: str) -> float | None:
    value = getattr(row, name)
    return value.middle if isinstance(value, Spread) else value


HEADER = ("run", "events", "events/s", "least - most", "ratio", "least - most", "CPU ms/1k", "CPU ratio", "peak MB")


def table(table_rows: Iterable[Row]) -> str:
    """For a person: text in columns, numbers to the right."""
    lines = [HEADER, *(_cells(row) for row in table_rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "".join(_aligned(line, widths) + "\n" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    speed, ratio = row.per_second, row.ratio
    return (
        row.run,
        f"{row.events:,}",
        f"{speed.middle:,.0f}",
        f"{speed.least:,.0f} - {speed.most:,.0f}",
        "-" if ratio is None else f"{ratio.middle:.2f}",
        "-" if ratio is None else f"{ratio.least:.2f} - {ratio.most:.2f}",
        f"{row.cpu_ms:.1f}",
        "-" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}",
        f"{row.peak:.0f}",
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *padded[1:]])


def document(measured: Iterable[Measured], table_rows: Iterable[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """For scripts: what was measured, run by run, and the rows."""
    runs = [{**each._asdict(), "per_second": each.per_second, "cpu_ms": each.cpu_ms} for each in measured]
    return {**about, "rows": [_plain(row) for row in table_rows], "runs": runs}


def _plain(row: Row) -> dict[str, Any]:
    return {name: value._asdict() if isinstance(value, Spread) else value for name, value in row._asdict().items()}
