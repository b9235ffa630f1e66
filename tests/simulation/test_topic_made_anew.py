"""What the loop does where its source has found that a topic was deleted and made anew."""

from __future__ import annotations

import logging

import pytest

from datahub_poller.batching import Limits
from datahub_poller.errors import Fatal
from datahub_poller.model import TopicPartition
from support.simulation import Simulation, away, honest

A = TopicPartition("mcl", 0)
SMALL = Limits(size=10, window=0.2)
SAID = "topic was deleted and made anew: reading it from its beginning"


def made_anew(sim, count):
    """Under its name, with so many records; and the source finds it as the one over librdkafka does."""
    sim.broker.create_topic("mcl", 1)
    sim.write(A, *["good"] * count)
    sim.source.inner._positions[A] = sim.poller.gap(A, 0, count, new_topic=True)


@pytest.mark.parametrize("count", [5, 10, 40])
def test_all_of_it_is_delivered_and_committed_and_it_is_said(caplog, count):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, *["good"] * 10)
    sim.after(20, lambda: made_anew(sim, count))
    sim.run(lambda: sim.clock.now > 1040 and sim.all_committed())
    calls = [step.about["ok"] for step in sim.trace.of("returned")]
    offsets = [offset for ok in calls for _, offset in sorted(ok)]
    assert offsets == [*range(10), *range(count)]
    assert sim.committed() == {A: count}
    (said,) = (record for record in caplog.records if record.getMessage() == SAID)
    assert said.levelno == logging.ERROR
    counters = sim.ledger.counters
    assert (counters["made_anew"], counters["gaps"], counters["records_missing"]) == (1, 0, 0)


def test_what_the_old_one_left_unsettled_is_let_go_and_counted_in_the_line(caplog):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    until = 1030.0
    sim.desk.handler = lambda records: away(records) if sim.clock.now < until else honest(records)
    sim.write(A, *["good"] * 10)
    sim.after(20, lambda: made_anew(sim, 3))
    sim.run(lambda: sim.clock.now > 1040 and sim.all_committed())
    assert sim.committed() == {A: 3}
    (said,) = (record for record in caplog.records if record.getMessage() == SAID)
    assert "'unsettled': 10" in str(vars(said))


def test_it_halts_where_that_is_asked_for():
    sim = Simulation({"mcl": 1}, limits=SMALL, on_gap="halt")
    sim.write(A, *["good"] * 10)
    sim.after(20, lambda: made_anew(sim, 40))
    with pytest.raises(Fatal, match=r"mcl-0 cannot be read from 10: its topic was deleted and made anew"):
        sim.run(lambda: sim.clock.now > 1040)
    assert sim.committed() == {A: 10}
