"""How much is read ahead, and what is paused: by events, bytes and what the filter passes, and for a schema's sake."""

from __future__ import annotations

import pytest

from datahub_poller.appetite import LEAST_READ, SCHEMA_PATIENCE, Appetite
from datahub_poller.batching import Limits
from datahub_poller.lanes import Lane
from datahub_poller.model import Awaiting, Event, Record, SchemaKey, TopicPartition
from datahub_poller.parts import Lease

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
WAITS = Awaiting(SchemaKey("confluent", 1))
MIB = 2**20
MOST = 500


def lane_with(tp, count, verdict=None, size=10):
    lane = Lane(Lease(tp), 0, None, 0.0)
    for offset in range(count):
        lane.offer(Record(tp, offset, -1, "NOT_AVAILABLE", None, bytes(size), ()), verdict or Event({}), 0.0)
    return lane


def appetite(size=200, most_bytes=MIB, calls=1, buffer=64 * MIB):
    made = Appetite(buffer, 0, Limits(size, 1.0, most_bytes), calls)
    made.took(1000, 1000, 10)
    return made


def room(made, *lanes, now=0.5, calling=True, fetching=False):
    return made.room(lanes, [lane for lane in lanes if not lane.idle], MOST, now, calling, fetching)


@pytest.mark.parametrize(("held", "calls", "expected"), [(0, 1, 200), (50, 1, 150), (150, 1, LEAST_READ), (200, 1, 1)])
def test_no_more_is_asked_for_than_the_next_calls_take(held, calls, expected):
    assert room(appetite(calls=calls), lane_with(A, held)) == expected


def test_calls_at_a_time_have_a_batch_each_ahead():
    assert room(appetite(calls=2), lane_with(A, 200)) == 200
    assert room(appetite(calls=2), lane_with(A, 400)) == 1


def test_nothing_holds_it_back_while_a_call_can_start():
    assert room(appetite(), lane_with(A, 400), calling=False) == LEAST_READ


def test_large_records_are_counted_by_their_bytes():
    """What the next call takes is bounded by bytes as well: else the buffer fills, and partitions are paused."""
    assert room(appetite(most_bytes=MIB), lane_with(A, 20, size=MIB // 20)) > 1
    assert room(appetite(most_bytes=MIB), lane_with(A, 20, size=MIB // 19)) == 1


def test_what_stands_behind_a_retry_is_no_next_batch():
    stuck = lane_with(A, 400)
    stuck.take(10, 0)
    assert room(appetite(), stuck) > 1
    stuck.flight = 1
    assert room(appetite(), stuck) == 1


def test_with_a_filter_that_lets_little_through_more_is_asked_for():
    made = appetite()
    for _ in range(50):
        made.took(100, 50, 10)
    assert 390 <= room(made, lane_with(A, 0)) <= 410
    for _ in range(50):
        made.took(100, 0, 10)
    assert room(made, lane_with(A, 0)) == MOST


def test_while_a_schema_is_fetched_everybody_waits_a_moment_and_nothing_is_paused():
    """A schema is usually here in milliseconds; a partition that is resumed stands still for up to a second."""
    made, waiting = appetite(), lane_with(A, 200, WAITS)
    assert room(made, waiting, calling=False, fetching=True) == 1
    assert made.paused([waiting], [waiting], 0.5, fetching=True) == frozenset()


@pytest.mark.parametrize(("now", "fetching"), [(0.5, False), (SCHEMA_PATIENCE, True)])
def test_a_schema_that_cannot_be_had_holds_up_its_own_partitions_only(now, fetching):
    made, waiting, other = appetite(), lane_with(A, 200, WAITS), lane_with(B, 0)
    assert room(made, waiting, other, now=now, calling=False, fetching=fetching) == LEAST_READ
    assert made.paused([waiting, other], [waiting, other], now, fetching=fetching) == {A}


def test_a_lane_of_which_all_schemas_came_waits_for_none():
    lane = lane_with(A, 3, WAITS)
    assert lane.awaiting_since == 0.0
    lane.reread(lambda _: Event({}))
    assert lane.awaiting_since is None
