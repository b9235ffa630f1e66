"""The poller as process 1 with a root that is read-only, on a real Kafka under load: how it ends, and what it leaves.

The image's own steps are in `test_infra_image.py`; here is what becomes of events.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import as_first
from support.recorded import all_accounted_for, commits_not_ahead, first_hand_outs_in_order
from support.running import Running, Stage

HANDLER_SECONDS = 20.0
QUICK = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}


def missing() -> str:
    """Why nothing can be process 1 here; empty where it can."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "needs root and unshare (util-linux)"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces are not to be had here"


pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(bool(missing()), reason=missing() or "it can")]


class First(Running):
    """`signal` goes to process 1 itself, as a container engine's does."""

    def __init__(self, stage, file, log):
        super().__init__(file, stage.directory / log, {}, program=(as_first.__file__, str(stage.directory)))

    def inner(self):
        """The number that process 1 has outside."""
        found = []

        def there():
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            found[:] = [int(each) for each in children]
            return bool(found)

        self.until(there, "process 1 was not started")
        return found[0]

    def signal(self, number):
        os.kill(self.inner(), number)


@pytest.fixture
def stage(kafka, tmp_path, unique):
    with Stage(kafka, tmp_path, unique) as stage:
        stage.create(3, "pe")
        yield stage


@contextmanager
def load(stage):
    """Events come on and on, as long as this lasts, and at most 2,000."""
    ended = threading.Event()

    def send():
        for number in range(400):
            if ended.wait(0.02):
                return
            stage.send("pe", number % 3, 5)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def in_a_slow_call(stage, deadline):
    """Process 1 in a call that takes 20 s, with events coming in."""
    with load(stage):
        file = stage.action({"shutdown/deadline": deadline, "batch/concurrency": 1}, **QUICK)
        poller = First(stage, file, "first.log")
        try:
            poller.until(lambda: len(stage.recorded().done) >= 30, "nothing is delivered")
            stage.plan(sleep=[HANDLER_SECONDS, HANDLER_SECONDS])
            poller.until(lambda: any(call.ended is None for call in stage.recorded().calls), "no slow call")
            time.sleep(1.0)
            poller.until(lambda: any(call.ended is None for call in stage.recorded().calls), "no slow call")
            yield poller
        finally:
            if poller.exit_code is None:
                poller.kill()


def nothing_is_lost(stage):
    """Commits are not ahead, and a poller that follows delivers the rest."""
    commits_not_ahead(stage.committed(), stage.recorded(), stage.lettered(), stage.produced)
    stage.plan()
    follower = stage.start(stage.action(**QUICK), "follower.log")
    follower.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    assert follower.stop() == 0
    all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
    first_hand_outs_in_order(stage.recorded())


def test_a_call_of_20_s_is_finished_within_the_deadline(stage):
    with in_a_slow_call(stage, "25s") as poller:
        assert Path(f"/proc/{poller.inner()}/status").read_text().count("\nNSpid:\t") == 1
        assert Path(f"/proc/{poller.inner()}/status").read_text().partition("NSpid:")[2].split()[1] == "1"
        poller.signal(signal.SIGTERM)
        assert poller.wait(40) == 0
        assert poller.lines()[-1]["event"] == "stopped"
    slow = [call for call in stage.recorded().calls if call.ended is not None][-1]
    assert slow.ended - slow.began >= HANDLER_SECONDS - 1
    nothing_is_lost(stage)
    assert max(stage.recorded().times_done.values()) == 1


def test_a_call_of_20_s_is_abandoned_at_the_deadline(stage):
    with in_a_slow_call(stage, "3s") as poller:
        began = time.monotonic()
        poller.signal(signal.SIGTERM)
        assert poller.wait(20) == 0
        # A quarter of the deadline is kept for the last commit and for leaving the group.
        assert 2.0 < time.monotonic() - began < 8
    nothing_is_lost(stage)


def test_a_second_signal_ends_it_at_once(stage):
    with in_a_slow_call(stage, "25s") as poller:
        poller.signal(signal.SIGTERM)
        poller.wait_for("stopping")
        began = time.monotonic()
        poller.signal(signal.SIGTERM)
        poller.wait(20)
        assert time.monotonic() - began < 3
    nothing_is_lost(stage)


def test_its_root_cannot_be_written_to(stage):
    """So the others would notice a poller that writes elsewhere than to its mounts."""
    stage.send("pe", 0, 5)
    (stage.directory / "writes.py").write_text(
        "def handle(event, context):\n    open('/root-is-written-to', 'w').close()\n"
    )
    file = stage.action({"handler/config/function": "writes:handle", "retry/attempts": 1}, **QUICK)
    poller = First(stage, file, "first.log")
    try:
        line = poller.wait_for("records given up")
    finally:
        poller.kill()
    assert "Read-only file system" in line["error"]
    assert not Path("/root-is-written-to").exists()
