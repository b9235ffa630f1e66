"""Carries out a run: starts its process, watches the group's commits from outside, asks the process what it has used.

The window ends when the broker says that the group has committed every event: asked each PAUSE seconds once the
process has seen its last event (from the beginning where a filter hides the last event from the handler). It begins
with the first event, before anything of it is done. A handler of the poller's sees events only when they are decoded,
so the poller's window begins earlier: with its log line that its partitions are assigned, before the first fetch.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from benchmarks.commands import Command, command_of
from benchmarks.figures import Measured
from benchmarks.runs import Run
from benchmarks.stand import Loaded, Stand
from support.tether import tethered

PAUSE: Final = 0.002
HIDDEN_PAUSE: Final = 0.01
PATIENCE: Final = 120.0
START_PATIENCE: Final = 60.0
REST_SECONDS: Final = 2.0
STOP_SECONDS: Final = 10.0
ASSIGNED: Final = b'"event":"partition assigned"'


class RunError(Exception):
    """A run did not come to its end, or did other work than it was to. Holds the end of its log."""


def measured(
    run: Run, number: int, stand: Stand, loaded: Loaded, directory: Path, pythons: Mapping[str, Path]
) -> Measured:
    """One run, in a process and a group of its own. Raises RunError."""
    directory.mkdir(parents=True)
    group = f"benchmark-{uuid.uuid4().hex[:12]}"
    with Listening() as listening, stand.watched(group, loaded) as committed:
        committed()  # finds the group's coordinator before the clock runs
        command = command_of(run, stand, loaded, group, listening.port, directory, pythons)
        with Process(command, listening) as process:
            found = _window(run, process, committed, loaded.events)
        _check(run, process, found, loaded.events)
    first, now = found["window"], found["now"]
    return Measured(
        run=run.name,
        round=number,
        events=loaded.events,
        seconds=found["ended"] - first["time"],
        cpu=now["cpu"] - first["cpu"],
        peak=found["peak"],
        calls=found["calls"],
        commits=process.counter("commits") if run.driver == "poller" else found["commits"],
        until_window=first["time"] - process.began,
        until_first=found["first"]["time"] - process.began,
    )


class Idle(NamedTuple):
    """The poller without events: seconds from its start to its partitions, MB and CPU seconds when it rests."""

    until_assigned: float
    rss: float
    cpu: float


def idle(run: Run, stand: Stand, directory: Path) -> Idle:
    """The poller of this run on empty topics. Raises RunError."""
    directory.mkdir(parents=True)
    group = f"benchmark-{uuid.uuid4().hex[:12]}"
    with Listening() as listening:
        command = command_of(run, stand, stand.loaded("confluent", 0), group, listening.port, directory, {})
        with Process(command, listening) as process:
            until = _assigned(process)["now"]["time"] - process.began
            time.sleep(REST_SECONDS)
            found = process.ask()
    return Idle(until, found["rss"], found["now"]["cpu"])


def _assigned(process: Process) -> dict[str, Any]:
    process.until(lambda: ASSIGNED in process.text(), "it was assigned nothing", START_PATIENCE, PAUSE)
    return process.ask()


def _window(run: Run, process: Process, committed: Callable[[], int], events: int) -> dict[str, Any]:
    """What the process said at the end of its window, with when that was."""
    assigned = _assigned(process)["now"] if run.driver == "poller" else None
    if not run.filtered:
        process.until_done()
    pause = HIDDEN_PAUSE if run.filtered else PAUSE
    process.until(lambda: committed() >= events, f"not all of {events} events were committed", PATIENCE, pause)
    ended = time.monotonic()
    found = process.ask()
    return {**found, "window": assigned or found["first"], "ended": ended}


def _check(run: Run, process: Process, found: Mapping[str, Any], events: int) -> None:
    share = 0.02 < found["events"] / events < 0.08 if run.filtered else found["events"] == events
    if not share or found["first"] is None:
        raise RunError(f"{run.name}: its handler saw {found['events']} of {events} events\n{process.tail()}")


class Listening:
    """The port on which processes report."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def accepted(self) -> socket.socket | None:
        """A process that has called; None when none does within a moment."""
        try:
            return self._server.accept()[0]
        except TimeoutError:
            return None


class Process:
    """A measured process. It is asked over the connection that its meter has opened."""

    def __init__(self, command: Command, listening: Listening) -> None:
        self._command = command
        self._listening = listening
        self._log = command.directory / "process.log"
        self._connection: socket.socket | None = None
        self._done = False
        self.began = 0.0

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                tethered(self._command.words),
                cwd=self._command.directory,
                env=self._command.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """In order where it does that, and at once where not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def _connect(self) -> None:
        def connected() -> bool:
            self._connection = self._listening.accepted()
            return self._connection is not None

        self.until(connected, "it did not report", START_PATIENCE, 0.0)
        assert self._connection is not None
        self._connection.settimeout(PATIENCE)
        self._lines = self._connection.makefile("rb")

    def ask(self) -> dict[str, Any]:
        """What it has seen and used so far. It may have reported its end meanwhile."""
        assert self._connection is not None
        self._connection.sendall(b"?\n")
        said = self._line()
        while "done" in said:
            self._done = True
            said = self._line()
        return said

    def until_done(self) -> None:
        """Return when it has seen its last event."""
        while not self._done:
            self._done = "done" in self._line()

    def until(self, condition: Callable[[], bool], problem: str, patience: float, pause: float) -> None:
        """Return when the condition holds. Raises RunError where the process has ended, or after `patience`."""
        end = time.monotonic() + patience
        while not condition():
            code = self._process.poll()
            if code is not None:
                raise RunError(f"{problem}: it ended with {code}\n{self.tail()}")
            if time.monotonic() > end:
                raise RunError(f"{problem} within {patience:.0f} s\n{self.tail()}")
            time.sleep(pause)

    def text(self) -> bytes:
        """All it has written."""
        return self._log.read_bytes()

    def counter(self, name: str) -> int:
        """Of the poller, which writes its counters into its log when it has stopped."""
        stopped = [line for line in self.text().splitlines() if b'"event":"stopped"' in line]
        if not stopped:
            raise RunError(f"it did not stop in order\n{self.tail()}")
        return int(json.loads(stopped[-1])["counters"][name])

    def tail(self) -> str:
        return "\n".join(self.text().decode(errors="replace").splitlines()[-15:])

    def _line(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise RunError(f"it said nothing for {PATIENCE:.0f} s\n{self.tail()}") from None
        if not line:
            raise RunError(f"it ended before it was done: {self._process.wait()}\n{self.tail()}")
        said: dict[str, Any] = json.loads(line)
        return said
