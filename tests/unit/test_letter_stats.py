"""Letters counted, and the figures as lines."""

from __future__ import annotations

import pytest

from datahub_poller.deadletter.stats import Bucket, Figures, in_buckets
from datahub_poller.observe.letter_figures import bars, curve, table
from support.letter_stores import ACTIONS_LINE, a_letter, as_found

NOON = 1_769_860_800  # 2026-01-31T12:00:00Z
HOUR, DAY = 3_600, 86_400


def figures(*letters) -> Figures:
    counted = Figures()
    for letter in letters:
        counted.add(as_found(letter), "waiting")
    return counted


def at(*hours: float, **more) -> list:
    return [a_letter(number, at=NOON + hour * HOUR, **more) for number, hour in enumerate(hours)]


def test_groups_are_of_an_error_and_a_stage_the_largest_first():
    counted = figures(
        *at(0, kind="KeyError"), *at(1, 3, 2, message="late", topic="B"), *at(5, topic="A"), *at(9, stage="decode")
    )
    assert [(group.kind, group.stage, group.count) for group in counted.groups] == [
        ("ValueError", "handler", 4),
        ("ValueError", "decode", 1),
        ("KeyError", "handler", 1),
    ]
    largest = counted.groups[0]
    assert (largest.first, largest.last) == (NOON + HOUR, NOON + 5 * HOUR)
    assert largest.topics == {"A", "B"}
    assert largest.example == "tag unknown"
    assert counted.stages == {"handler": 5, "decode": 1}
    assert counted.states == {"waiting": 6}


def test_the_example_is_the_message_given_up_last():
    early, late = at(0, message="early"), at(1, message="late")
    assert figures(*late, *early).groups[0].example == "late"


def test_buckets_are_full_hours_with_empty_ones_between():
    counted = figures(*at(0, 0.5, 2.99))
    starts = counted.starts("hour", 10)
    assert counted.over_time(starts) == [Bucket(NOON, 2), Bucket(NOON + HOUR, 0), Bucket(NOON + 2 * HOUR, 1)]


def test_buckets_of_days_begin_at_midnight_utc():
    counted = figures(*at(0, 11.9, 12))
    midnight = NOON - 12 * HOUR
    assert counted.over_time(counted.starts("day", 10)) == [Bucket(midnight, 2), Bucket(midnight + DAY, 1)]


def test_only_the_last_buckets_are_made():
    counted = figures(*at(-9_000_000, 0, 1))
    starts = counted.starts("hour", 5)
    assert [bucket.letters for bucket in counted.over_time(starts)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(("hours", "by"), [((), "hour"), ((0,), "hour"), ((0, 47), "hour"), ((0, 48), "day")])
def test_a_long_span_is_counted_by_the_day(hours, by):
    assert figures(*at(*hours)).usual() == by


def test_a_group_has_the_buckets_of_all():
    counted = figures(*at(0, 2), *at(1, kind="KeyError"))
    starts = counted.starts("hour", 10)
    curves = [[bucket.letters for bucket in in_buckets([group], starts)] for group in counted.groups]
    assert curves == [[1, 0, 1], [0, 1, 0]]


def test_letters_without_a_time_count_and_are_in_no_bucket():
    counted = figures(ACTIONS_LINE)
    assert (counted.count, counted.timeless) == (1, 1)
    assert counted.over_time(counted.starts("hour", 10)) == []
    assert counted.groups[0].first is None
    assert counted.groups[0].example == "DataHub Actions does not say why"


def test_entities_and_aspects_are_counted():
    counted = figures(a_letter(1), a_letter(1, event={"entityUrn": "urn:li:dataset:1", "aspectName": "status"}))
    assert counted.entities == {"urn:li:dataset:1": 2}
    assert counted.aspects == {"TAG": 1, "status": 1}


def test_nothing_at_all_is_counted_as_nothing():
    counted = figures()
    assert (counted.count, counted.groups, counted.over_time(counted.starts("day", 5))) == (0, [], [])


# -- as lines


def test_a_table_is_as_wide_as_its_cells_and_numbers_stand_to_the_right():
    assert table(("a", "n"), [("x\n", "1"), ("yyy", "10")], (1,)) == ["a     n", "x\\n   1", "yyy  10"]


@pytest.mark.parametrize(
    ("counts", "line"), [([], ""), ([0, 0], "  "), ([1, 8, 0], "▁█ "), ([1], "█"), ([5, 10], "▄█"), ([1, 1000], "▁█")]
)
def test_a_curve_is_as_high_as_its_counts_and_never_blank_where_there_is_one(counts, line):
    assert curve(counts) == line


def test_bars_are_in_proportion_and_none_that_counts_is_empty():
    assert bars([("a", 1000), ("bb", 1), ("c", 0)], "#") == [f"a   {'#' * 40} 1,000", "bb  # 1", "c   0"]
