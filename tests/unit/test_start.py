"""Where a partition without a commit begins, and what commits remember."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.start import (
    PATIENCE_SECONDS,
    Begin,
    Committed,
    Earliest,
    End,
    Found,
    Mark,
    Since,
    Topic,
    Wait,
    decide,
    known_topics,
    mark,
    mark_in,
    partitions_at_first_start,
    short_name,
    topic_id_in,
)

ID = "Zm9v-mJhcg_0123456789A"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SINCE = Since(1_767_323_045_000)
NONE = Committed(None, "")


def topic(mine, committed, *, is_new=False, waited=0.0):
    """`committed`: what each partition has; None where there is no commit."""
    found = {n: NONE if each is None else Committed(*each) for n, each in enumerate(committed)}
    return Topic(mine, found, is_new, waited)


OURS = (7, mark(Mark(2)))
THEIRS = (7, "")


# -- what commits remember


@given(
    st.integers(0, 10**6),
    st.sampled_from(["", ID]),
    st.frozensets(st.text(min_size=1, max_size=30).map(short_name), max_size=5),
)
def test_a_mark_is_found_again_also_beside_the_words_of_others(partitions, topic_id, known):
    about = Mark(partitions, topic_id, known)
    for metadata in (mark(about), f"moved by ops; {mark(about)}; 2026"):
        assert mark_in(metadata) == about
        assert topic_id_in(metadata) == topic_id


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "by another tool",
        "datahub-poller:partitions=",
        "datahub-poller:partitions=x",
        "xdatahub-poller:partitions=5",
        "datahub-poller:start=1700000000000",
        f"topic={ID}",
    ],
)
def test_what_is_no_mark_tells_nothing(metadata):
    assert mark_in(metadata) is None
    assert topic_id_in(metadata) == ""


@pytest.mark.parametrize("topic_id", ["", ID[:-1], ID + "A"])
def test_a_mark_without_a_whole_id_tells_no_topic(topic_id):
    assert topic_id_in(f"datahub-poller:partitions=3 topic={topic_id}") == ""


def test_a_mark_fits_into_what_a_broker_keeps_beside_an_offset():
    known = frozenset(short_name(f"topic {n}") for n in range(10))
    assert len(mark(Mark(10**6, ID, known))) < 200  # offset.metadata.max.bytes is 4096 unless somebody wants less


def test_the_most_partitions_that_a_commit_remembers_count_and_those_without_an_offset_do_not():
    found = {0: Committed(5, mark(Mark(3))), 1: Committed(0, mark(Mark(2))), 2: Committed(None, mark(Mark(9)))}
    assert partitions_at_first_start(found) == 3


@pytest.mark.parametrize("metadata", ["", "by another tool"])
def test_where_no_commit_remembers_it_every_partition_existed(metadata):
    assert partitions_at_first_start({0: Committed(5, metadata), 3: NONE}) == 4
    assert partitions_at_first_start({}) == 0


def test_known_topics_are_those_of_all_commits():
    one, two = short_name("one"), short_name("two")
    found = [Committed(5, mark(Mark(1, known=frozenset({one})))), Committed(6, mark(Mark(1, known=frozenset({two}))))]
    assert known_topics([*found, NONE, Committed(1, "")]) == {one, two}
    assert known_topics([]) == frozenset()


# -- where partitions begin


def test_at_the_first_start_the_owner_of_partition_0_commits_for_every_partition():
    assert decide("latest", topic({0, 2}, [None] * 4)) == [Found((0, 1, 2, 3), End())]
    assert decide(AT, topic({0}, [None] * 2)) == [Found((0, 1), SINCE)]


def test_at_the_first_start_all_others_wait_for_it_and_not_for_ever():
    assert decide("latest", topic({1, 2}, [None] * 4, waited=PATIENCE_SECONDS - 0.1)) == [Wait()]
    assert decide("latest", topic({1, 2}, [None] * 4, waited=PATIENCE_SECONDS)) == [Found((1, 2), End())]


@pytest.mark.parametrize("start", ["latest", "earliest", AT])
@pytest.mark.parametrize("mine", [{0}, {1}, {0, 1}])
def test_a_topic_that_is_newer_than_the_group_is_read_from_its_beginning(start, mine):
    (found,) = decide(start, topic(mine, [None, None], is_new=True))
    assert (found.partitions, found.where) == (tuple(mine), Earliest())


@pytest.mark.parametrize("start", ["latest", "earliest", AT])
def test_a_partition_that_came_after_the_first_start_is_read_from_its_beginning(start):
    (found,) = decide(start, topic({2, 3}, [OURS, OURS, None, None]))
    assert (found.partitions, found.where) == ((2, 3), Earliest())


def test_a_partition_that_lost_its_commit_is_on_the_side_of_delivering_and_that_is_known():
    assert decide("latest", topic({1, 2}, [OURS, None, None])) == [
        Begin((2,), Earliest(), "new"),
        Begin((1,), Earliest(), "no commit"),
    ]


def test_in_a_group_taken_over_a_partition_without_a_commit_is_read_from_its_beginning():
    assert decide("latest", topic({1}, [THEIRS, None])) == [Begin((1,), Earliest(), "no commit")]


def test_a_time_that_the_file_names_counts_for_what_existed():
    assert decide(AT, topic({1}, [THEIRS, None])) == [Begin((1,), SINCE, "no commit")]


def test_earliest_needs_no_first_start():
    for committed in ([None, None], [THEIRS, None], [OURS, None]):
        assert decide("earliest", topic({1}, committed)) == [Begin((1,), Earliest(), "as configured")]


def test_a_topic_made_anew_is_new_whatever_is_committed():
    assert decide(AT, topic({1}, [OURS, None], is_new=True)) == [Begin((1,), Earliest(), "new")]


@given(
    st.sampled_from(["latest", "earliest", AT]),
    st.lists(st.sampled_from([None, OURS, THEIRS]), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([0.0, PATIENCE_SECONDS]),
    st.data(),
)
def test_every_partition_is_decided_once_and_never_begins_at_the_end_beside_a_commit(
    start, committed, is_new, waited, data
):
    without = [n for n, each in enumerate(committed) if each is None]
    if not without:
        return
    mine = data.draw(st.sets(st.sampled_from(without), min_size=1))
    decisions = decide(start, topic(mine, committed, is_new=is_new, waited=waited))
    if decisions == [Wait()]:
        assert set(committed) == {None}
        assert 0 not in mine
        return
    covered = [n for each in decisions for n in each.partitions]
    assert len(covered) == len(set(covered))
    assert mine <= set(covered)
    if set(committed) != {None}:
        assert all(each.where != End() for each in decisions)
        assert set(covered) == mine
