"""Handlers that fork: the child never works on as a poller and holds no port; what is delivered is whole."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from support.brokers import eventually
from support.running import Stage

FORKING = """
import os, pathlib, sys, time, recording_handler
HERE = pathlib.Path(__file__).parent

def in_the_child():
    (HERE / f"child-{{os.getpid()}}").touch()
    {child}

{kind} handle(event, context):
    if not (HERE / "forked").exists():
        (HERE / "forked").touch()
        if os.fork() == 0:
            return in_the_child()
    return recording_handler.handle(event, context)
"""
MANY = """
import multiprocessing, recording_handler

def double(number):
    return 2 * number

def handle(event, context):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(double, [1, 2, 3]) == [2, 4, 6]
    return recording_handler.handle(event, context)
"""
ENDS = "a process that the handler forked came back from its call: it is ended"


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(2, "pe")
        yield stage


def started(stage, text):
    (stage.directory / "forking.py").write_text(text)
    return stage.start(stage.action({"handler/config/function": "forking:handle"}))


def all_delivered(stage, poller):
    stage.send("pe", 0, 10)
    stage.send("pe", 1, 10)
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    assert stage.recorded().done == stage.produced
    assert stage.letters() == []


def child_of(stage):
    (found,) = stage.directory.glob("child-*")
    return int(found.name.partition("-")[2])


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("child", "code"), [("return None", 0), ("sys.exit(7)", 7), ("raise ValueError('no')", 1), ("sys.exit()", 0)]
)
def test_a_child_that_comes_back_from_the_call_ends_there(stage, kind, child, code):
    poller = started(stage, FORKING.format(kind=kind, child=child))
    all_delivered(stage, poller)
    pid = child_of(stage)
    eventually(lambda: not lives(pid), "the child lives")
    (line,) = poller.lines(ENDS)
    assert (line["level"], line["pid"], line["exit_code"]) == ("warning", pid, code)
    assert poller.stop() == 0


def test_a_child_that_outlives_the_poller_holds_no_port(stage):
    poller = started(stage, FORKING.format(kind="def", child="time.sleep(600)"))
    all_delivered(stage, poller)
    (line,) = poller.lines("status is served")
    port = int(line["url"].rpartition(":")[2].partition("/")[0])
    pid = child_of(stage)
    assert poller.stop() == 0
    try:
        assert lives(pid)
        socket.create_server(("127.0.0.1", port)).close()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_pools_of_processes_work_as_ever(stage):
    poller = started(stage, MANY)
    all_delivered(stage, poller)
    assert poller.lines(ENDS) == []
    assert poller.stop() == 0
