"""The systemd units: what systemd's checker says, how exposed they are, and the poller's command as it is stopped.

The lines as they stand, at their own paths, run in `test_infra_unit_lines.py` where namespaces are to be had.
"""

from __future__ import annotations

import re
import shlex

import pytest

from support.templates import INFRA
from support.unit_stops import ends_at_the_second_signal, finishes_its_batch
from support.units import ANALYZE, MISSING, Unit, exposure, verified

POLLER = Unit(INFRA / "ec2" / "datahub-poller@.service", "tag-sync")
LOGS = Unit(INFRA / "ec2" / "datahub-poller-logs@.service", "tag-sync")
DRAIN = Unit(INFRA / "ec2" / "datahub-poller-drain.service")
MOST_EXPOSED = {POLLER: 1.5, LOGS: 1.0, DRAIN: 2.5}
PROGRAM = "/opt/datahub-poller/bin/datahub-poller"

analyzed = pytest.mark.skipif(ANALYZE is None, reason=MISSING)
each_unit = pytest.mark.parametrize("unit", MOST_EXPOSED, ids=lambda unit: unit.file.stem)


def test_every_unit_that_is_shipped_is_looked_at():
    assert {unit.file for unit in MOST_EXPOSED} == set((INFRA / "ec2").glob("*.service"))


@analyzed
@each_unit
def test_systemd_has_nothing_to_say_of_it(unit, tmp_path):
    assert verified(tmp_path, unit, unit.file.read_text()) == (0, "")


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
    text = POLLER.file.read_text()
    assert text.count(old) == 1
    assert verified(tmp_path, POLLER, text.replace(old, new))[1]


@each_unit
def test_a_system_call_that_is_not_allowed_fails_and_kills_nothing(unit):
    """By systemd's default it kills, and a program that only tries and goes on without would be gone."""
    assert unit.settings("SystemCallFilter")
    assert unit.setting("SystemCallErrorNumber") == "EPERM"


@analyzed
@each_unit
def test_it_is_exposed_no_more_than_is_said(unit, tmp_path):
    level = exposure(tmp_path, unit, unit.file.read_text())
    assert level <= MOST_EXPOSED[unit]
    page = (INFRA / "ec2" / "README.md").read_text()
    (said,) = re.findall(rf"^\| `{re.escape(unit.file.name)}` \|.*\| ([0-9.]+) \|$", page, re.MULTILINE)
    assert abs(float(said) - level) <= 0.2, level  # versions of systemd differ a little


@analyzed
@each_unit
def test_a_weaker_one_would_be_noticed(unit, tmp_path):
    text = unit.file.read_text()
    bare = f"[Service]\nExecStart={unit.setting('ExecStart')}\n"
    assert exposure(tmp_path, unit, bare) > 9
    weaker = re.sub(r"^(SystemCallFilter|Restrict\w+)=.*\n", "", text, flags=re.MULTILINE)
    assert exposure(tmp_path, unit, weaker) > MOST_EXPOSED[unit]


def test_it_gives_the_poller_longer_than_the_poller_takes():
    deadline, grace = 25.0, 2.0
    assert POLLER.seconds("TimeoutStopSec") > deadline + grace + 5
    assert POLLER.setting("RestartPreventExitStatus") == "2"
    assert POLLER.setting("Restart") == "on-failure"


def test_the_poller_is_told_how_long_systemd_waits():
    told = dict(each.split("=", 1) for each in POLLER.settings("Environment"))
    assert float(told["STOP_TIMEOUT"]) == POLLER.seconds("TimeoutStopSec")
    page = (INFRA / "ec2" / "README.md").read_text()
    (drop_in,) = re.findall(r"```ini\n\[Service\]\nTimeoutStopSec=(\d+)s\nEnvironment=STOP_TIMEOUT=(\d+)\n```", page)
    assert drop_in[0] == drop_in[1]
    assert f"{drop_in[0]} s and a deadline of\n  {int(drop_in[0]) - 5} s still fit the default `DrainSeconds`" in page


def test_the_copy_of_the_journal_holds_up_nothing():
    """It is no condition of the poller's, and it cannot fill the disk or take the memory."""
    assert not POLLER.settings("Requires") + POLLER.settings("BindsTo") + LOGS.settings("RequiredBy")
    assert LOGS.setting("Before") == "datahub-poller@%i.service"
    assert LOGS.setting("Restart") == "always"
    assert LOGS.settings("MemoryMax")


# -- without systemd


@pytest.fixture
def start(stage):
    """Runs the unit's command on the stage's action file. There is no ExecStop: KillSignal stops it."""
    assert POLLER.settings("ExecStop") == POLLER.settings("ExecReload") == []
    assert POLLER.setting("KillMode") == "mixed"
    program, *words = shlex.split(POLLER.setting("ExecStart"))
    assert (program, words) == (PROGRAM, ["run", "-c", "/etc/datahub-poller/%i.yaml"])
    stage.create(1, "pe")
    return lambda: stage.start(stage.action())  # `run -c FILE`, by the same program


def test_a_stop_lets_the_running_batch_finish_and_commits_it(stage, start):
    finishes_its_batch(stage, POLLER, start)


def test_a_second_signal_ends_it_at_once_and_the_batch_comes_again(stage, start):
    ends_at_the_second_signal(stage, POLLER, start)
