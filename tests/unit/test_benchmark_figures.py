"""What the benchmark makes of its runs: ratios inside of a round, medians, the table, the bars."""

from __future__ import annotations

import json

import pytest

from benchmarks.figures import HEADER, Bar, Measured, document, missed, rows, table
from benchmarks.runs import BARS, FULL, PEERS, QUICK

BESIDE = {"bare": "bare", "poller": "bare"}


def one(run, number, per_second, cpu_ms=20.0, peak=90.0):
    """A run of 10,000 events at this speed."""
    events = 10_000
    return Measured(run, number, events, events / per_second, cpu_ms * events / 1e6, peak, calls=10)


def row(name, measured, beside=BESIDE):
    return next(each for each in rows(measured, beside) if each.run == name)


def test_ratios_are_taken_inside_of_a_round_not_between_medians():
    # The machine was twice as slow in round 2: only rounds of their own show that the poller is ahead each time.
    measured = [one("bare", 1, 40_000), one("poller", 1, 60_000), one("bare", 2, 10_000), one("poller", 2, 20_000)]
    measured += [one("bare", 3, 50_000), one("poller", 3, 50_000)]
    found = row("poller", measured)
    assert found.ratio == pytest.approx((1.5, 1.0, 2.0))
    assert found.per_second == pytest.approx((50_000, 20_000, 60_000))
    assert found.rounds == 3


def test_cpu_is_for_a_thousand_events_and_its_ratio_is_of_the_round_too():
    measured = [one("bare", 1, 1, cpu_ms=20), one("poller", 1, 1, cpu_ms=10)]
    measured += [one("bare", 2, 1, cpu_ms=40), one("poller", 2, 1, cpu_ms=40)]
    measured += [one("bare", 3, 1, cpu_ms=10), one("poller", 3, 1, cpu_ms=8)]
    found = row("poller", measured)
    assert found.cpu_ms == pytest.approx(10)
    assert found.cpu_ratio == pytest.approx(0.8)


def test_the_peak_is_the_worst_of_all_rounds():
    measured = [one("poller", number, 1, peak=peak) for number, peak in enumerate((100.0, 141.0, 90.0), 1)]
    assert row("poller", measured).peak == 141.0


def test_a_round_without_the_bare_loop_has_no_ratio_and_counts_for_the_rest():
    found = row("poller", [one("poller", 1, 30_000), one("bare", 2, 20_000), one("poller", 2, 40_000)])
    assert found.ratio == pytest.approx((2.0, 2.0, 2.0))
    assert found.per_second.middle == pytest.approx(35_000)
    alone = row("poller", [one("poller", 1, 30_000)])
    assert (alone.ratio, alone.cpu_ratio) == (None, None)


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        (Bar("poller", "ratio", at_least=1.5), ""),
        (Bar("poller", "ratio", at_least=1.6), "poller: events/s, against bare: at least 1.6: it is 1.50"),
        (Bar("poller", "cpu_ratio", at_most=0.5), ""),
        (Bar("poller", "cpu_ratio", at_most=0.4), "poller: CPU, against bare: at most 0.4: it is 0.50"),
        (Bar("poller", "peak", at_most=120), ""),
        (Bar("poller", "peak", at_most=119), "poller: MB at most: at most 119: it is 120.00"),
        (Bar("nobody", "peak", at_most=119), "nobody: MB at most: at most 119: not measured"),
    ],
)
def test_a_bar_is_reached_at_its_own_value_and_missed_beyond_it(bar, said):
    measured = [one("bare", 1, 1000, cpu_ms=20), one("poller", 1, 1500, cpu_ms=10, peak=120)]
    assert missed(rows(measured, BESIDE), [bar]) == ([said] if said else [])


def test_a_ratio_that_no_round_has_misses_its_bar():
    (said,) = missed(rows([one("poller", 1, 1000)], BESIDE), [Bar("poller", "ratio", at_least=1.0)])
    assert said.endswith("not measured")


def test_the_table_has_a_line_for_each_run_and_its_columns_stand_below_each_other():
    text = table(rows([one("bare", 1, 1000), one("poller", 1, 1_234_567)], BESIDE))
    lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines] == [HEADER[0], "bare", "poller"]
    assert len({len(line) for line in lines}) == 1
    assert "1,234,567" in lines[2]
    assert "1234.57" in lines[2]


def test_the_document_holds_every_run_and_is_json():
    measured = [one("bare", 1, 1000), one("poller", 1, 2000)]
    said = json.loads(json.dumps(document(measured, rows(measured, BESIDE), {"seed": 1})))
    assert said["seed"] == 1
    assert [(each["run"], each["per_second"]) for each in said["runs"]] == [("bare", 1000.0), ("poller", 2000.0)]
    assert said["rows"][1]["ratio"] == {"middle": 2.0, "least": 2.0, "most": 2.0}


def test_every_run_stands_beside_one_that_is_run_with_it():
    for runs in (QUICK, FULL):
        names = [run.name for run in runs]
        assert len(set(names)) == len(names)
        by_name = {run.name: run for run in runs}
        for run in runs:
            other = by_name[run.beside]
            assert other.driver == "bare"
            assert (other.framing, other.topics) == ("confluent", run.topics)


def test_bars_are_of_runs_that_the_quick_benchmark_makes_and_these_need_no_other_project():
    assert {bar.run for bar in BARS} <= {run.name for run in QUICK}
    assert not {run.driver for run in QUICK} & set(PEERS)
