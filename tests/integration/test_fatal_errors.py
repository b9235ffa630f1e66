"""A client that is dead ends the process with the reason; a dead member's session is waited out."""

from __future__ import annotations

import os
import signal

import pytest

from support.failure_rows import settled
from support.running import Stage

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
PROPERTIES = "source/config/connection/consumer_config"
BROKERS_DECIDE = {f"{PROPERTIES}/{key}": None for key in ("session.timeout.ms", "heartbeat.interval.ms")}
STATIC = {"group_protocol": "consumer", "group_instance_id": "one"}


@pytest.fixture
def stage(kafka, tmp_path, unique):
    with Stage(kafka, tmp_path, unique) as stage:
        stage.create(2, "pe")
        yield stage


def test_a_static_member_that_was_killed_and_started_again_at_once_delivers_all(stage):
    stage.send("pe", 0, 3)
    poller = stage.start(stage.action(BROKERS_DECIDE, **STATIC))
    settled(stage, poller)
    poller.kill()
    stage.send("pe", 1, 10)
    again = stage.start(stage.action(BROKERS_DECIDE, **STATIC), "again.log")
    settled(stage, again)
    assert again.stop() == 0


def test_while_its_name_is_in_use_it_is_red_and_it_joins_when_the_other_is_gone(stage):
    first = stage.start(stage.action(BROKERS_DECIDE, **STATIC))
    first.wait_for("partition assigned", 2)
    second = stage.start(stage.action(BROKERS_DECIDE, **STATIC), "second.log")
    assert "group.instance.id" in second.wait_for("kafka is in trouble")["reason"]
    assert second.status()["red"]
    first.kill()
    stage.send("pe", 0, 10)
    settled(stage, second)
    second.status_when(lambda status: not status["red"], "it stays red")
    assert second.stop() == 0


def test_an_assignor_that_the_brokers_do_not_have_ends_it_with_the_key(stage):
    action = stage.action(BROKERS_DECIDE, group_protocol="consumer", group_remote_assignor="nonsense")
    poller = stage.start(action)
    assert poller.wait() == 1
    assert "group.remote.assignor" in poller.wait_for("failed")["reason"]


def test_a_stop_while_the_old_session_is_waited_for_is_in_order(stage):
    first = stage.start(stage.action(BROKERS_DECIDE, **STATIC))
    first.wait_for("partition assigned", 2)
    second = stage.start(stage.action(BROKERS_DECIDE, **STATIC), "second.log")
    second.wait_for("kafka is in trouble")
    assert second.stop() == 0
    assert first.stop() == 0


def test_a_session_timeout_that_the_brokers_refuse_ends_it_with_the_key(stage):
    changes = {f"{PROPERTIES}/session.timeout.ms": 100, f"{PROPERTIES}/heartbeat.interval.ms": 30}
    poller = stage.start(stage.action(changes))
    assert poller.wait() == 1
    assert "session.timeout.ms" in poller.wait_for("failed")["reason"]


def test_members_of_another_strategy_keep_it_out_red_until_they_go(stage):
    first = stage.start(stage.action({f"{PROPERTIES}/partition.assignment.strategy": "roundrobin"}))
    first.wait_for("partition assigned", 2)
    second = stage.start(stage.action({f"{PROPERTIES}/partition.assignment.strategy": "range"}), "second.log")
    assert "partition.assignment.strategy" in second.wait_for("kafka is in trouble")["reason"]
    assert first.stop() == 0
    second.wait_for("partition assigned", 2)
    second.status_when(lambda status: not status["red"], "it stays red")
    assert second.stop() == 0


def test_a_standby_of_the_new_protocol_is_a_member_that_waits(stage):
    one = {key: value for key, value in STATIC.items() if key != "group_instance_id"}
    poller = stage.start(stage.action(BROKERS_DECIDE, **one))
    poller.wait_for("partition assigned", 2)
    second = stage.start(stage.action(BROKERS_DECIDE, **one), "second.log")
    second.wait_for("partition assigned")
    third = stage.start(stage.action(BROKERS_DECIDE, **one), "third.log")
    third.status_when(lambda status: status["state"] == "waiting" and not status["red"], "it is said to be starting")
    for each in (poller, second, third):
        assert each.stop() == 0


def test_a_name_that_is_used_twice_ends_the_one_that_is_fenced(stage):
    stage.send("pe", 0, 3)
    first = stage.start(stage.action(None, group_instance_id="one"))
    settled(stage, first)
    second = stage.start(stage.action(None, group_instance_id="one"), "second.log")
    assert first.wait() == 1
    assert "group.instance.id" in first.wait_for("failed")["reason"]
    stage.send("pe", 1, 3)
    settled(stage, second)
    assert second.stop() == 0


def test_one_of_two_static_processes_that_was_killed_comes_back_and_all_is_delivered(stage):
    changes = {**BROKERS_DECIDE, "status/port": None}
    static = {"group_protocol": "consumer", "group_instance_id": "tags-${POLLER_PROCESS}"}
    team = stage.start(stage.action(changes, **static), "poller.log", "--processes", "2")
    team.wait_for("partition assigned", 2)
    stage.send("pe", 0, 3)
    settled(stage, team)
    os.kill(team.wait_for("process started", process=1)["pid"], signal.SIGKILL)
    team.wait_for("process started", 2, process=1)
    stage.send("pe", 0, 5)
    stage.send("pe", 1, 5)
    settled(stage, team)
    assert team.stop() == 0
