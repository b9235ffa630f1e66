"""Where a partition without a commit begins."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from datahub_poller.start import Committed, Earliest, Since, beginning, first_start, mark, topic_id_in

NOW = 1_800_000_000_000


def test_a_mark_is_found_again():
    assert first_start([Committed(5, mark(NOW))]) == NOW


def test_the_earliest_mark_counts_and_those_without_a_commit_do_not():
    found = [Committed(5, mark(300)), Committed(0, mark(200)), Committed(None, mark(100)), Committed(9, "")]
    assert first_start(found) == 200


@pytest.mark.parametrize(
    "metadata", ["", "by another tool", "datahub-poller:start=", "datahub-poller:start=x", "xdatahub-poller:start=-5"]
)
def test_what_is_no_mark_tells_nothing(metadata):
    assert first_start([Committed(5, metadata)]) is None


def test_a_mark_beside_the_words_of_others_is_found():
    assert first_start([Committed(5, f"moved by ops; {mark(7)}; 2026")]) == 7


TOPIC = "Zm9v-mJhcg_0123456789A"


def test_a_mark_tells_the_topic_beside_the_start():
    for metadata in (mark(NOW, TOPIC), f"moved by ops; {mark(NOW, TOPIC)}; 2026"):
        assert topic_id_in(metadata) == TOPIC
        assert first_start([Committed(5, metadata)]) == NOW


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        mark(NOW),
        f"topic={TOPIC}",
        f"{mark(NOW)} topic=",
        f"{mark(NOW)} topic={TOPIC[:-1]}",
        f"{mark(NOW)} topic={TOPIC}A",
        f"{mark(NOW)} by hand topic={TOPIC}",
    ],
)
def test_a_mark_without_a_whole_id_tells_no_topic(metadata):
    assert topic_id_in(metadata) == ""


def test_a_mark_fits_into_what_a_broker_keeps_beside_an_offset():
    assert len(mark(10**15 - 1, TOPIC)) < 80  # offset.metadata.max.bytes is 4096 unless somebody wants less


def test_no_commit_tells_nothing():
    assert first_start([]) is None


def test_latest_is_the_groups_first_start_and_now_for_a_new_group():
    assert beginning("latest", None, NOW) == Since(NOW)
    assert beginning("latest", 123, NOW) == Since(123)


def test_earliest_and_a_time_mean_what_they_say_whatever_the_group_did_before():
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for known in (None, 123):
        assert beginning("earliest", known, NOW) == Earliest()
        assert beginning(at, known, NOW) == Since(1_767_323_045_000)
