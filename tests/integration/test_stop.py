"""How a running poller ends: signals at every moment, the deadline, the exit code, and the group it leaves behind."""

from __future__ import annotations

import os
import signal
import time

import pytest

from kafka.cluster import HOST, free_ports
from support.brokers import eventually
from support.full_pipes import is_full
from support.running import Stage

LONG_SESSION = {"session_timeout_ms": 40_000, "heartbeat_interval_ms": 500}


def settled(stage, poller):
    """All that was produced is delivered and committed."""
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")


def in_a_call(stage, **action):
    """A poller whose handler has begun with a batch and does not end before it is released."""
    stage.create(1, "pe")
    stage.plan(hold="go")
    poller = stage.start(stage.action({f"shutdown/{key}": value for key, value in action.items()}))
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.recorded().calls, "no call")
    return poller


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_poller_ends_at_once_and_in_order(stage, number):
    stage.create(2, "pe")
    stage.send("pe", 0, 5)
    poller = stage.start(stage.action({"shutdown/deadline": "60s"}))
    settled(stage, poller)
    began = time.monotonic()
    poller.signal(number)
    assert poller.wait() == 0
    assert time.monotonic() - began < 30
    assert poller.lines()[-1]["event"] == "stopped"
    assert poller.lines("signal received")[0]["signal"] == number.name


def test_where_it_would_be_killed_before_its_deadline_it_says_so_at_the_start(stage):
    stage.create(1, "pe")
    poller = stage.start(STOP_TIMEOUT="12")
    line = poller.wait_for("action file")
    assert line["level"] == "warning"
    assert line["about"].startswith("shutdown.deadline (10s) and 5 s for the end do not fit into the 12 s")
    assert "Raise the stop timeout to 15 s, or lower shutdown.deadline to 7s" in line["about"]
    assert poller.stop() == 0


def test_a_running_call_is_waited_for_and_what_it_did_is_committed(stage):
    poller = in_a_call(stage)
    more = stage.send("pe", 0, 5)
    poller.signal(signal.SIGTERM)
    poller.wait_for("stopping")
    stage.release("go")
    assert poller.wait() == 0
    (call,) = stage.recorded().calls
    assert call.ended is not None
    assert stage.committed() == {stage.tp("pe"): more[0].offset}
    assert poller.status() is None


def test_a_call_longer_than_the_deadline_is_abandoned_and_its_events_come_again(stage):
    poller = in_a_call(stage, deadline="2s")
    began = time.monotonic()
    assert poller.stop() == 0
    assert time.monotonic() - began < 2.0 + 5.0
    assert poller.lines("running calls are abandoned: their records will come again")
    assert stage.committed().get(stage.tp("pe"), 0) == 0
    stage.release("go")
    again = stage.start()
    settled(stage, again)
    assert stage.recorded().done == stage.produced
    assert again.stop() == 0


HANGING_IN_RUST = """
import atexit, threading, time
from pathlib import Path
from pydantic import BaseModel, field_validator

HERE = Path(__file__).parent
ENDING = threading.Event()

class Model(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def never(cls, number):
        (HERE / "in-rust").touch()
        while True:
            time.sleep(0.001)

def finish():
    threading.main_thread().join(0.5)
    (HERE / "thread-has-finished").touch()

def handle(event, context):
    threading.Thread(target=finish).start()
    atexit.register((HERE / "exit-function-was-called").touch)
    Model(number=1)
"""


def test_a_call_that_hangs_in_an_extension_does_not_abort_the_process_when_it_stops(stage):
    stage.create(1, "pe")
    (stage.directory / "hanging.py").write_text(HANGING_IN_RUST)
    poller = stage.start(stage.action({"handler/config/function": "hanging:handle", "shutdown/deadline": "2s"}))
    stage.send("pe", 0, 1)
    poller.until((stage.directory / "in-rust").exists, "no call")
    assert poller.stop() == 0
    assert "FATAL" not in poller.text()
    assert (stage.directory / "exit-function-was-called").exists()
    assert (stage.directory / "thread-has-finished").exists()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(stage, second):
    poller = in_a_call(stage, deadline="30s")
    poller.signal(signal.SIGTERM)
    poller.wait_for("stopping")
    began = time.monotonic()
    poller.signal(second)
    assert poller.wait() == 1
    assert time.monotonic() - began < 10
    assert stage.committed().get(stage.tp("pe"), 0) == 0


@pytest.mark.parametrize("signals", [1, 2])
def test_signals_end_it_even_while_nobody_reads_its_log(mock_bed, tmp_path, unique, signals):
    """A pipe that is full blocks whoever logs, and everyone who wants to log after that."""
    log = tmp_path / "log"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.plan(say=200)
        poller = stage.start(stage.action({"shutdown/deadline": "1s" if signals == 1 else "60s"}), log.name)
        stage.send("pe", 0, 5)
        eventually(lambda: stage.recorded().calls and is_full(reader), "the pipe is not full")
        poller.signal(signal.SIGTERM)
        if signals == 2:
            poller.insist(signal.SIGTERM)
        assert poller.wait(tell=False) == signals - 1
    os.close(reader)


def test_a_poller_that_reaches_no_broker_yet_ends_when_told_to(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.route("pe")
        nowhere = f"{HOST}:{free_ports(1)[0]}"
        connection = {"bootstrap": nowhere, "schema_registry_url": stage.registry.url, "client_timeout_seconds": 60}
        poller = stage.start(stage.action({"source/config/connection": connection}))
        poller.wait_for("status is served")
        began = time.monotonic()
        assert poller.stop() == 0
        assert time.monotonic() - began < 30


def test_the_partitions_of_one_that_stops_go_to_the_other_long_before_the_session_ends(on_kafka):
    stage = on_kafka
    stage.create(2, "pe")
    action = stage.action(**LONG_SESSION)
    first, second = stage.start(action, "first.log"), stage.start(action, "second.log")
    for poller in (first, second):
        poller.status_when(lambda status: status["assigned"] == 1, "the two do not share")
    began = time.monotonic()
    assert first.stop() == 0
    second.status_when(lambda status: status["assigned"] == 2, "the other's partition did not come")
    assert time.monotonic() - began < 30
    for partition in (0, 1):
        stage.send("pe", partition, 10)
    settled(stage, second)
    assert second.stop() == 0


def test_a_static_member_keeps_its_partitions_over_a_stop_and_a_start(on_kafka):
    stage = on_kafka
    stage.create(2, "pe")
    first = stage.start(stage.action(group_instance_id="one", **LONG_SESSION), "first.log")
    first.status_when(lambda status: status["assigned"] == 2, "nothing assigned")
    second = stage.start(stage.action(group_instance_id="two", **LONG_SESSION), "second.log")
    for poller in (first, second):
        poller.status_when(lambda status: status["assigned"] == 1, "the two do not share")
    before = second.status()["counters"]["rebalances"]
    assert first.stop() == 0
    for partition in (0, 1):
        stage.send("pe", partition, 10)
    first = stage.start(stage.action(group_instance_id="one", **LONG_SESSION), "first.log")
    settled(stage, first)
    assert second.status()["counters"]["rebalances"] == before
    assert stage.recorded().times_done.total() == len(stage.produced)
