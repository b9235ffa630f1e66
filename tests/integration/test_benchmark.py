"""The benchmark in small: a process for each run, one broker, the same events, no bars; and its referee by itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import command
from benchmarks.commands import Command
from benchmarks.process import Listening, Process, RunError

pytestmark = pytest.mark.deep

RUN = Path(command.__file__).with_name("run.py")


def benchmark(file, *arguments):
    """The command in small, without bars; what it printed, and the document."""
    environ = {**os.environ, "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}
    small = ["--rounds", "1", "--events", "2000", "--bars", "off", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments, *small], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done, json.loads(file.read_text())


def only(*names):
    return [word for name in names for word in ("--only", name)]


def first_words(text):
    return [line.split("  ")[0] for line in text.splitlines()]


@pytest.mark.timeout(240)
def test_bare_and_poller_read_every_event_and_are_put_beside_each_other(kafka_jars, tmp_path):
    done, said = benchmark(tmp_path / "figures.json", *only("poller, 1000", "poller, filter 5 %"))
    assert [one["run"] for one in said["runs"]] == [*first_words(done.stdout)[1:4], "poller, filter 5 %"]
    bare, poller, logs, filtered = said["runs"]
    for one in said["runs"]:
        assert one["events"] == (2000 if one in (bare, poller) else 1360)
        assert one["seconds"] > 0
        assert 0 < one["cpu"] < 2 * one["seconds"] + 1
        assert 20 < one["peak"] < 500
        assert one["commits"] >= 1
        assert 0 < one["until_window"] <= one["until_first"]
        assert one["broker"] is None or one["broker"] >= 0
    assert (bare["calls"], logs["handled"]) == (2, None)
    assert 0.04 < filtered["handled"] / 1360 < 0.06
    assert "round 1 of 1  poller, 1000" in done.stderr
    assert [bar["run"] for bar in said["bars"]] == ["poller, 1000"] * 3 + ["poller, filter 5 %"]
    assert "poller, filter 5 %: events/s against bare, change logs" in first_words(done.stdout)


@pytest.mark.timeout(240)
def test_two_processes_share_what_was_held_back_and_starts_are_timed(kafka_jars, tmp_path):
    done, said = benchmark(tmp_path / "figures.json", *only("poller, 2 processes", "start, Confluent"))
    single, double = said["runs"]
    assert (single["run"], double["run"]) == ("poller, 1 process", "poller, 2 processes")
    assert single["events"] == double["events"] == 4000
    assert double["peak"] > 1.4 * single["peak"]  # of both
    assert double["commits"] >= 2
    for one in said["runs"]:
        assert one["until_window"] < one["until_first"]  # nobody saw an event before they were let go
    assert [start["run"] for start in said["starts"]] == ["start, Confluent"] * 5
    for start in said["starts"]:
        assert 0.05 < start["until_poll"] < start["until_assigned"]
        assert 20 < start["rss"] < 500
    assert "start, Confluent: seconds to the first poll" in first_words(done.stdout)


# -- the referee, on processes that are scripts of a few lines

CALLS = """
import json, os, socket
meter = socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))
def say(what):
    meter.sendall(json.dumps(what).encode() + b"\\n")
"""


@contextlib.contextmanager
def referred(script, directory, reporters=1):
    """A process with a connection to the referee."""
    with Listening() as listening:
        environ = {"PORT": str(listening.port)}
        command = Command([sys.executable, "-c", CALLS + script], environ, directory)
        with Process(command, listening, reporters) as process:
            yield process


def test_an_end_that_is_reported_before_the_first_question_is_not_lost(tmp_path):
    script = "say({'done': 1})\nfor _ in meter.makefile('rb'): say({'events': 1})"
    with referred(script, tmp_path) as process:
        assert process.ask() == [{"events": 1}]
        process.until_done()
        assert process.ask() == [{"events": 1}]


def test_an_end_that_is_reported_after_a_question_is_waited_for(tmp_path):
    script = "lines = meter.makefile('rb')\nlines.readline()\nsay({'events': 0})\nsay({'done': 1})\nlines.readline()"
    with referred(script, tmp_path) as process:
        assert process.ask() == [{"events": 0}]
        process.until_done()


def test_each_of_several_processes_is_asked_and_waited_for(tmp_path):
    script = """
child = os.fork()
if child == 0:
    meter = socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))
lines = meter.makefile("rb")
for _ in lines:
    say({"child": child == 0})
    say({"done": 1})
"""
    with referred(script, tmp_path, reporters=2) as process:
        assert sorted(said["child"] for said in process.ask()) == [False, True]
        process.until_done()


def test_one_of_several_that_ends_fails_the_run_although_the_others_go_on(tmp_path):
    script = """
if os.fork() == 0:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))
    os._exit(3)
for _ in meter.makefile("rb"):
    say({})
"""
    with (
        referred(script, tmp_path, reporters=2) as process,
        pytest.raises(RunError, match=r"^it ended before it was done: one of its processes"),
    ):
        process.ask()


def test_a_process_that_ends_fails_its_run_with_what_it_has_written(tmp_path):
    with referred("raise SystemExit('no such topic')", tmp_path) as process:
        with pytest.raises(RunError, match=r"(?s)it ended before it was done: 1.*no such topic"):
            process.until_done()
        with pytest.raises(RunError, match=r"(?s)nothing came: it ended with 1.*no such topic"):
            process.until(lambda: False, "nothing came", 10.0, 0.01)


def test_a_process_that_never_reports_fails_its_run(tmp_path):
    words = [sys.executable, "-c", "print('a wrong import', flush=True)"]
    with (
        Listening() as listening,
        pytest.raises(RunError, match=r"(?s)it did not report: it ended with 0.*a wrong import"),
        Process(Command(words, {}, tmp_path), listening),
    ):
        pytest.fail("it has not reported")


def test_a_condition_that_never_holds_ends_the_run_in_time_and_the_process_with_it(tmp_path):
    with (
        referred("meter.makefile('rb').readline()", tmp_path) as process,
        pytest.raises(RunError, match=r"^nothing came within 0 s"),
    ):
        process.until(lambda: False, "nothing came", 0.1, 0.01)
    assert process.ended
