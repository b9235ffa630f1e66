"""The systemd unit: what systemd's checker says, how exposed it is, and its command as systemd runs and stops it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from support.running import Running
from support.templates import INFRA

UNIT = INFRA / "ec2" / "datahub-poller@.service"
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 1.5
PROGRAM = "/opt/datahub-poller/bin/datahub-poller"

MISSING = "systemd-analyze is not here (Debian, Ubuntu: apt-get install systemd)"
analyzed = pytest.mark.skipif(ANALYZE is None, reason=MISSING)


def settings(name: str) -> list[str]:
    """Every value of a setting, in order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def setting(name: str) -> str:
    (value,) = settings(name)
    return value


def seconds(name: str) -> float:
    return float(setting(name).removesuffix("s"))


def analyze(tmp_path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the checker says of a unit, as an instance whose program is there."""
    file = tmp_path / "datahub-poller@tag-sync.service"
    file.write_text(text.replace(PROGRAM, sys.executable))
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *arguments, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
    )


def exposure(tmp_path, text: str) -> float:
    done = analyze(tmp_path, text, "security", "--offline=true", "--no-pager")
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    return float(level)


@analyzed
def test_systemd_has_nothing_to_say_of_it(tmp_path):
    done = analyze(tmp_path, UNIT.read_text(), "verify", "--man=no")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@analyzed
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RestartSec=5s", "RestartSecs=5s"),
        ("TimeoutStopSec=40s", "TimeoutStopSec=forty"),
        ("KillMode=mixed", "KillMode=some"),
        (f"ExecStart={PROGRAM}", "ExecStart=/nowhere/datahub-poller"),
        ("SystemCallFilter=@system-service", "SystemCallFilter=@no-such-group"),
    ],
)
def test_what_is_wrong_in_a_unit_is_said_whatever_the_exit_code(tmp_path, old, new):
    assert old in UNIT.read_text()
    assert analyze(tmp_path, UNIT.read_text().replace(old, new), "verify", "--man=no").stderr


@analyzed
def test_it_is_hardly_exposed(tmp_path):
    bare = f"[Service]\nExecStart={PROGRAM}\n"
    level = exposure(tmp_path, UNIT.read_text())
    print(f"exposure {level} of 10, of a bare unit {exposure(tmp_path, bare)}")
    assert level <= MOST_EXPOSED
    assert exposure(tmp_path, bare) > 9
    weaker = re.sub(r"^SystemCallFilter=.*\n", "", UNIT.read_text(), flags=re.MULTILINE)
    assert exposure(tmp_path, weaker) > MOST_EXPOSED


def test_it_gives_the_poller_longer_than_the_poller_takes():
    deadline, grace = 25.0, 2.0
    assert seconds("TimeoutStopSec") > deadline + grace + 5
    assert setting("RestartPreventExitStatus") == "2"
    assert setting("Restart") == "on-failure"


# -- without systemd


def as_systemd_does(stage, **changes) -> Running:
    """The unit's command on the stage's action file. There is no ExecStop: it is stopped by KillSignal."""
    assert settings("ExecStop") == settings("ExecReload") == []
    assert setting("KillMode") == "mixed"
    program, *words = shlex.split(setting("ExecStart"))
    assert (program, words) == (PROGRAM, ["run", "-c", "/etc/datahub-poller/%i.yaml"])
    return stage.start(stage.action(changes))  # `run -c FILE`, by the same program


def stop_signal() -> int:
    return signal.Signals[setting("KillSignal")]


@pytest.fixture
def busy(stage):
    """A poller whose handler is in a call of 3 s, and more to do."""
    stage.create(1, "pe")
    stage.plan(sleep=[3, 3])
    poller = as_systemd_does(stage)
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.recorded().calls, "no call")
    return stage, poller


def test_a_stop_lets_the_running_batch_finish_and_commits_it(busy):
    stage, poller = busy
    more = stage.send("pe", 0, 5)
    began = time.monotonic()
    poller.signal(stop_signal())
    assert poller.wait(seconds("TimeoutStopSec")) == 0
    assert time.monotonic() - began < seconds("TimeoutStopSec")
    (call,) = stage.recorded().calls
    assert call.ended is not None
    assert stage.committed() == {stage.tp("pe"): more[0].offset}


def test_a_second_signal_ends_it_at_once_and_the_batch_comes_again(busy):
    stage, poller = busy
    poller.signal(stop_signal())
    poller.wait_for("signal received")
    began = time.monotonic()
    poller.signal(stop_signal())
    assert poller.wait() == 1
    assert time.monotonic() - began < 2
    assert stage.committed().get(stage.tp("pe"), 0) == 0
    stage.plan()
    again = as_systemd_does(stage)
    again.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    assert again.stop() == 0
