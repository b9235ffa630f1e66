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
from benchmarks.referee import Listening, Process, RunError

RUN = Path(command.__file__).with_name("run.py")


@pytest.mark.timeout(240)
def test_bare_and_poller_read_every_event_and_are_put_beside_each_other(kafka_jars, tmp_path):
    file = tmp_path / "figures.json"
    arguments = ["--only", "poller, 1000", "--rounds", "1", "--events", "2000", "--bars", "off", "--json", str(file)]
    environ = {**os.environ, "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(file.read_text())
    bare, poller = said["runs"]
    assert (bare["run"], poller["run"]) == ("bare, 1000", "poller, 1000")
    for one in (bare, poller):
        assert one["events"] == 2000
        assert one["seconds"] > 0
        assert 0 < one["cpu"] < 2 * one["seconds"] + 1
        assert 20 < one["peak"] < 500
        assert one["commits"] >= 1
        assert 0 < one["until_window"] <= one["until_first"]
    assert bare["calls"] == 2
    assert said["idle"]["rss"] > 20
    (first, second) = (line.split("  ")[0] for line in done.stdout.splitlines()[1:3])
    assert (first, second) == ("bare, 1000", "poller, 1000")
    assert "round 1 of 1  poller, 1000" in done.stderr


# -- the referee, on processes that are scripts of a few lines

CALLS = """
import json, os, socket
meter = socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))
def say(what):
    meter.sendall(json.dumps(what).encode() + b"\\n")
"""


@contextlib.contextmanager
def referred(script, directory):
    """A process with a connection to the referee."""
    with Listening() as listening:
        environ = {"PORT": str(listening.port)}
        with Process(Command([sys.executable, "-c", CALLS + script], environ, directory), listening) as process:
            yield process


def test_an_end_that_is_reported_before_the_first_question_is_not_lost(tmp_path):
    script = "say({'done': 1})\nfor _ in meter.makefile('rb'): say({'events': 1})"
    with referred(script, tmp_path) as process:
        assert process.ask() == {"events": 1}
        process.until_done()
        assert process.ask() == {"events": 1}


def test_an_end_that_is_reported_after_a_question_is_waited_for(tmp_path):
    script = "lines = meter.makefile('rb')\nlines.readline()\nsay({'events': 0})\nsay({'done': 1})\nlines.readline()"
    with referred(script, tmp_path) as process:
        assert process.ask() == {"events": 0}
        process.until_done()


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
