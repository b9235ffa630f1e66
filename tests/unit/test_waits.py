"""A wait is told when it begins, once a minute while it lasts, and when it ends; what flaps costs a line a minute."""

from __future__ import annotations

import itertools

import pytest

from datahub_poller.observe.waits import Wait, Waits, Words

WORDS = Words("it began", "it lasts", "it is over")
HALF = Words(None, "it lasts", None)


def wait(reason="the reason", words=WORDS, **more):
    return Wait(words, reason, {"what": "x"}, **more)


def told(waits, until, present, began=0.0, step=1.0):
    """What is told, with its time, by a look each second; `present` gives what is waited for."""
    lines = []
    for number in range(int((until - began) / step) + 1):
        now = began + number * step
        lines += [(now, line) for line in waits.look(present(now), now)]
    return lines


def events(lines):
    return [(now, line.event) for now, line in lines]


def during(*spans, **more):
    return lambda now: {"x": wait(**more)} if any(begin <= now < end for begin, end in spans) else {}


def test_five_minutes_are_a_line_at_the_beginning_four_between_and_one_at_the_end():
    lines = told(Waits(), 500.0, during((10.0, 310.0)))
    assert events(lines) == [
        (12.0, "it began"),
        *((12.0 + 60.0 * n, "it lasts") for n in range(1, 5)),
        (310.0, "it is over"),
    ]
    assert [line.level for _, line in lines] == ["warning"] * 5 + ["info"]
    assert lines[0][1].fields == {"what": "x", "reason": "the reason"}
    assert lines[1][1].fields == {"what": "x", "reason": "the reason", "seconds": 62}
    assert lines[-1][1].fields == {"what": "x", "seconds": 300}


@pytest.mark.parametrize("step", [0.1, 1.0, 1.5])
def test_what_is_over_soon_is_not_told(step):
    spans = [(begin, begin + 1.6) for begin in range(0, 600, 20)]
    assert told(Waits(), 600.0, during(*spans), step=step) == []


def test_a_gap_that_is_shorter_than_the_grace_is_none():
    assert events(told(Waits(), 10.0, during((0.0, 1.5), (2.0, 3.5), (4.0, 5.5)), step=0.5)) == [
        (2.0, "it began"),
        (3.5, "it is over"),
    ]


def test_the_newest_reason_is_told():
    lines = told(Waits(), 100.0, lambda now: {"x": wait(f"reason {now:.0f}")})
    assert [line.fields["reason"] for _, line in lines] == ["reason 2", "reason 62"]


def test_a_grace_of_its_own():
    assert events(told(Waits(), 30.0, during((0.0, 30.0), grace=0.0)))[0] == (0.0, "it began")
    assert events(told(Waits(), 30.0, during((0.0, 30.0), grace=15.0)))[0] == (15.0, "it began")


@pytest.mark.parametrize("on", [3.0, 10.0, 25.0, 59.0, 61.0, 100.0])
@pytest.mark.parametrize("off", [1.0, 3.0, 10.0, 25.0, 59.0])
def test_what_flaps_costs_no_more_than_a_line_a_minute_beyond_the_first_two(on, off):
    lines = told(Waits(), 7200.0, lambda now: {"x": wait()} if now % (on + off) < on else {})
    times = [now for now, _ in lines]
    assert 10 <= len(times) <= 122
    for begin in times:
        assert sum(begin <= now < begin + 60.0 for now in times) <= 2
    gaps = [late - early for early, late in itertools.pairwise(times)]
    assert all(gap >= 60.0 for gap in gaps[gaps.index(min(gaps)) + 1 :]), "beyond the first end"


def test_what_flaps_says_how_often_and_its_end_is_told_once_it_is_quiet():
    spans = [(begin, begin + 5.0) for begin in range(0, 300, 10)]
    lines = told(Waits(), 600.0, during(*spans))
    first, end, *rest, last = lines
    assert [first[1].event, end[1].event] == ["it began", "it is over"]
    assert [line.fields["times"] for _, line in rest if "reason" in line.fields] == [7] * 4
    assert last[1].event == "it is over"
    assert last[0] <= 295.0 + 60.0


def test_what_comes_back_after_a_minute_is_told_at_once_and_its_end_within_a_minute():
    lines = told(Waits(), 300.0, during((0.0, 20.0), (90.0, 110.0)))
    assert events(lines) == [(2.0, "it began"), (20.0, "it is over"), (92.0, "it began"), (152.0, "it is over")]
    assert lines[-1][1].fields["seconds"] == 20, "until it was over, not until it was told"


def test_after_five_minutes_of_quiet_it_is_told_as_at_first():
    lines = told(Waits(), 500.0, during((0.0, 20.0), (330.0, 350.0)))
    assert events(lines) == [(2.0, "it began"), (20.0, "it is over"), (332.0, "it began"), (350.0, "it is over")]
    assert all("times" not in line.fields for _, line in lines)


def test_what_flapped_and_then_lasts_is_told_at_its_end_at_once():
    lines = told(Waits(), 400.0, during((0.0, 5.0), (10.0, 330.0)))
    assert events(lines)[-1] == (330.0, "it is over")


def test_keys_do_not_share_their_minutes():
    lines = Waits().look({"x": wait(grace=0.0), "y": wait(grace=0.0)}, 5.0)
    assert [line.event for line in lines] == ["it began", "it began"]


def test_what_others_tell_the_beginning_and_the_end_of_is_told_while_it_lasts():
    lines = told(Waits(), 300.0, during((0.0, 150.0), words=HALF))
    assert events(lines) == [(62.0, "it lasts"), (122.0, "it lasts")]


def test_nothing_is_kept_of_what_is_over():
    waits = Waits()
    for number in range(1000):
        waits.look({f"x{number}": wait()}, float(number))
    waits.look({}, 2000.0)
    waits.look({}, 2300.0)
    assert not waits._seen
