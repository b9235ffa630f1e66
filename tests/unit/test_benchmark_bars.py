"""Bars, and the tables that a person reads."""

from __future__ import annotations

import pytest

from benchmarks.bars import WORDS, Bar, judged, of_runs
from benchmarks.figures import Delayed, Measured, Rested, Started, Thin, rows
from benchmarks.runs import BARS, FULL, FULL_PROBES, QUICK, QUICK_PROBES
from benchmarks.tables import HEADER, report, table

KINDS = {"start": Started, "rest": Rested, "latency": Delayed}
BESIDE = {"bare": "bare", "poller": "bare"}


def one(run, number, per_second, cpu_ms=20.0, peak=90.0):
    events = 10_000
    return Measured(run, number, events, events / per_second, cpu_ms * events / 1e6, peak, calls=10)


def started(number, until_poll, rss=50.0):
    return Started("start", number, until_poll, rss, until_poll + 0.2)


RECORDS = [
    one("bare", 1, 1000, cpu_ms=20),
    one("poller", 1, 1500, cpu_ms=10, peak=120),
    Delayed("late", 1, 4.0, 9.0, 6.0, 20.0),
    Delayed("soon", 1, 1.0, 2.0, 5.0, 10.0),
    *(started(number, until, rss) for number, (until, rss) in enumerate(((0.5, 50.0), (0.9, 81.0), (0.4, 60.0)), 1)),
]


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        (Bar("poller", "per_second", against="bare", at_least=1.5), ""),
        (
            Bar("poller", "per_second", against="bare", at_least=1.6),
            "poller: events/s against bare: should be at least 1.6: it is 1.50",
        ),
        (Bar("poller", "cpu_ms", against="bare", at_most=0.5), ""),
        (
            Bar("poller", "cpu_ms", against="bare", at_most=0.4),
            "poller: CPU per event against bare: should be at most 0.4: it is 0.50",
        ),
        (Bar("poller", "peak", at_most=120), ""),
        (Bar("poller", "peak", at_most=119), "poller: MB at most: should be at most 119: it is 120.00"),
        (Bar("nobody", "peak", at_most=119), "nobody: MB at most: should be at most 119: not measured"),
        (
            Bar("poller", "per_second", against="nobody", at_least=1),
            "poller: events/s against nobody: should be at least 1: not measured",
        ),
        # Seconds by the median of all starts, memory by the worst of them.
        (Bar("start", "until_poll", at_most=0.5), ""),
        (Bar("start", "rss", at_most=80), "start: MB at the first poll: should be at most 80: it is 81.00"),
        # A figure that is good by itself needs no ratio.
        (Bar("late", "p50_at_20", against="soon", at_most=1.5, enough=4), ""),
        (
            Bar("late", "p50_at_20", against="soon", at_most=1.5, enough=3),
            f"late: {WORDS['p50_at_20']} against soon: should be at most 1.5, or 3 by itself: it is 4.00",
        ),
        (Bar("late", "p50_at_1000", against="soon", at_most=1.5, enough=3), ""),
    ],
)
def test_a_bar_is_reached_at_its_own_value_and_missed_beyond_it(bar, said):
    (verdict,) = judged(RECORDS, [bar])
    assert verdict.reached == (not said)
    assert not said or str(verdict) == said


def test_a_bar_counts_where_all_that_it_is_about_was_chosen():
    bars = [Bar("a", "peak", at_most=1), Bar("a", "per_second", against="b", at_least=1), Bar("c", "rss", at_most=1)]
    assert of_runs(bars, ["a"]) == bars[:1]
    assert of_runs(bars, ["b", "a"]) == bars[:2]


def test_bars_are_of_runs_and_probes_that_exist_and_of_figures_that_these_have():
    runs, probes = {run.name for run in FULL}, {probe.name: probe for probe in FULL_PROBES}
    for bar in BARS:
        assert (bar.at_least is None) != (bar.at_most is None)
        assert bar.needs <= runs or bar.needs <= set(probes)
        kind = KINDS[probes[bar.run].kind] if bar.run in probes else Measured
        assert hasattr(kind, bar.figure)


def test_the_quick_benchmark_judges_all_but_other_projects():
    quick = of_runs(BARS, [each.name for each in (*QUICK, *QUICK_PROBES)])
    others = {run.name for run in FULL} - {run.name for run in QUICK}
    assert [bar for bar in BARS if bar not in quick] == [bar for bar in BARS if bar.needs & others]


def test_the_table_has_a_line_for_each_run_and_its_columns_stand_below_each_other():
    text = table(rows([one("bare", 1, 1000), one("poller", 1, 1_234_567)], BESIDE))
    lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines] == [HEADER[0], "bare", "poller"]
    assert len({line.index(" bare" if number else " ratio to") for number, line in enumerate(lines)}) == 1
    assert "1,234,567" in lines[2]
    assert "1234.57" in lines[2]


def test_what_a_filter_let_through_stands_in_its_name():
    text = table(rows([one("poller", 1, 1000)._replace(handled=498)], BESIDE))
    assert text.splitlines()[1].startswith("poller (4.98 %)")


def test_everything_measured_is_in_the_report_and_what_was_not_is_not():
    thin = Thin(events=2000, seconds=10.0, cpu=1.0, calls=40, rss=90.0)
    records = [*RECORDS, Rested("many", 1, 1000, 1.5, 20.0, 80.0, thin), Rested("few", 1, 6, 0.5, 5.0, 70.0)]
    text = report(rows(RECORDS[:2], BESIDE), records, judged(RECORDS, [Bar("poller", "peak", at_most=119)]))
    found = [[line.split() for line in part.splitlines()] for part in text.split("\n\n")]
    assert [[line[0] for line in part] for part in found] == [
        ["run", "bare", "poller"],
        ["start", "start"],
        ["rest", "many", "few"],
        ["thin", "many"],
        ["latency", "late", "soon"],
        ["bar", "poller:"],
    ]
    _, starts, rests, thins, delays, bars = found
    assert delays[1][1:] == ["4.0", "9.0", "6.0", "20.0"]
    assert starts[1][1:] == ["3", "0.50", "0.40", "-", "0.90", "81", "0.70"]
    assert rests[1][1:] == ["1,000", "1.50", "20.0", "80"]
    assert thins[1][1:] == ["200", "500", "50.0", "100", "90"]
    assert bars[1][-5:] == ["120.00", "at", "most", "119", "missed"]
    assert report([], [], []) == ""
