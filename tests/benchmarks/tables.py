"""What a person reads at the end: text in columns, numbers to the right.

Pure: no clock, no processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks.bars import Verdict
from benchmarks.figures import Delayed, Record, Rested, Row, Spread, Started, figure

HEADER: Final = (
    *("run", "events", "events/s", "least - most", "ratio", "least - most"),
    *("CPU ms/1k", "CPU ratio", "broker ms/1k", "peak MB", "ratio to"),
)
STARTS: Final = ("start", "times", "s to first poll", "least - most", "MB there", "s to partitions")
RESTS: Final = ("rest", "partitions", "s to partitions", "CPU ms/s", "MB")
THIN: Final = ("thin traffic", "events/s", "CPU ms/1k", "events/call", "CPU ms/s", "MB")
DELAYS: Final = ("latency", "p50 ms at 20/s", "p99 ms at 20/s", "p50 ms at 1,000/s", "p99 ms at 1,000/s")
BARS: Final = ("bar", "least - most", "is", "should be", "")


def report(rows: Sequence[Row], records: Sequence[Record], verdicts: Sequence[Verdict]) -> str:
    """Every table that has something in it."""
    tables = (table(rows), starts(records), rests(records), thin(records), delays(records), bars(verdicts))
    return "\n".join(each for each in tables if each)


def table(rows: Iterable[Row]) -> str:
    """The runs."""
    return _columns(HEADER, [_cells(row) for row in rows], left={0, len(HEADER) - 1})


def starts(records: Iterable[Record]) -> str:
    """How soon the poller asks for its first records."""
    found = [each for each in records if isinstance(each, Started)]
    return _columns(STARTS, [_start(found, run) for run in dict.fromkeys(each.run for each in found)])


def rests(records: Iterable[Record]) -> str:
    """What the poller costs without events."""
    found = (each for each in records if isinstance(each, Rested))
    return _columns(RESTS, [_rest(each) for each in found])


def thin(records: Iterable[Record]) -> str:
    """What few events on many partitions cost."""
    found = (each for each in records if isinstance(each, Rested) and each.thin is not None)
    return _columns(THIN, [_thin(each) for each in found])


def delays(records: Iterable[Record]) -> str:
    """How long an event takes from its producer to the handler."""
    found = (each for each in records if isinstance(each, Delayed))
    return _columns(DELAYS, [_delays(each) for each in found])


def bars(verdicts: Iterable[Verdict]) -> str:
    """What was to be reached, and what was."""
    return _columns(BARS, [_verdict(each) for each in verdicts], left={0, len(BARS) - 1})


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.run if row.passed is None else f"{row.run} ({100 * row.passed:.2f} %)",
        f"{row.events:,}",
        f"{row.per_second.middle:,.0f}",
        f"{row.per_second.least:,.0f} - {row.per_second.most:,.0f}",
        _number(row.ratio),
        _range(row.ratio),
        f"{row.cpu_ms:.1f}",
        "-" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}",
        "-" if row.broker_ms is None else f"{row.broker_ms:.1f}",
        f"{row.peak:.0f}",
        row.beside,
    )


def _start(found: Sequence[Started], run: str) -> tuple[str, ...]:
    until, rss = figure(found, run, "until_poll"), figure(found, run, "rss")
    times = sum(each.run == run for each in found)
    memory = "-" if rss is None else f"{rss.most:.0f}"
    return (run, str(times), _number(until), _range(until), memory, _number(figure(found, run, "until_assigned")))


def _rest(each: Rested) -> tuple[str, ...]:
    partitions, until = f"{each.partitions:,}", f"{each.until_assigned:.2f}"
    return (each.run, partitions, until, f"{each.cpu_ms:.1f}", f"{each.rss:.0f}")


def _thin(each: Rested) -> tuple[str, ...]:
    found = each.thin
    assert found is not None
    speed, cost = f"{found.events / found.seconds:.0f}", f"{found.cpu_ms:.0f}"
    return (each.run, speed, cost, f"{found.fill:.1f}", f"{1000 * found.cpu / found.seconds:.0f}", f"{found.rss:.0f}")


def _delays(each: Delayed) -> tuple[str, ...]:
    figures = (each.p50_at_20, each.p99_at_20, each.p50_at_1000, each.p99_at_1000)
    return (each.run, *(f"{ms:.1f}" for ms in figures))


def _verdict(each: Verdict) -> tuple[str, ...]:
    value = "-" if each.value is None else f"{each.value:.2f}"
    return (each.bar.what, _range(each.found), value, each.bar.limit, "" if each.reached else "missed")


def _number(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.middle:.2f}"


def _range(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.least:.2f} - {spread.most:.2f}"


def _columns(header: Sequence[str], lines: Sequence[Sequence[str]], left: Iterable[int] = (0,)) -> str:
    """Nothing where there is no line."""
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in (header, *lines)) for column in range(len(header))]
    return "".join(_aligned(line, widths, set(left)) + "\n" for line in (header, *lines))


def _aligned(cells: Sequence[str], widths: Sequence[int], left: set[int]) -> str:
    padded = (
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()
