"""What the status must not go on saying, and must not keep quiet about."""

from __future__ import annotations

from datahub_poller.batching import Limits
from datahub_poller.loop import QUIET_SECONDS
from datahub_poller.model import TopicPartition
from datahub_poller.policy import Policy
from datahub_poller.works import Delivered
from support.simulation import FAILED, Answer, Simulation

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


def test_showing_changes_takes_a_hundredth_of_the_time_however_many_there_are_and_however_long_it_takes():
    """With thousands of partitions a snapshot takes milliseconds, and where much fails there is news in every turn."""
    spent = {}
    for each in (0.0, 0.004, 0.05):
        sim = Simulation({"t": 1}, limits=Limits(size=1, window=0.0), policy=Policy(attempts=1, bisect=False))
        sim.desk.handler = lambda records: Answer(0.01, FAILED)
        sim.write(ZERO, *["good"] * 1_000)
        began, publish, times = sim.clock.now, sim.poller.publish, []

        def slow(poller, now, each=each, publish=publish, times=times, sim=sim):
            times.append(now)
            publish(poller, now)
            sim.clock.advance(each)

        sim.poller.publish = slow
        sim.run(sim.seconds(20.0))
        took = sim.clock.now - began
        spent[each] = len(times) * each / took
        assert len(times) >= took * 0.9 / (QUIET_SECONDS + each), "at most a second old, whatever it takes"
        if not each:
            assert len(times) > 5 * took, "and much sooner where it costs nothing"
    assert spent[0.004] < 0.0125
    assert spent[0.05] < 1.25 * 0.05 / QUIET_SECONDS
