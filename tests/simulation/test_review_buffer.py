"""A buffer that a stuck partition must not take from the others."""

from __future__ import annotations

import pytest

from datahub_poller.batching import Limits
from datahub_poller.model import Event, Record, Skipped, TopicPartition
from datahub_poller.works import Delivered
from support.simulation import Answer, Simulation, away

STUCK, LATER = TopicPartition("t", 0), TopicPartition("t", 1)


@pytest.mark.parametrize("size", [100, 1_000, 3_000])
def test_what_one_poll_brings_for_a_stuck_partition_leaves_room_for_the_others(size):
    """Records are read many at a time: without a look at their sizes one read could fill the whole buffer."""
    sim = Simulation({"t": 2}, limits=Limits(size=10, window=0.2), buffer=40_000)
    back = sim.clock.now + 200
    sim.desk.sink = lambda records: away(records) if sim.clock.now < back else Answer(0.01, Delivered())
    sim.write(STUCK, "junk", *["good"] * 1_000, size=size)
    sim.after(5.0, lambda: sim.write(LATER, *["good"] * 100, size=size))
    seen = []
    sim.after(100.0, lambda: seen.append(sim.ledger.lanes[LATER].settled))
    sim.run(limit=2000)
    assert seen == [100]
    assert sim.most_held <= 40_000 + 2 * size


def test_records_of_no_size_are_read_many_at_a_time():
    ledger = Simulation({"t": 1}).ledger
    ledger.open(STUCK, 0, None, 0.0)
    for first in range(0, 50_000, 500):
        tombstones = [Record(STUCK, first + each, -1, "NOT_AVAILABLE", None, None, ()) for each in range(500)]
        ledger.take_in(tombstones, lambda _record, _now: Skipped("tombstone"), 0.0)
    assert ledger.room(500, 1.0, fetching=False) == 500


def test_no_more_is_read_ahead_than_the_next_calls_take():
    """While a call runs and a batch more is here, reading waits: what is decoded too early only takes memory."""
    sim = Simulation({"t": 2}, limits=Limits(size=10, window=0.0))
    ledger = sim.ledger
    ledger.open(STUCK, 0, None, 0.0)
    records = [Record(STUCK, offset, -1, "NOT_AVAILABLE", b"k", b"good", ()) for offset in range(20)]
    ledger.take_in(records, lambda _record, _now: Event({}), 0.0)
    assert ledger.room(500, 1.0, fetching=False) > 1, "a call can start"
    (work,) = sim.poller.dispatch.next_works(1.0)
    assert ledger.room(500, 1.0, fetching=False) == 1, "a batch more is here"
    ledger.lanes[STUCK].pending.popleft()
    assert ledger.room(500, 1.0, fetching=False) > 1
    ledger.land(work.flight)
    assert ledger.room(500, 1.0, fetching=False) > 1
