"""The units' ExecStart lines as they stand, at the paths that they name, stopped as systemd stops; without systemd.

What they write goes into a real journal, and from there by the second unit into the file that the CloudWatch agent
reads. That file is all that these tests know of a poller.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from support.metrics_read import check_emf
from support.pretend_machine import Machine, missing
from support.running import Running
from support.templates import INFRA
from support.unit_stops import ends_at_the_second_signal, finishes_its_batch
from support.units import Unit

pytestmark = [pytest.mark.timeout(90), pytest.mark.skipif(bool(missing()), reason=missing() or "it can")]
POLLER = Unit(INFRA / "ec2" / "datahub-poller@.service", "tag-sync")
LOGS = Unit(INFRA / "ec2" / "datahub-poller-logs@.service", "tag-sync")
STOP = signal.Signals[POLLER.setting("KillSignal")]


class Installed:
    """A machine with a stage's action file, as `infra/ec2/README.md` installs it."""

    def __init__(self, machine, stage):
        self.machine, self.stage, self._started = machine, stage, []
        self.etc = machine.base / "etc/datahub-poller"
        self.state = machine.base / "var/lib/datahub-poller/tag-sync"
        self.lines = machine.base / "var/log/datahub-poller/tag-sync.log"
        for directory in (self.etc, self.state, self.lines.parent):
            directory.mkdir(parents=True)
        # The environment's own directory at the path of the unit, and beside its programs what belongs to the machine.
        programs = machine.base / "opt/datahub-poller/bin"
        programs.mkdir(parents=True)
        for each in Path(sys.prefix, "bin").iterdir():
            (programs / each.name).symlink_to(each)
        shutil.copy(INFRA / "ec2" / "journal_file.py", programs)
        for name in ("lib", "pyvenv.cfg"):
            (programs.parent / name).symlink_to(Path(sys.prefix, name))

    def action(self, changes=None):
        """The action file where the unit looks for it, with what is secret in the file that systemd reads."""
        usual = {
            "handler/config/path": str(self.stage.directory),
            "source/config/connection/bootstrap": "${BROKERS}",
            "options/failed_events_dir": "dead-letters",
            "metrics": {"emf": True, "interval": "1s"},
        }
        text = self.stage.action({**usual, **(changes or {})}).read_text()
        (self.etc / "tag-sync.yaml").write_text(text)
        (self.etc / "tag-sync.env").write_text(f"# what is yours\nBROKERS={self.stage.bed.bootstrap}\n")

    def start(self, unit):
        started = Running(self.etc, self.lines, {}, program=self.machine.program(unit))
        self._started.append(started)
        return started

    def end(self):
        for started in self._started:
            if started.exit_code is None:
                started.kill()


@pytest.fixture
def installed(stage, tmp_path):
    with Machine(tmp_path / "machine", stage.directory) as machine:
        end = time.monotonic() + 20
        while not machine.ready:
            assert time.monotonic() < end
            time.sleep(0.02)
        installed = Installed(machine, stage)
        try:
            yield installed
        finally:
            installed.end()


@pytest.fixture
def start(stage, installed):
    """Runs the unit's line, whose own lines are followed."""
    stage.create(1, "pe")
    installed.action()
    installed.start(LOGS)
    return lambda: installed.start(POLLER)


def test_a_stop_lets_the_running_batch_finish_and_commits_it(stage, start):
    finishes_its_batch(stage, POLLER, start)


def test_a_second_signal_ends_it_at_once_and_the_batch_comes_again(stage, start):
    ends_at_the_second_signal(stage, POLLER, start)


def test_a_wrong_action_file_ends_it_with_the_code_that_is_not_started_again(installed):
    installed.stage.create(1, "pe")
    installed.action({"batch/sise": 3})
    assert str(installed.start(POLLER).wait()) == POLLER.setting("RestartPreventExitStatus")


def test_a_deadline_that_does_not_fit_into_the_unit_s_stop_is_told(installed):
    installed.stage.create(1, "pe")
    installed.action({"shutdown/deadline": POLLER.setting("TimeoutStopSec")})
    installed.start(LOGS)
    poller = installed.start(POLLER)
    poller.until(lambda: "between SIGTERM and SIGKILL (STOP_TIMEOUT)" in poller.text(), "no warning")
    poller.signal(STOP)
    assert poller.wait() == 0


def test_letters_lie_in_the_one_directory_that_is_written_to(installed):
    stage = installed.stage
    stage.create(1, "pe")
    installed.action({"retry/attempts": 1})
    poller = installed.start(POLLER)
    stage.send("pe", 0, 3, poison=[1])
    poller.until(stage.all_committed, "not committed")
    poller.signal(STOP)
    assert poller.wait() == 0
    assert len(list(installed.state.glob("dead-letters/**/*.log"))) == 1


def test_the_agent_s_file_has_every_line_and_metrics_as_cloudwatch_takes_them(installed):
    stage = installed.stage
    stage.create(1, "pe")
    installed.action()
    installed.start(LOGS)
    poller = installed.start(POLLER)
    stage.send("pe", 0, 25)

    def emf():
        return [check_emf(line) for line in poller.text().splitlines() if line.startswith('{"_aws"')]

    def committed():
        return sum(line.get("CommittedEventCount", 0) for line in emf())  # the first line has the start alone

    poller.until(lambda: committed() == 25, "the commit is not in the lines")
    poller.signal(STOP)
    assert poller.wait() == 0
    end = time.monotonic() + 10
    while not poller.lines("stopped"):
        assert time.monotonic() < end, "its last line does not come"
        time.sleep(0.02)
    starts = [line["Starts"] for line in emf()]
    assert starts == [1] + [0] * (len(starts) - 1)
    for line in poller.text().splitlines():
        json.loads(line)  # nothing is cut and nothing is joined


def test_the_file_goes_on_after_what_it_has_where_it_begins_again(installed):
    """A line may come twice where it is killed; it is not missing, and an orderly copy has each once."""
    stage = installed.stage
    stage.create(1, "pe")
    installed.action({"metrics": None, "retry/attempts": 1})
    poller = installed.start(POLLER)
    first = installed.start(LOGS)  # later than the poller: it begins with the machine's start
    poller.wait_for("partition assigned")
    first.kill()
    before = len(poller.lines())
    stage.send("pe", 0, 40, poison=range(0, 40, 2))
    poller.until(stage.all_committed, "not committed")
    poller.signal(STOP)
    assert poller.wait() == 0
    installed.start(LOGS).wait_for("stopped")
    said = [line["event"] for line in poller.lines()]
    assert said.count("partition assigned") == said.count("stopped") == 1
    assert said.index("partition assigned") < said.index("signal received") < said.index("stopped")
    assert said.count("records given up") == 20
    assert len(said) - before > 20  # of these journalctl would show the last ten, were it not told otherwise
