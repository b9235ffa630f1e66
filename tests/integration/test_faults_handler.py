"""Handlers that fail, take long or are wholly broken: who waits, who goes on, and what reaches the letters."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from support.recorded import first_hand_outs_in_order, one_call_at_a_time_per_partition
from support.running import Stage

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def on_mock(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        yield stage


def lane(status, tp):
    (found,) = [each for each in status["partitions"] if (each["topic"], each["partition"]) == tp]
    return found


def settled(stage, poller):
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")


def member_ids(bed, group):
    admin = AdminClient({"bootstrap.servers": bed.bootstrap, "log_level": 0})
    described = admin.describe_consumer_groups([group])[group].result(10)
    return [member.member_id for member in described.members]


# -- one partition fails


WANDERING = """
import os, recording_handler
os.chdir("/")

def handle(event, context):
    os.chdir("/proc/self")
    return recording_handler.handle(event, context)
"""


def test_a_handler_that_changes_the_working_directory_moves_no_letters(stage):
    stage.create(1, "pe")
    (stage.directory / "wandering.py").write_text(WANDERING)
    here = os.path.relpath(stage.letters_directory)
    changes = {"handler/config/function": "wandering:handle", "options/failed_events_dir": here}
    poller = stage.start(stage.action(changes))
    (bad,) = stage.send("pe", 0, 1, poison=[0])
    settled(stage, poller)
    assert stage.lettered() == [bad]
    assert Path(poller.lines("started")[0]["letters"]).resolve() == stage.letters_directory / stage.name
    assert poller.stop() == 0


def test_one_partition_that_fails_does_not_hold_up_the_others(stage):
    """One worker, and a partition that is in back-off for eight seconds and more."""
    stage.create(3, "pe")
    bad = stage.tp("pe", 1)
    stage.plan(fail_partitions=[list(bad)])
    retry = {"attempts": 50, "backoff": "1s", "max_backoff": "4s"}
    poller = stage.start(stage.action({"retry": retry, "batch/concurrency": 1}))
    stage.send("pe", 1, 5)
    poller.status_when(lambda status: status["partitions"] and lane(status, bad)["attempts"] >= 1, "no failure seen")
    began = time.monotonic()
    took = []
    while time.monotonic() - began < 8:
        fresh = set(stage.send("pe", 0, 10)) | set(stage.send("pe", 2, 10))
        sent = time.monotonic()
        poller.until(lambda fresh=fresh: fresh <= stage.recorded().done, "the others do not go on")
        took.append(time.monotonic() - sent)
    status = poller.status_when(lambda status: lane(status, bad)["state"] == "backing_off", "it does not back off")
    assert len(took) >= 8
    assert sorted(took)[len(took) // 2] < 1  # held up they would wait for two to four seconds, again and again
    assert lane(status, bad)["attempts"] >= 3
    assert lane(status, bad)["next_try_in"] is not None
    assert "cannot be dealt with" in lane(status, bad)["last_error"]
    assert not any(place.tp == bad for place in stage.recorded().done)
    assert stage.committed()[bad] == 0
    assert not stage.letters()
    stage.plan()
    settled(stage, poller)
    assert not stage.letters()
    first_hand_outs_in_order(stage.recorded())
    assert poller.stop() == 0


# -- a handler that takes long


def test_a_handler_slower_than_every_timeout_of_the_group_is_called_once_and_keeps_its_membership(stage):
    stage.create(2, "pe")
    stage.plan(sleep=[20, 20])
    quick = {"max_poll_interval_ms": 6000, "session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
    poller = stage.start(stage.action({"handler/config/timeout": "60s", "shutdown": None}, **quick))
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.recorded().calls, "no call")
    before = member_ids(stage.bed, stage.name) if stage.bed.kind == "kafka" else None
    poller.until(lambda: stage.recorded().done, "the call does not end", 40)
    poller.until(stage.all_committed, "the commit was not accepted")
    (call,) = stage.recorded().calls
    assert call.ended - call.began >= 20
    status = poller.status()
    assert status["counters"]["rebalances"] == 1
    assert "commits_failed" not in status["counters"]
    assert not poller.lines("partition lost")
    assert not poller.lines("partition revoked")
    if before is not None:
        assert len(before) == 1
        assert member_ids(stage.bed, stage.name) == before
    assert poller.stop() == 0


def test_a_handler_past_its_timeout_is_reported_and_nothing_of_it_is_handed_out_again(on_mock):
    stage = on_mock
    stage.create(2, "pe")
    stage.plan(hold="go")
    poller = stage.start(stage.action({"handler/config/timeout": "1s", "batch/concurrency": 2}))
    stage.send("pe", 0, 5)
    status = poller.status_when(lambda status: status["red"], "it is not reported")
    assert any("past its timeout" in reason for reason in status["reasons"])
    assert poller.lines("handler is past its timeout and still runs")
    assert len(stage.recorded().calls) == 1
    stage.plan()
    others = set(stage.send("pe", 1, 5))
    poller.until(lambda: others <= stage.recorded().done, "the other partition does not go on")
    assert len(stage.recorded().of(stage.tp("pe", 0))) == 1
    stage.release("go")
    settled(stage, poller)  # a late result counts while the lease holds
    assert stage.recorded().times_done.total() == len(stage.produced)
    poller.status_when(lambda status: not status["red"], "it stays red")
    assert poller.stop() == 0


# -- poison


@pytest.mark.parametrize("at", [0, 41, 99])
def test_one_poison_event_in_a_hundred_is_found_in_few_calls_and_the_others_succeed(stage, at):
    stage.create(1, "pe")
    stage.send("pe", 0, 100, poison=[at])
    retry = {"attempts": 3, "backoff": "20ms", "max_backoff": "50ms"}
    poller = stage.start(stage.action({"batch": {"size": 100, "window": "1s"}, "retry": retry}))
    settled(stage, poller)
    recorded = stage.recorded()
    assert len(recorded.calls[0].places) == 100
    assert stage.lettered() == list(stage.poison)
    assert recorded.done == stage.produced - stage.poison
    assert max(recorded.times_done.values()) == 1
    assert len(recorded.calls) <= 3 + 2 * math.ceil(math.log2(100))
    first_hand_outs_in_order(recorded)
    one_call_at_a_time_per_partition(recorded)
    (letter,) = stage.letters()
    assert letter["event"]["category"] == "TAG"
    assert "cannot be dealt with" in str(letter["meta"])
    assert poller.stop() == 0


def test_a_handler_that_names_its_poison_gets_only_that_again(on_mock):
    stage = on_mock
    stage.create(1, "pe")
    stage.plan(named=True)
    stage.send("pe", 0, 100, poison=[41])
    poller = stage.start(stage.action({"batch": {"size": 100, "window": "1s"}, "retry/attempts": 3}))
    settled(stage, poller)
    recorded = stage.recorded()
    assert [len(call.places) for call in recorded.calls] == [100, 1, 1]
    assert stage.lettered() == list(stage.poison)
    assert max(recorded.times_done.values()) == 1


# -- a handler that is broken


def test_a_broken_handler_opens_the_breaker_and_once_it_is_repaired_everything_is_delivered(stage):
    stage.create(2, "pe")
    stage.plan(fail=True)
    sent = [stage.send("pe", partition, 150) for partition in (0, 1)]
    breaker = {"in_a_row": 20, "pause": "1s"}
    poller = stage.start(stage.action({"dead_letter/breaker": breaker}))
    status = poller.status_when(lambda status: status["breaker"]["state"] != "closed", "the breaker does not open")
    assert status["red"]
    assert any(reason.startswith("breaker open") for reason in status["reasons"])
    poller.wait_for("breaker stays open", count=2)  # it was probed, and did not believe it
    assert len(stage.letters()) < 20
    calls = len(stage.recorded().calls)
    poller.wait_for("breaker stays open", count=4)
    assert len(stage.recorded().calls) - calls <= 4  # a probe for each pause, and nothing else
    for places in sent:
        committed = stage.committed()[places[0].tp]
        assert {place for place in places if place.offset < committed} <= set(stage.lettered())
    stage.plan()
    settled(stage, poller)
    assert poller.lines("breaker closed")
    assert len(stage.letters()) < 20
    assert stage.recorded().done == stage.produced - set(stage.lettered())
    poller.status_when(lambda status: not status["red"] and status["breaker"]["state"] == "closed", "it stays red")
    first_hand_outs_in_order(stage.recorded())
    assert poller.stop() == 0


def test_a_poller_with_an_open_breaker_stops_in_order_and_its_records_come_again(on_mock):
    stage = on_mock
    stage.create(1, "pe")
    stage.plan(fail=True)
    stage.send("pe", 0, 100)
    poller = stage.start(stage.action({"dead_letter/breaker": {"in_a_row": 20, "pause": "30s"}}))
    poller.wait_for("breaker opened")
    assert poller.stop() == 0
    held = stage.produced - set(stage.lettered())
    assert len(held) > 80
    stage.plan()
    again = stage.start()
    settled(stage, again)
    assert held <= stage.recorded().done
    assert again.stop() == 0
