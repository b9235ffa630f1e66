"""Whatever a poller comes through: what `explain` says of it accounts for every reason that its status is red for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.batching import Limits
from datahub_poller.model import TopicPartition
from datahub_poller.observe.explaining import Explained, Told, explained, whole
from datahub_poller.observe.status import PollerStatus, as_document
from datahub_poller.policy import Breaker, Policy
from datahub_poller.works import Delivered
from support.effort import effort
from support.simulation import FAILED, Answer, Simulation, away
from support.troubles import TROUBLED, moods, prepared, rebalances, shapes, writes

A, B = TopicPartition("mcl", 0), TopicPartition("mcl", 1)
ALL_AT_ONCE = Limits(size=10, window=0.0)


def said(status: PollerStatus) -> tuple[list[Told], dict[str, Explained]]:
    """Of the poller, and of the partitions that stand: what `explain` prints without a name."""
    document = as_document(status, 0.0, 1_800_000_000.0)
    return list(whole(document)), {each.name: each for each in explained(document, None) if not each.moves}


def check(status: PollerStatus) -> None:
    about, standing = said(status)
    everything = [told.why for told in about] + [each.told.why for each in standing.values()]
    assert not [why for why in everything if "says of itself" in why], status.reasons
    assert all(why.endswith(".") and "None" not in why for why in everything), everything
    if status.red:
        assert everything, status.reasons
    for each in status.partitions:
        name = f"{each.topic}-{each.partition}"
        if any(reason.startswith(f"{name} ") for reason in status.reasons):
            assert name in standing, (name, status.reasons)
            assert standing[name].told.remedy or each.stuck, standing[name]
    for prefix, words in {
        "kafka: ": "Kafka does not answer",
        "commits fail: ": "cannot be committed",
        "breaker open: ": "The breaker is open",
        "handler past its timeout": "past its timeout",
        "halted before ": "halted",
    }.items():
        if any(reason.startswith(prefix) for reason in status.reasons):
            assert any(words in why for why in everything) or any(
                each.state == "halted" for each in standing.values()
            ), (prefix, everything)


@effort(60)
@given(shape=shapes, writes=writes, rebalances=rebalances, moods=moods, seed=st.integers(0, 5))
def test_every_reason_is_accounted_for(shape, writes, rebalances, moods, seed):
    sim = prepared(shape, writes, rebalances, moods, seed)
    healthy_at = sim.clock.now + TROUBLED
    sim.run(lambda: sim.clock.now > healthy_at + 1 and sim.all_committed(), limit=3000)
    for status in sim.statuses:
        check(status)


def at(sim: Simulation, *moments: float) -> list[PollerStatus]:
    seen: list[PollerStatus] = []
    for moment in moments:
        sim.after(moment, lambda: (sim._publish(sim.poller, sim.clock.now), seen.append(sim.statuses[-1])))
    sim.run(sim.seconds(moments[-1] + 1))
    for status in seen:
        check(status)
    return seen


def test_a_partition_behind_a_call_that_hangs_is_told_what_it_waits_for():
    """With one call at a time, a handler that hangs over one partition holds up the others."""
    sim = Simulation({"mcl": 2}, limits=ALL_AT_ONCE, timeout=5.0)
    sim.desk.handler = lambda records: Answer(60.0, Delivered())
    sim.write(A, "good")
    sim.after(1.0, lambda: sim.write(B, "good"))
    early, late = at(sim, 3, 20)
    assert said(early)[1] == {}
    (waits,) = [each for each in early.partitions if each.partition == 1]
    assert (waits.state, waits.reason) == ("ready", "all of batch.concurrency calls are running")
    standing = said(late)[1]
    assert "past its timeout for" in standing["mcl-0"].told.why
    assert "1 of them past the timeout" in standing["mcl-1"].told.why
    assert "A restart ends the call" in standing["mcl-1"].told.remedy


def test_a_partition_that_the_rate_holds_back_is_told_so():
    sim = Simulation({"mcl": 1}, limits=ALL_AT_ONCE, rate=1.0)
    sim.write(A, *["good"] * 30)
    (status,) = at(sim, 5)
    (waits,) = status.partitions
    assert waits.reason.startswith("batch.rate lets the next call begin in ")


def test_a_partition_that_gets_nothing_because_another_s_record_fills_the_buffer_is_told_so():
    sim = Simulation({"mcl": 2}, limits=ALL_AT_ONCE, buffer=20_000, policy=Policy(backoff=500.0, max_backoff=500.0))
    sim.desk.handler = away
    sim.write(A, "good", size=30_000)
    sim.after(5.0, lambda: sim.write(B, *["good"] * 40))
    (status,) = at(sim, 20)
    (full,) = [each for each in status.partitions if each.partition == B.partition]
    assert (full.state, full.reason, full.lag) == ("idle", "source.config.buffer is full", 40)
    told = said(status)[1]["mcl-1"].told
    assert "40 records are in the log" in told.why
    assert "with what other partitions hold" in told.why


def test_a_breaker_that_no_partition_waits_for_is_told():
    sim = Simulation({"mcl": 2}, limits=ALL_AT_ONCE, breaker=Breaker(3, 60.0), policy=Policy(attempts=1))
    sim.desk.handler = lambda records: Answer(0.1, FAILED)
    sim.write(A, *["good"] * 3)
    (status,) = at(sim, 10)
    about, standing = said(status)
    assert any("The breaker is open" in told.why for told in [*about, *(each.told for each in standing.values())])


def test_letters_that_hang_in_their_place_are_told_before_they_are_stuck():
    sim = Simulation({"mcl": 1}, limits=ALL_AT_ONCE)
    sim.desk.sink = lambda records: Answer(300.0, Delivered())
    sim.write(A, "junk")
    early, late = at(sim, 3, 30)
    assert said(early)[1] == {}
    assert "neither takes nor refuses them" in said(late)[1]["mcl-0"].told.why


def test_letters_that_were_not_tried_yet_are_not_said_to_fail():
    """While the poller stops nothing new begins, so a record that was given up stands without a letter."""
    sim = Simulation({"mcl": 1}, limits=ALL_AT_ONCE, policy=Policy(attempts=1))
    sim.desk.handler = lambda records: Answer(5.0, FAILED)
    sim.write(A, "good")
    sim.run(sim.seconds(4.0))  # it is told to stop while the call runs
    (last,) = sim.statuses[-1].partitions
    assert (last.state, last.reason, last.last_error) == ("writing_letters", "", "ValueError: poison")
    check(sim.statuses[-1])
