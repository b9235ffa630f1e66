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


def test_a_static_member_that_was_killed_waits_for_its_old_session_red_and_delivers_all(stage):
    stage.send("pe", 0, 3)
    poller = stage.start(stage.action(BROKERS_DECIDE, **STATIC))
    settled(stage, poller)
    poller.kill()
    stage.send("pe", 1, 10)
    again = stage.start(stage.action(BROKERS_DECIDE, **STATIC), "again.log")
    again.wait_for("kafka is in trouble")
    assert "group.instance.id one" in again.wait_for("kafka is in trouble")["reason"]
    settled(stage, again)
    again.status_when(lambda status: not status["red"], "it stays red")
    assert again.stop() == 0


def test_an_assignor_that_the_brokers_do_not_have_ends_it_with_the_key(stage):
    action = stage.action(BROKERS_DECIDE, group_protocol="consumer", group_remote_assignor="nonsense")
    poller = stage.start(action)
    assert poller.wait() == 1
    assert "group.remote.assignor" in poller.wait_for("failed")["reason"]


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
