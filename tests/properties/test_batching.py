"""What a batch holds, for any lanes: within its limits, heads of lanes only, the oldest first, never late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.batching import Limits, choose, due_at
from datahub_poller.lanes import Lane
from datahub_poller.model import Event, TopicPartition
from datahub_poller.parts import Lease
from support.effort import effort
from support.values import record_of, value_of, verdict_of

NOW = 100.0
moments = st.floats(90.0, NOW, allow_nan=False)
entries = st.lists(
    st.tuples(st.sampled_from(("good", "good", "good", "junk", "wait")), st.integers(0, 30), moments), max_size=12
)
limits = st.builds(
    Limits,
    size=st.integers(1, 10),
    window=st.floats(0.0, 12.0, allow_nan=False),
    bytes=st.sampled_from((1, 20, 60, 1000)),
)


def lane_of(number, records, busy=""):
    tp = TopicPartition("t", number)
    lane = Lane(Lease(tp), 0, None, 0.0)
    for offset, (kind, size, at) in enumerate(sorted(records, key=lambda record: record[2])):
        value = value_of("good", 1, size) if kind == "wait" else value_of(kind, None, size)
        record = record_of(tp, offset, value)
        lane.offer(record, verdict_of(record, ()), at)
    lane.blocked = busy == "blocked"
    lane.draining = busy == "draining"
    return lane


lanes = st.lists(st.tuples(entries, st.sampled_from(("", "", "", "blocked", "draining"))), min_size=1, max_size=5).map(
    lambda found: [lane_of(n, records, busy) for n, (records, busy) in enumerate(found)]
)


def events_at_head(lane):
    found = []
    for entry in lane.pending:
        if not isinstance(entry.verdict, Event):
            break
        found.append(entry)
    return found


def could_give(lanes):
    return [lane for lane in lanes if lane.free and events_at_head(lane)]


@effort(300)
@given(lanes=lanes, limits=limits, at_once=st.booleans())
def test_a_batch_keeps_to_its_limits_and_to_the_heads_of_free_lanes(lanes, limits, at_once):
    picks = choose(lanes, limits, NOW, at_once)
    assert len({pick.lane.tp for pick in picks}) == len(picks)
    for lane, count in picks:
        assert lane.free
        assert 1 <= count <= len(events_at_head(lane))
    taken = [entry for lane, count in picks for entry in list(lane.pending)[:count]]
    assert len(taken) <= limits.size
    assert len(taken) <= 1 or sum(entry.size for entry in taken) <= limits.bytes


@effort(300)
@given(lanes=lanes, limits=limits)
def test_the_oldest_event_is_in_it_and_no_lane_is_passed_over(lanes, limits):
    picks = choose(lanes, limits, NOW, at_once=True)
    able = sorted(could_give(lanes), key=lambda lane: lane.pending[0].at)
    assert bool(picks) == bool(able)
    assert [pick.lane.pending[0].at for pick in picks] == [lane.pending[0].at for lane in able[: len(picks)]]
    # Only the last lane may keep back an event that is ready.
    for lane, count in picks[:-1]:
        assert count == len(events_at_head(lane))


@effort(300)
@given(lanes=lanes, limits=limits)
def test_it_is_due_when_it_is_full_or_the_window_of_its_oldest_event_closes(lanes, limits):
    due = due_at(lanes, limits)
    able = could_give(lanes)
    assert (due is None) == (not able)
    if due is None:
        assert choose(lanes, limits, 1e9) == []
        return
    assert due == min(lane.pending[0].at for lane in able) + limits.window
    assert choose(lanes, limits, due), "due, and nothing is chosen: the loop would spin"
    early = choose(lanes, limits, min(NOW, due) - 1e-6)
    if early:
        ready = [entry for lane in able for entry in events_at_head(lane)]
        full = len(ready) >= limits.size or sum(entry.size for entry in ready) >= limits.bytes
        assert full or min(NOW, due) - 1e-6 >= due


@effort(200)
@given(lanes=lanes, limits=limits)
def test_batch_after_batch_every_event_is_taken_once_and_in_order(lanes, limits):
    expected = {lane.tp: [entry.offset for entry in events_at_head(lane)] for lane in could_give(lanes)}
    taken = {tp: [] for tp in expected}
    for _ in range(200):
        picks = choose(lanes, limits, NOW, at_once=True)
        if not picks:
            break
        for lane, count in picks:
            piece = lane.take(count, 0)
            taken[lane.tp] += [entry.offset for entry in piece.entries]
            lane.succeed(piece)
    assert taken == expected
