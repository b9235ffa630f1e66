"""A position outside of its log: what is said of it, and what follows."""

from __future__ import annotations

import pytest

from datahub_poller.gaps import COMMIT_PAST_END, MADE_ANEW, READ_PAST_END, RETENTION, START_PAST_END, Gap


@pytest.mark.parametrize(
    ("gap", "event", "missing", "read"),
    [
        (Gap(10, 10, 10, 30, 50), RETENTION, 20, None),
        (Gap(10, 10, 10, 50, 50), RETENTION, 40, None),
        (Gap(25, 10, 12, 30, 50), RETENTION, 5, 25),
        (Gap(10, 10, None, 30, 50), RETENTION, 20, None),
        (Gap(1000, 1000, 1000, 0, 4), COMMIT_PAST_END, None, None),
        (Gap(5, 5, 5, 0, 4), COMMIT_PAST_END, None, None),
        (Gap(5, 5, None, 0, 4), START_PAST_END, None, None),
        (Gap(9, 5, 5, 0, 7), READ_PAST_END, None, 9),
        (Gap(9, 5, 9, 0, 7), READ_PAST_END, None, 9),
        (Gap(9, 5, 9, 0, 50, new_topic=True), MADE_ANEW, None, 9),
    ],
)
def test_what_happened_is_told_with_what_is_known_of_it(gap: Gap, event: str, missing: int | None, read: int | None):
    assert (gap.event, gap.missing, gap.read, gap.inside) == (event, missing, read, False)


@pytest.mark.parametrize("at", [30, 40, 50])
def test_the_log_s_ends_are_inside(at: int):
    assert Gap(at, 0, 0, 30, 50).inside
    assert not Gap(at, 0, 0, 30, 50, new_topic=True).inside


def test_what_follows_is_told():
    assert Gap(10, 10, 10, 30, 50).then("earliest") == "reading from offset 30"
    assert Gap(60, 60, 60, 30, 50).then("earliest").startswith("reading from offset 30 (what this log still has")
    assert Gap(60, 60, 60, 30, 50).then("halt") == "stopping"
