"""A lane's account, case by case."""

from __future__ import annotations

import pytest

from datahub_poller.lanes import LONGEST_LETTER_RUN, Lane
from datahub_poller.model import Event, Failure, SchemaKey, TopicPartition
from datahub_poller.parts import Lease
from support.values import record_of, value_of, verdict_of

TP = TopicPartition("t", 0)
KEY = SchemaKey("confluent", 1)
FAILURE = Failure("handler", "ValueError", "no")


def lane(*kinds, start=0, step=1):
    made = Lane(Lease(TP), start, None, 0.0)
    for n, kind in enumerate(kinds):
        offer(made, start + n * step, kind)
    return made


def offer(lane, offset, kind, at=0.0):
    record = record_of(TP, offset, value_of(*kind) if isinstance(kind, tuple) else value_of(kind))
    lane.offer(record, verdict_of(record, ()), at)


def read_with(*known):
    return lambda record: verdict_of(record, known)


def test_a_new_lane_is_settled_where_it_starts():
    new = lane(start=7)
    assert (new.settled, new.received, new.idle, new.free) == (7, 7, True, True)


def test_what_is_skipped_settles_at_once_while_nothing_comes_before_it():
    assert lane("drop", "tombstone", start=5).settled == 7


def test_what_is_skipped_behind_an_event_settles_with_it():
    held = lane("good", "drop", "tombstone")
    assert held.settled == 0
    held.succeed(held.take(1, 0))
    assert held.settled == 3


def test_what_is_skipped_behind_a_part_in_work_settles_with_it():
    held = lane("good", "good")
    piece = held.take(2, 0)
    offer(held, 2, "drop")
    held.skip_to(9)
    held.succeed(piece)
    assert (held.settled, held.idle) == (9, True)


def test_offsets_that_are_not_in_the_log_are_passed():
    held = lane("good", "good", step=10)
    held.succeed(held.take(1, 0))
    assert held.settled == 1
    held.succeed(held.take(1, 0))
    assert held.settled == 11


def test_a_record_that_was_received_before_is_dropped():
    held = lane("good", "good")
    offer(held, 0, "good")
    offer(held, 1, "junk")
    assert (held.records, held.undecodable) == (2, 0)


def test_what_is_done_out_of_order_does_not_settle_past_a_gap():
    held = lane(*["good"] * 4)
    piece = held.take(4, 0)
    held.narrow(piece, {1})
    assert (held.settled, held.bytes) == (1, 12)
    held.succeed(piece)
    assert (held.settled, held.bytes, held.part) == (4, 0, None)


def test_the_halves_of_an_odd_piece_are_tried_the_earlier_and_longer_one_first():
    held = lane(*["good"] * 5)
    held.split(held.take(5, 0))
    first, second = reversed(held.part.todo)
    assert [entry.offset for entry in first.entries] == [0, 1, 2]
    assert [entry.offset for entry in second.entries] == [3, 4]
    assert held.part.piece is first
    assert first.splitting
    assert second.splitting


def test_given_up_events_settle_when_their_letters_are_acknowledged():
    held = lane("good", "good")
    piece = held.take(2, 0)
    held.doom(piece, FAILURE, "b1")
    assert (held.settled, held.part.piece) == (0, None)
    held.lettered(held.work.doomed)
    assert (held.settled, held.idle, held.bytes) == (2, True, 0)


def test_an_event_is_given_up_for_the_first_time_once():
    held = lane("good", "good")
    assert held.doom(held.take(2, 0), FAILURE, "b1") == 2
    held.restart(10, 1000)
    assert held.doom(held.part.piece, FAILURE, "b2") == 0


def test_a_restart_tries_what_is_unfinished_with_what_fits_behind_it():
    held = lane(*["good"] * 6)
    piece = held.take(3, 0)
    held.narrow(piece, {1})
    held.doom(piece, FAILURE, "b1")
    held.restart(3, 1000)
    assert [entry.offset for entry in held.part.piece.entries] == [1, 3, 4]
    assert (held.part.piece.attempts, held.part.doomed, held.part.size) == (0, [], 3)
    held.succeed(held.part.piece)
    assert held.settled == 5


@pytest.mark.parametrize(("size", "taken"), [(4, [0]), (7, [0]), (8, [0, 1]), (1, [0])])
def test_a_restart_adds_nothing_that_does_not_fit(size, taken):
    held = lane(*["good"] * 3)
    held.doom(held.take(1, 0), FAILURE, "b1")
    held.restart(3, size)
    assert [entry.offset for entry in held.part.piece.entries] == taken
    assert held.bytes == 12


def test_the_run_of_undecodable_records_at_the_head_is_taken_up_to_the_room_there_is():
    held = lane("junk", "junk", "junk", "good", "junk")
    assert held.take_undecodable(2, 0) == 2
    assert [doomed.entry.offset for doomed in held.part.doomed] == [0, 1]
    held.lettered(held.work.doomed)
    assert held.take_undecodable(5, 0) == 1
    held.lettered(held.work.doomed)
    assert (held.settled, held.undecodable) == (3, 1)


def test_a_record_that_was_given_up_before_takes_no_room():
    held = lane("junk", "junk", "junk")
    held.head().given_up = True
    assert held.take_undecodable(1, 0) == 1
    assert len(held.part.doomed) == 2


def test_a_run_of_letters_is_bounded():
    held = lane(*["junk"] * (LONGEST_LETTER_RUN + 5))
    held.take_undecodable(10**6, 0)
    assert len(held.part.doomed) == LONGEST_LETTER_RUN


def test_what_waited_for_a_schema_is_read_again_in_its_place():
    held = lane(("good", 1), ("drop", 1), ("junk", 1), ("good", 2), "good")
    assert held.awaiting == 4
    assert held.ready(10, 1000) == (0, 0)
    assert held.reread(read_with(KEY))
    assert (held.awaiting, held.undecodable) == (1, 1)
    assert [entry.offset for entry in held.pending] == [0, 2, 3, 4]
    held.succeed(held.take(1, 0))
    assert held.settled == 2


def test_reading_again_to_no_avail_changes_nothing():
    held = lane(("good", 1), "good")
    assert not held.reread(read_with())
    assert (held.awaiting, held.records) == (1, 2)


def test_a_skipped_head_that_waited_settles_at_once():
    held = lane(("drop", 1), ("tombstone", 1))
    held.reread(read_with(KEY))
    assert (held.settled, held.bytes, held.idle) == (2, 0, True)


def test_one_event_is_ready_however_large_it_is():
    held = lane("good", "good")
    assert held.ready(10, 1) == (1, 4)
    assert held.ready(1, 1000) == (1, 4)
    assert held.ready(10, 8) == (2, 8)


def test_events_are_ready_up_to_the_first_that_is_none():
    assert lane("good", "good", "junk", "good").ready(10, 1000)[0] == 2
    assert lane("good", ("good", 1), "good").ready(10, 1000)[0] == 1


def test_a_lane_that_is_blocked_or_drains_gives_nothing():
    for state in ("blocked", "draining"):
        held = lane("good")
        setattr(held, state, True)
        assert not held.free
        assert not held.may_act


def test_two_leases_of_a_partition_are_two():
    assert Lease(TP) != Lease(TP)
    assert isinstance(verdict_of(record_of(TP, 0, value_of("good")), ()), Event)


def test_a_probe_goes_to_the_events_behind_and_a_restart_is_cut_into_batches():
    held = lane(*["good"] * 5)
    held.doom(held.take(2, 0), FAILURE, "b1")
    assert held.reach_behind(2, 1000)
    assert [entry.offset for entry in held.part.piece.entries] == [2, 3]
    held.restart(2, 1000)
    assert [[entry.offset for entry in piece.entries] for piece in held.part.todo] == [[2, 3], [0, 1]]
    held.restart(3, 8)
    assert [[entry.offset for entry in piece.entries] for piece in held.part.todo] == [[2, 3], [0, 1]]
    for _ in range(2):
        held.succeed(held.part.piece)
    assert (held.settled, held.part) == (4, None)


def test_a_restart_keeps_undecodable_records_given_up():
    held = lane("junk", "junk", "good")
    assert held.event_behind(2)
    assert not held.event_behind(1)
    held.take_undecodable(2, 0)
    assert held.reach_behind(10, 1000)
    held.restart(10, 1000)
    assert [doomed.entry.offset for doomed in held.part.doomed] == [0, 1]
    held.succeed(held.part.piece)
    assert held.settled == 0
    held.lettered(held.work.doomed)
    assert held.settled == 3


def test_there_is_nothing_behind_what_waits_for_a_schema_or_is_not_there():
    assert not lane("junk").event_behind(9)
    assert not lane("junk", ("raw", 1)).event_behind(9)
