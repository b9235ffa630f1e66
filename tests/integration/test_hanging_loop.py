"""A poller whose loop really hangs, in the Kafka client: what is told and answered meanwhile, and that it recovers."""

from __future__ import annotations

import http.client
import json
import os
import time
from pathlib import Path

import pytest

from support.bad_servers import silent_server
from support.commands import ran
from support.running import SOURCES, Running, Stage
from support.status_pages import address, get, metrics

pytestmark = [pytest.mark.timeout(90), pytest.mark.deep]
BLOCKS = '''
"""Imported by Python itself at its start: while the file `hang` is there, the client's `consume` does not return."""
import os, time
import confluent_kafka

HANG = os.environ["HANG_WHILE"]

class Consumer(confluent_kafka.Consumer):
    def consume(self, *arguments, **named):
        while os.path.exists(HANG):
            time.sleep(0.05)
        return super().consume(*arguments, **named)

confluent_kafka.Consumer = Consumer
'''
HANGS_AFTER = 1.0
"""The least that an action file may say. The main thread looks for two seconds more before it tells."""


class Hanging:
    def __init__(self, stage: Stage):
        self.file = stage.directory / "hang"
        below = stage.directory / "site"
        below.mkdir()
        (below / "sitecustomize.py").write_text(BLOCKS)
        self.environ = {"PYTHONPATH": os.pathsep.join([str(below), SOURCES]), "HANG_WHILE": str(self.file)}

    def begin(self) -> None:
        self.file.touch()

    def end(self) -> None:
        self.file.unlink()


@pytest.fixture
def hanging(stage) -> Hanging:
    return Hanging(stage)


@pytest.fixture
def poller(stage, hanging) -> Running:
    stage.create(1, "pe")
    file = stage.action({"status/hangs_after": HANGS_AFTER, "metrics": {"emf": True, "interval": "1s"}})
    poller = stage.start(file, **hanging.environ)
    poller.until(lambda: stage.drained() and poller.status() is not None, "not started")
    poller.status_when(lambda status: len(status["partitions"]) == 1, "not assigned")
    return poller


def explain(poller: Running, cwd: Path, *words: str):
    return ran("explain", *words, "--port", str(address(poller)[1]), cwd=cwd)


def emf_lines(poller: Running) -> list[dict]:
    return [json.loads(line) for line in poller.text().splitlines() if line.startswith('{"_aws"')]


def test_a_loop_that_hangs_is_told_once_with_the_stacks_and_what_it_hangs_in(stage, hanging, poller):
    assert get(poller, "/livez")[0] == 200
    hanging.begin()
    told = poller.wait_for("the loop does not turn")
    assert told["seconds"] >= HANGS_AFTER
    stacks = poller.wait_for("stacks of all threads")["stacks"]
    (poll,) = [part for part in stacks.split("thread ") if part.startswith("poll:")]
    assert "in consume" in poll, "what hangs"
    assert "loop.py" in poll
    time.sleep(3.0)
    hanging.end()
    poller.wait_for("the loop turns again")
    assert len(poller.lines("the loop does not turn")) == len(poller.lines("stacks of all threads")) == 1

    hanging.begin()
    poller.wait_for("the loop does not turn", count=2)
    hanging.end()
    poller.wait_for("the loop turns again", count=2)
    assert len(poller.lines("stacks of all threads")) == 1, "once in a process' life"
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.drained() and stage.all_committed(), "it does not work again")
    assert poller.stop() == 0


def test_while_it_hangs_all_pages_answer_and_ages_go_on(stage, hanging, poller, tmp_path):
    assert (get(poller, "/livez")[0], get(poller, "/readyz")[0]) == (200, 200)
    hanging.begin()
    poller.until(lambda: get(poller, "/livez")[0] == 503, "alive although it hangs")
    code, _, text = get(poller, "/livez")
    assert code == 503
    assert text.startswith("the loop last turned ")
    assert get(poller, "/readyz")[0] == 503
    first = metrics(poller)["seconds_since_loop_turned"][()]
    poller.until(lambda: metrics(poller)["seconds_since_loop_turned"][()] > first + 1, "ages stand still")
    assert metrics(poller)["red"][()] == 1
    document = poller.status()
    assert document is not None
    assert document["red"]
    assert document["reasons"][0].startswith("the loop has not turned for ")
    told = explain(poller, tmp_path)
    assert told.code == 0
    name, why, remedy, *_ = told.out.splitlines()
    assert (name, why.startswith("  Its loop has not turned for ")) == (stage.name, True)
    assert "restart it" in remedy
    poller.until(lambda: emf_lines(poller)[-1].get("Red") == 1, "no alarm would see it")
    assert emf_lines(poller)[-1]["SecondsSinceLoopTurned"] > HANGS_AFTER

    hanging.end()
    poller.until(lambda: get(poller, "/livez")[0] == 200, "dead although it turns")
    poller.until(lambda: get(poller, "/readyz")[0] == 200, "not ready although it turns")
    assert metrics(poller)["red"][()] == 0
    assert "nothing to do" in explain(poller, tmp_path).out


def test_a_poller_that_hangs_still_ends_by_its_deadline(hanging, poller):
    hanging.begin()
    poller.wait_for("the loop does not turn")
    began = time.monotonic()
    assert poller.stop(40) == 0
    assert time.monotonic() - began < 10 + 8, "shutdown.deadline and what is kept past it"


def test_a_start_that_waits_for_a_broker_that_says_nothing_is_alive_until_it_gives_up(stage):
    """ECS would end a task whose check fails, while it waits as long as client_timeout_seconds tells it to."""
    stage.route("pe")
    with silent_server() as port:
        keys = {
            "source/config/connection/bootstrap": f"127.0.0.1:{port}",
            "source/config/connection/client_timeout_seconds": 14,
            "status/hangs_after": "6s",
        }
        poller = stage.start(stage.action(keys))
        poller.wait_for("status is served")
        seen = []
        while poller.exit_code is None:
            try:
                seen.append((get(poller, "/livez")[0], get(poller, "/readyz")[0]))
            except (OSError, http.client.HTTPException):
                break
            time.sleep(0.25)
        assert poller.wait() == 3
    assert len(seen) > 30, "it waited"
    assert set(seen) == {(200, 503)}
