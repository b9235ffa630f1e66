"""A group as it lives: members come, die and take over; topics and partitions appear; `latest` loses nothing."""

from __future__ import annotations

import random
import signal
import time

import pytest
from confluent_kafka import Consumer

from support.recorded import all_accounted_for, commits_not_ahead, first_hand_outs_in_order
from support.traffic import COOPERATIVE, EAGER, KIP_848, QUICK_GROUP, Traffic

pytestmark = pytest.mark.timeout(90)
FAST_METADATA = {"topic_metadata_refresh_interval_ms": 300}


def settled(stage, *pollers):
    pollers[0].until(lambda: stage.drained() and stage.all_committed(), "not drained and committed", 40)


def assigned(poller):
    status = poller.status()
    return 0 if status is None else status["assigned"]


def shares(*counts_and_pollers):
    """Each member has as many partitions as this."""
    for count, poller in counts_and_pollers:
        poller.status_when(lambda status, count=count: status["assigned"] == count, f"it has not {count} partitions")


# -- members come and go


@pytest.mark.parametrize("protocol", [EAGER, COOPERATIVE, KIP_848], ids=["eager", "cooperative", "kip-848"])
def test_members_share_die_take_over_join_and_leave_and_no_event_is_lost(on_kafka, protocol, monkeypatch):
    stage = on_kafka
    chance = random.Random(11)
    properties = {**protocol, **QUICK_GROUP}
    if protocol is KIP_848:
        monkeypatch.setattr(stage.bed, "consumer", {"fetch.wait.max.ms": 100})
        properties = KIP_848
    stage.create(3, "pe", "mcl", "mcl_timeseries")
    stage.plan(sleep=[0.0, 0.05])
    file = stage.action({"batch/concurrency": 3, "batch/size": 20}, **properties)
    traffic = Traffic(stage, chance, 3)
    traffic.start()
    first = stage.start(file, "first.log")
    second = stage.start(file, "second.log")
    first.until(lambda: assigned(first) and assigned(first) + assigned(second) == 9, "they do not share")
    first.until(lambda: len({call.pid for call in stage.recorded().calls}) == 2, "one of them does nothing")
    first.kill()
    commits_not_ahead(stage.committed(), stage.recorded(), stage.lettered(), set(stage.produced))
    shares((9, second))
    third = stage.start(file, "third.log")
    second.until(lambda: 0 < assigned(third) < 9, "it does not join")
    second.until(lambda: third.pid in {call.pid for call in stage.recorded().calls}, "the third does nothing")
    assert second.stop() == 0
    shares((9, third))
    traffic.end()
    settled(stage, third)
    assert third.stop() == 0
    recorded, letters = stage.recorded(), stage.lettered()
    all_accounted_for(recorded, letters, stage.produced)
    first_hand_outs_in_order(recorded)
    assert set(letters) == stage.poison
    assert recorded.done == stage.produced - stage.poison
    twice = sum(count - 1 for count in recorded.times_done.values())
    print(f"{len(stage.produced)} events, {twice} delivered twice")
    assert twice <= 20 * (9 + 6)  # only the kill may cause them


@pytest.mark.parametrize("protocol", [EAGER, COOPERATIVE], ids=["eager", "cooperative"])
def test_a_partition_that_moves_during_a_call_waits_for_the_call_and_is_not_delivered_twice(on_kafka, protocol):
    stage = on_kafka
    stage.create(2, "pe")
    stage.plan(sleep=[5, 5])
    file = stage.action({"batch/concurrency": 2}, **protocol)
    first = stage.start(file, "first.log")
    shares((2, first))
    for partition in (0, 1):
        stage.send("pe", partition, 10)
    first.until(lambda: len(stage.recorded().begun) == 20, "no calls")
    second = stage.start(file, "second.log")
    shares((1, first), (1, second))
    settled(stage, first)
    assert stage.recorded().times_done.total() == len(stage.produced)
    assert first.stop() == 0
    assert second.stop() == 0


def test_a_member_that_is_frozen_past_its_session_gives_way_and_changes_nothing_when_it_wakes(on_kafka):
    stage = on_kafka
    stage.create(2, "pe")
    stage.plan(hold="go")
    file = stage.action({"batch/concurrency": 2}, **{**EAGER, **QUICK_GROUP})
    first = stage.start(file, "first.log")
    shares((2, first))
    for partition in (0, 1):
        stage.send("pe", partition, 30)
    first.until(lambda: len(stage.recorded().calls) == 2, "no calls")
    first.signal(signal.SIGSTOP)
    second = stage.start(file, "second.log")
    shares((2, second))
    stage.release("go")
    settled(stage, second)
    committed = stage.committed()
    first.signal(signal.SIGCONT)
    shares((1, first), (1, second))
    assert stage.committed() == committed
    for partition in (0, 1):
        stage.send("pe", partition, 10)
    settled(stage, first)
    first_hand_outs_in_order(stage.recorded())
    assert first.lines("partition lost")
    assert first.stop() == 0
    assert second.stop() == 0


# -- where a group begins


def test_latest_begins_at_the_first_start_and_loses_nothing_produced_while_it_is_down(on_kafka):
    stage = on_kafka
    stage.create(2, "pe")
    stage.send("pe", 0, 5)
    stage.produced.clear()  # from before the group's first start
    file = stage.action({"source/config/start": "latest"}, **QUICK_GROUP)
    poller = stage.start(file)
    poller.until(lambda: stage.committed() == {stage.tp("pe", 0): 5, stage.tp("pe", 1): 0}, "no positions committed")
    poller.kill()
    for partition in (0, 1):
        stage.send("pe", partition, 10)
    again = stage.start(file)
    settled(stage, again)
    assert stage.recorded().done == stage.produced
    assert again.stop() == 0


def test_latest_begins_when_the_process_is_started_and_not_when_its_partitions_come(on_kafka):
    """The first member's join may take seconds, and what is produced meanwhile is after the first start."""
    stage = on_kafka
    stage.create(1, "pe")
    slow = Consumer({"bootstrap.servers": stage.bed.bootstrap, "group.id": stage.name, "log_level": 0})
    slow.subscribe([stage.topics["pe"]])
    while not slow.assignment():
        slow.poll(0.1)
    other = stage.start(stage.action({"source/config/start": "latest"}))
    other.wait_for("started")
    stage.send("pe", 0, 10)
    assert stage.committed() == {}
    slow.close()  # for which the group has waited: it never came back to join again
    settled(stage, other)
    assert stage.recorded().done == stage.produced
    assert other.stop() == 0


def test_a_topic_that_does_not_exist_yet_is_waited_for(stage):
    waits_for_a_topic(stage, "earliest")


def test_a_topic_made_while_a_latest_group_runs_is_read_from_its_first_record(on_kafka):
    waits_for_a_topic(on_kafka, "latest")


def waits_for_a_topic(stage, start):
    stage.create(1, "pe")
    stage.route("mcl")
    file = stage.action({"source/config/start": start}, **FAST_METADATA)
    poller = stage.start(file)
    warned = poller.wait_for("topic does not exist yet: waiting for it", topic=stage.topics["mcl"])
    assert warned["level"] == "warning"
    shares((1, poller))
    assert stage.tp("mcl") not in stage_partitions(poller)
    stage.bed.create_topic(stage.topics["mcl"], 2)
    stage.send("mcl", 0, 10)  # before the poller knows of it
    stage.send("mcl", 1, 10)
    settled(stage, poller)
    assert stage.recorded().done == stage.produced
    assert poller.stop() == 0


def stage_partitions(poller):
    return {(each["topic"], each["partition"]) for each in poller.status()["partitions"]}


def test_partitions_added_while_it_runs_lose_nothing(on_kafka):
    stage = on_kafka
    stage.create(1, "pe")
    poller = stage.start(stage.action({"source/config/start": "latest"}, **FAST_METADATA))
    poller.until(stage.committed, "no position committed")
    stage.send("pe", 0, 5)
    stage.bed.add_partitions(stage.topics["pe"], 3)
    for partition in (1, 2):
        stage.send("pe", partition, 10)  # before the poller knows of them
    settled(stage, poller)
    assert stage.recorded().done == stage.produced
    assert poller.stop() == 0


def test_partitions_added_while_it_is_down_lose_nothing(on_kafka):
    stage = on_kafka
    stage.create(1, "pe")
    file = stage.action({"source/config/start": "latest"})
    poller = stage.start(file)
    poller.until(stage.committed, "no position committed")
    assert poller.stop() == 0
    stage.bed.add_partitions(stage.topics["pe"], 2)
    stage.send("pe", 1, 10)
    time.sleep(0.1)
    again = stage.start(file)
    settled(stage, again)
    assert stage.recorded().done == stage.produced
    assert again.stop() == 0
