"""The benchmark's command line, how each driver is started, and what is said where something is not to be had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import command, environments
from benchmarks.commands import DRIVERS, action_file, command_of
from benchmarks.corpus import TOPICS
from benchmarks.runs import FULL, PEERS
from benchmarks.stand import Loaded
from datahub_poller.config import parse_action
from support.jars import UnavailableError

STAND = SimpleNamespace(bootstrap="localhost:9092", registry="http://localhost:8081")
LOADED = Loaded({topic: f"x.{topic}" for topic in TOPICS}, {})


@pytest.mark.parametrize("run", [run for run in FULL if run.driver == "poller"], ids=lambda run: run.name)
def test_the_action_files_are_good_and_read_what_the_run_says(run, tmp_path):
    action = parse_action(action_file(run, STAND, LOADED.of(run.topics), "group", tmp_path), {})
    source = action.source.config
    assert sorted(source.topic_routes.values()) == sorted(f"x.{topic}" for topic in run.topics)
    assert source.schema_registry.type == ("confluent" if run.framing == "confluent" else "glue")
    assert (action.batch.size, source.start, bool(action.filters)) == (run.batch, "earliest", run.filtered)


@pytest.mark.parametrize("run", FULL, ids=lambda run: run.name)
def test_every_run_has_a_driver_and_is_told_what_to_do(run, tmp_path):
    pythons = {driver: Path(f"/environments/{driver}/python") for driver in PEERS}
    found = command_of(run, STAND, LOADED.of(run.topics), "group", 1234, tmp_path, pythons)
    assert Path(found.words[-1]).is_file()
    assert found.words[0] == str(pythons.get(run.driver, sys.executable))
    said = json.loads(found.environ["BENCHMARK_RUN"])
    assert (said["group"], said["referee"], said["batch"], said["commit"]) == ("group", 1234, run.batch, run.commit)
    assert ("PYTHONPATH" in found.environ) == (run.driver not in PEERS)


def test_every_driver_with_an_environment_has_its_pins_and_no_address():
    assert {path.stem for path in environments.REQUIREMENTS.iterdir()} == set(PEERS)
    for path in environments.REQUIREMENTS.iterdir():
        text = path.read_text()
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")
    assert {path.stem.removeprefix("peer_") for path in DRIVERS.glob("peer_*.py")} == {*PEERS, "actions"}


def test_a_run_brings_what_it_stands_beside():
    chosen = command._chosen(command._options(["--only", "poller, filter 4 %"]))
    assert [run.name for run in chosen] == ["bare, change logs", "poller, filter 4 %"]


@pytest.mark.parametrize("arguments", [["--events", "1500"], ["--rounds", "0"], ["--only", "nothing"], ["--bars", "x"]])
def test_a_wrong_command_line_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command.command(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_without_java_it_says_what_to_do_and_ends_with_3(tmp_path):
    done = subprocess.run(
        [sys.executable, str(Path(command.__file__).with_name("run.py"))],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "no java on PATH; it needs a JDK 17 or later and Maven on PATH once, or KAFKA_HOME" in done.stderr


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
