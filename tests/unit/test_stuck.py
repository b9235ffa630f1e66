"""Partitions that do not move: told apart from those with nothing to do, told once, with the stacks the first time."""

from __future__ import annotations

import logging
import threading

import pytest

from datahub_poller.observe.stacks import stacks
from datahub_poller.observe.status import PartitionStatus, PollerStatus
from datahub_poller.observe.stuck import StuckWatch


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "watch")
    return lambda: [record.message for record in caplog.records if record.name == "watch"]


def watch(dumps):
    return StuckWatch(logging.getLogger("watch"), lambda: dumps.append(1) or "stacks")


def status(stuck, settled=5):
    part = PartitionStatus("t", 0, "waiting_sink", reason="disk full", moved=0.0, settled=settled, stuck=stuck)
    return PollerStatus("a", "1", "running", partitions=(part,))


def test_it_is_told_once_for_each_time_and_the_stacks_once_in_all(said):
    dumps: list = []
    looks = watch(dumps)
    for stuck in (False, True, True, False, False, True, True):
        looks.look(status(stuck), 400.0)
    assert said() == [
        "partition is stuck",
        "stacks of all threads",
        "partition goes on",
        "partition is stuck",
    ]
    assert dumps == [1]


def test_a_partition_that_went_to_others_is_not_said_to_go_on(said):
    looks = watch([])
    looks.look(status(stuck=True), 400.0)
    looks.look(PollerStatus("a", "1", "running"), 401.0)
    assert "partition goes on" not in said()


def test_a_loop_that_does_not_turn_is_told_with_the_stacks(said):
    dumps: list = []
    looks = watch(dumps)
    looks.silent(31.0)
    looks.turns_again()
    looks.silent(32.0)
    assert said() == [
        "the loop does not turn",
        "stacks of all threads",
        "the loop turns again",
        "the loop does not turn",
    ]
    assert dumps == [1]


def test_stacks_name_threads_and_functions_and_no_values():
    ready, end = threading.Event(), threading.Event()

    def waits_here(secret):
        ready.set()
        end.wait(10)

    thread = threading.Thread(target=waits_here, args=("p4ssw0rd-value",), name="a-worker")
    thread.start()
    ready.wait(10)
    text = stacks()
    end.set()
    thread.join()
    assert "thread a-worker:" in text
    assert "waits_here" in text
    assert "p4ssw0rd-value" not in text
