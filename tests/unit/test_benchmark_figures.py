"""What the benchmark makes of its runs: ratios inside of a round, medians, the document; which runs there are."""

from __future__ import annotations

import json

import pytest

from benchmarks.figures import (
    Measured,
    Rested,
    Spread,
    Started,
    Thin,
    compared,
    delays,
    document,
    figure,
    percentile,
    rows,
)
from benchmarks.runs import FULL, FULL_PROBES, PEERS, QUICK, QUICK_PROBES

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


def test_any_two_runs_can_be_put_beside_each_other_in_the_rounds_that_have_both():
    measured = [one("poller", 1, 30_000), one("peer", 2, 10_000), one("poller", 2, 40_000), one("poller", 3, 60_000)]
    measured += [one("peer", 3, 20_000)]
    assert compared(measured, "poller", "peer", "per_second") == pytest.approx((3.5, 3.0, 4.0))
    assert compared(measured, "poller", "nobody", "per_second") is None
    assert figure(measured, "nobody", "peak") is None


def test_the_brokers_cpu_is_for_a_thousand_events_too_and_may_be_unknown():
    measured = [one("poller", number, 1)._replace(broker=broker) for number, broker in enumerate((0.1, None, 0.3), 1)]
    assert row("poller", measured).broker_ms == pytest.approx(20.0)
    assert row("poller", [one("poller", 1, 1)]).broker_ms is None


def test_a_row_knows_what_share_its_filter_let_through():
    assert row("poller", [one("poller", 1, 1)._replace(handled=500)]).passed == 0.05
    assert row("poller", [one("poller", 1, 1)]).passed is None


def test_thin_traffic_is_told_by_cost_and_fill():
    thin = Thin(events=2000, seconds=10.0, cpu=1.0, calls=40, rss=90.0)
    assert (thin.cpu_ms, thin.fill) == (500.0, 50.0)


def test_the_document_holds_every_run_and_is_json():
    measured = [one("bare", 1, 1000), one("poller", 1, 2000)]
    said = json.loads(json.dumps(document(measured, rows(measured, BESIDE), {"seed": 1})))
    assert said["seed"] == 1
    assert [(each["run"], each["per_second"]) for each in said["runs"]] == [("bare", 1000.0), ("poller", 2000.0)]
    assert said["rows"][1]["ratio"] == {"middle": 2.0, "least": 2.0, "most": 2.0}


def test_starts_and_rests_are_in_the_document_too():
    rest = Rested("rest", 1, 1000, 1.5, 20.0, 80.0, Thin(events=10, seconds=1.0, cpu=0.1, calls=4, rss=90.0))
    said = json.loads(json.dumps(document([Started("start", 1, 0.4, 50.0, 0.6), rest], [], {})))
    assert said["starts"][0]["until_poll"] == 0.4
    assert said["rests"][0]["thin"] | {"cpu_ms": 10_000.0, "fill": 2.5} == said["rests"][0]["thin"]


def test_the_nth_event_that_came_is_the_nth_that_was_sent():
    assert delays([1.0, 2.0, 3.0], [(1, 1.5), (2, 3.25)]) == [500.0, 1250.0, 250.0]
    with pytest.raises(ValueError, match="shorter"):
        delays([1.0, 2.0], [(1, 1.5)])


def test_a_percentile_is_a_value_that_so_many_do_not_exceed():
    assert [percentile(range(1, 101), percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert [percentile([7.0], percent) for percent in (1, 99)] == [7.0, 7.0]
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0


def test_a_spread_of_nothing_is_nothing():
    assert Spread.of([]) is None


def test_every_run_stands_beside_one_that_is_run_with_it():
    for runs in (QUICK, FULL):
        names = [run.name for run in runs]
        assert len(set(names)) == len(names)
        by_name = {run.name: run for run in runs}
        for run in runs:
            other = by_name[run.beside]
            assert other.driver == ("poller" if run.gated else "bare")
            assert (other.framing, other.topics, other.gated) == ("confluent", run.topics, run.gated)


def test_the_quick_benchmark_needs_no_other_project_and_is_a_part_of_the_full_one():
    assert not {run.driver for run in QUICK} & set(PEERS)
    assert FULL[: len(QUICK)] == QUICK
    assert FULL_PROBES[: len(QUICK_PROBES)] == QUICK_PROBES


def test_names_are_given_once_and_the_many_partitions_are_a_thousand():
    names = [each.name for each in (*FULL, *FULL_PROBES)]
    assert len(set(names)) == len(names)
    assert sum(FULL_PROBES[-1].partitions) == 1000
