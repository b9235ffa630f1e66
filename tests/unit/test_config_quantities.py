"""Durations, sizes, numbers and times: what is read, and that what is shown can be read again."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.config.problems import Wrong
from datahub_poller.config.quantities import (
    Duration,
    Size,
    Whole,
    duration_text,
    size_text,
    start_position,
)

ANY_DURATION = Duration(0, 1e9, {"step": 0.0})
ANY_SIZE = Size(0, 2**60)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("1s", 1),
        ("2m", 120),
        ("1h", 3600),
        ("1.5s", 1.5),
        ("5ms", 0.005),
        (" 10 s ", 10),
        ("7", 7),
        (3, 3.0),
        (0.25, 0.25),
        (0, 0.0),
        ("step", 0.0),
        ("STEP", 0.0),
    ],
)
def test_durations_are_read(text: Any, seconds: float) -> None:
    assert ANY_DURATION(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 day", "1e3", "1s2", "٣s", None, True, [], {}, float("nan"), "nan"])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(Wrong):
        ANY_DURATION(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5MiB", 5 * 2**20),
        ("64MB", 64 * 10**6),
        ("1024", 1024),
        (1024, 1024),
        ("1k", 1000),
        ("1.5KiB", 1536),
        ("2 GiB", 2**31),
        ("10B", 10),
        ("3mib", 3 * 2**20),
        ("1G", 10**9),
    ],
)
def test_sizes_are_read(text: Any, size: int) -> None:
    assert ANY_SIZE(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "5 pounds", "-1", "1iB", "1TiB", None, True, 1.5, [], "٣"])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(Wrong):
        ANY_SIZE(text)


@pytest.mark.parametrize(("text", "number"), [(5, 5), ("5", 5), (" 5 ", 5), ("+5", 5), ("-0", 0)])
def test_whole_numbers_are_read(text: Any, number: int) -> None:
    assert Whole(0, 10)(text) == number


@pytest.mark.parametrize("text", ["", "5.0", 5.0, True, None, "٣", "1_0", "0x1", "9" * 5000, 11, -1])
def test_what_is_no_whole_number_is_refused(text: Any) -> None:
    with pytest.raises(Wrong):
        Whole(0, 10)(text)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("latest", "latest"),
        (" Earliest ", "earliest"),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31 08:00+02:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        (datetime(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),  # noqa: DTZ001 - what the check is about
    ],
)
def test_starts_are_read(text: Any, start: Any) -> None:
    assert start_position(text) == start


@pytest.mark.parametrize("text", ["", "none", "2026-13-01", "0001-01-01T00:00:00+23:00", 5, None, [], True])
def test_what_is_no_start_is_refused(text: Any) -> None:
    with pytest.raises(Wrong):
        start_position(text)


@given(st.integers(0, 10**10))
def test_a_shown_duration_is_read_as_the_same(milliseconds: int) -> None:
    assert Duration(0, 1e9)(duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6, rel=0)


@given(st.integers(0, 2**50))
def test_a_shown_size_is_read_as_the_same(size: int) -> None:
    assert ANY_SIZE(size_text(size)) == size


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.integers())))
def test_no_value_makes_a_check_raise_anything_else(value: Any) -> None:
    for check in (ANY_DURATION, ANY_SIZE, Whole(0, 10), start_position):
        with suppress(Wrong):
            check(value)
