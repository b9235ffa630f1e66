"""What the status must not go on saying, and must not keep quiet about."""

from __future__ import annotations

from datahub_poller.model import TopicPartition
from datahub_poller.works import Delivered
from support.simulation import Answer, Simulation

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


def test_a_commit_that_failed_is_no_trouble_any_more_once_its_partition_is_another_members():
    sim = Simulation({"t": 2})
    sim.write(ZERO, "good")

    def fail_and_move():
        sim.broker.refusals.extend(["the coordinator is gone"] * 2)
        sim.write(ONE, "good")
        sim.after(0.8, sim.rival_joins)

    sim.after(3.0, fail_and_move)
    sim.run(sim.seconds(30.0))
    assert sim.statuses[-1].counters["commits_failed"] == 2
    assert sim.statuses[-1].reasons == ()


def test_letters_that_hang_in_the_sink_are_red():
    """A network file system that is away does not refuse a write: it keeps it."""
    sim = Simulation({"t": 1})
    sim.write(ZERO, "junk")
    sim.desk.sink = lambda records: Answer(300.0, Delivered())
    sim.run(sim.seconds(120.0))
    assert any("letters" in reason for reason in sim.statuses[-2].reasons), sim.statuses[-2]
