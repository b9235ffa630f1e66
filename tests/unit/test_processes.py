"""What a supervisor decides when a process has ended, on virtual time."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.processes import (
    FAILED,
    LONGEST_PAUSE,
    NOT_STARTED,
    STEADY,
    STOPPED,
    WRONG_USE,
    Career,
    Restart,
    StopAll,
    in_order,
    ports,
    shared,
)

KILLED = -signal.SIGKILL
UNASKED = [STOPPED, FAILED, KILLED, -signal.SIGTERM, -signal.SIGSEGV]


def lives(career: Career, code: int, ran: float, now: float):
    """It is started now, runs for so long, and ends with this code."""
    career.started(now)
    return career.ended(code, now + ran)


@pytest.mark.parametrize("code", UNASKED)
def test_one_that_dies_is_started_again_after_a_pause_that_doubles_up_to_a_minute(code):
    career, now, delays = Career(halts=False), 0.0, []
    for _ in range(9):
        decision = lives(career, code, 0.5, now)
        assert isinstance(decision, Restart)
        delays.append(decision.delay)
        now += 0.5 + decision.delay
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_one_that_has_run_for_a_minute_begins_with_the_first_pause_again():
    career = Career(halts=False)
    for number in range(5):
        lives(career, KILLED, 1, number * 100)
    assert lives(career, KILLED, STEADY - 0.1, 1000) == Restart(32)
    assert lives(career, KILLED, STEADY, 2000) == Restart(1)
    assert lives(career, KILLED, 0, 3000) == Restart(2)


@pytest.mark.parametrize("halts", [True, False])
@pytest.mark.parametrize("code", [WRONG_USE, NOT_STARTED])
def test_a_set_up_that_is_wrong_at_the_first_start_stops_all_with_its_code(code, halts):
    assert lives(Career(halts), code, 30, 0) == StopAll(code)


@pytest.mark.parametrize("halts", [True, False])
@pytest.mark.parametrize("code", [WRONG_USE, NOT_STARTED])
def test_after_a_first_start_it_is_tried_again_because_the_others_go_on(code, halts):
    career = Career(halts)
    assert lives(career, KILLED, 3, 0) == Restart(1)
    assert lives(career, code, 3, 10) == Restart(2)
    assert lives(career, code, 3, 20) == Restart(4)


def test_a_halt_that_the_file_asks_for_stops_all_whenever_it_comes():
    assert lives(Career(halts=True), FAILED, 5, 0) == StopAll(FAILED)
    career = Career(halts=True)
    lives(career, KILLED, 3, 0)
    assert lives(career, FAILED, 1000, 10) == StopAll(FAILED)


@pytest.mark.parametrize("code", [code for code in UNASKED if code != FAILED])
def test_where_the_file_asks_for_halts_a_crash_is_none(code):
    assert lives(Career(halts=True), code, 5, 0) == Restart(1)


@given(st.lists(st.tuples(st.integers(-64, 255), st.floats(0, 1e6)), max_size=200), st.booleans())
def test_a_pause_is_never_shorter_than_a_second_nor_longer_than_a_minute(ends, halts):
    career, now = Career(halts), 0.0
    for code, ran in ends:
        match lives(career, code, ran, now):
            case Restart(delay):
                assert 1 <= delay <= LONGEST_PAUSE
                assert delay == 1 or ran < STEADY
                now += ran + delay
            case StopAll(final):
                assert final == code
                assert code in (FAILED, WRONG_USE, NOT_STARTED)
                return


@pytest.mark.parametrize(
    ("code", "fine"),
    [(STOPPED, True), (-signal.SIGTERM, True), (FAILED, False), (NOT_STARTED, False), (KILLED, False)],
)
def test_what_counts_as_stopped_in_order(code, fine):
    assert in_order(code) is fine


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [
        (8470, 3, (8470, 8471, 8472)),
        (65534, 2, (65534, 65535)),
        (None, 2, (None, None)),
        (0, 3, (0, 0, 0)),
    ],
)
def test_status_ports_are_consecutive(first, count, expected):
    assert ports(first, count) == expected


def test_status_ports_beyond_the_last_are_refused():
    with pytest.raises(ValueError, match="3 status ports from 65534 on would go beyond 65535"):
        ports(65534, 3)


def test_names_that_are_shared_are_found_and_no_name_is_none():
    assert shared(["a-0", "a-1", "a-2"]) is None
    assert shared(["a-0", "a-1", "a-0"]) == "a-0"
    assert shared([None, None]) is None
