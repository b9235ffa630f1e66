"""A measured process: started, asked over the connections that its meters have opened, watched by its log, ended."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final, Self, TypeVar

from benchmarks.commands import Command
from support.tether import tethered

PATIENCE: Final = 120.0
START_PATIENCE: Final = 60.0
STOP_SECONDS: Final = 10.0
ENDING_SECONDS: Final = 2.0

Said = TypeVar("Said")


class RunError(Exception):
    """A run did not come to its end, or did other work than it was to. Holds the end of its log."""


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
    """A command and the processes that it measures in: itself, or as many `reporters` as it starts."""

    def __init__(self, command: Command, listening: Listening, reporters: int = 1) -> None:
        self._command = command
        self._listening = listening
        self._log = command.directory / "process.log"
        self._wanted = reporters
        self._meters: list[_Meter] = []
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
            self.until(self._connected, "it did not report", START_PATIENCE, 0.0)
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
        for meter in self._meters:
            meter.close()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def _connected(self) -> bool:
        connection = self._listening.accepted()
        if connection is not None:
            self._meters.append(_Meter(connection))
        return len(self._meters) == self._wanted

    def ask(self) -> list[dict[str, Any]]:
        """What each has seen and used so far. One may have reported its end meanwhile."""
        for meter in self._meters:
            self._heard(meter.ask)
        return [self._heard(meter.answer) for meter in self._meters]

    def until_done(self) -> None:
        """Return when each has seen its last event."""
        for meter in self._meters:
            self._heard(meter.until_done)

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
        """Of the poller, whose processes write their counters into the log when they have stopped."""
        stopped = [line for line in self.text().splitlines() if b'"event":"stopped"' in line]
        if len(stopped) != self._wanted:
            raise RunError(f"it did not stop in order\n{self.tail()}")
        return sum(int(json.loads(line)["counters"][name]) for line in stopped)

    def tail(self) -> str:
        return "\n".join(self.text().decode(errors="replace").splitlines()[-15:])

    def _heard(self, listen: Callable[[], Said]) -> Said:
        try:
            return listen()
        except TimeoutError:
            raise RunError(f"it said nothing for {PATIENCE:.0f} s\n{self.tail()}") from None
        except (EOFError, ConnectionError):
            raise RunError(f"it ended before it was done: {self._code()}\n{self.tail()}") from None

    def _code(self) -> int | str:
        try:
            return self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return "one of its processes"


class _Meter:
    """The connection of one process."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._done = False

    def close(self) -> None:
        self._lines.close()
        self._connection.close()

    def ask(self) -> None:
        self._connection.sendall(b"?\n")

    def answer(self) -> dict[str, Any]:
        said = self._line()
        while "done" in said:
            self._done = True
            said = self._line()
        return said

    def until_done(self) -> None:
        while not self._done:
            self._done = "done" in self._line()

    def _line(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise EOFError
        said: dict[str, Any] = json.loads(line)
        return said
