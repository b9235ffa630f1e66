"""N pollers as processes of one consumer group: starts them, starts again what died, hands signals down, ends in order.

What an end means is decided in `processes`. Knows neither Kafka nor the action file. The signal handlers do what a
signal asks for themselves: the rest of the main thread may be blocked by a log that nobody reads.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from datahub_poller.observe.logs import get_logger, log_event
from datahub_poller.processes import FAILED, NOT_STARTED, STOPPED, Career, Restart, StopAll, in_order
from datahub_poller.signals import Signals

PROCESS = "POLLER_PROCESS"
"""The environment variable that tells a process its number."""
GRACE = 3.0
"""Seconds past the deadline after which a process is killed; by itself it ends one or two past it."""
LAST = 1.0
"""Seconds that killed processes get to be gone."""
LOG = get_logger("datahub_poller.supervisor")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `command` gets a lifeline's number, and `--status-port` where a process has a port to be told."""

    command: Sequence[str]
    environ: Mapping[str, str]
    ports: Sequence[int | None]
    deadline: float
    halts: bool


@dataclass(slots=True)
class Child:
    """One place among the processes: who has it, or when it is taken again."""

    number: int
    port: int | None
    career: Career
    process: subprocess.Popen[bytes] | None = None
    due: float | None = None
    environ: dict[str, str] = field(default_factory=dict)


class Supervisor:
    """Runs the plan until a signal, or until an end of one process ends all."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._children = [
            Child(number, port, Career(plan.halts), environ={**plan.environ, PROCESS: str(number)})
            for number, port in enumerate(plan.ports)
        ]
        self._signals = 0
        self._stopping = False
        self._code = STOPPED
        self._lifeline, self._held = os.pipe()  # nobody writes to it: that it ends is all that it says
        self._woken, waker = os.pipe()
        for end in (self._woken, waker):
            os.set_blocking(end, False)
        self._waker = waker

    def run(self) -> int:
        """The exit code: 0 when all ended in order."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        Signals(self._on_signal).install()
        for child in self._children:
            child.due = time.monotonic()
        while self._go_on():
            self._start_due()
            self._sleep()
            for child, code in self._collect():
                self._ended(child, code)
        log_event(LOG, logging.INFO, "all processes have ended", code=self._code)
        return self._code

    def _go_on(self) -> bool:
        return not self._stopping or any(child.process is not None for child in self._children)

    def _sleep(self) -> None:
        """Until a signal, SIGCHLD included, or until a process is to be started again."""
        due = [child.due for child in self._children if child.due is not None and not self._stopping]
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        if self._go_on() and select.select([self._woken], [], [], timeout)[0]:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)

    # -- processes

    def _start_due(self) -> None:
        for child in self._children:
            if not self._stopping and child.due is not None and child.due <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        child.due = None
        child.career.started(time.monotonic())
        port = () if child.port is None else ("--status-port", str(child.port))
        try:
            child.process = subprocess.Popen(  # noqa: S603 - our own command
                [*self._plan.command, "--lifeline", str(self._lifeline), *port],
                stdin=subprocess.DEVNULL,
                env=child.environ,
                pass_fds=(self._lifeline,),
                start_new_session=True,  # a terminal's Ctrl-C is the supervisor's to hand down
            )
        except OSError as error:
            log_event(LOG, logging.ERROR, "process cannot be started", process=child.number, reason=str(error))
            self._ended(child, NOT_STARTED)
            return
        if self._stopping:  # a signal came before the process had its place
            _send(child, signal.SIGTERM)
        log_event(LOG, logging.INFO, "process started", process=child.number, pid=child.process.pid)

    def _collect(self) -> Iterator[tuple[Child, int]]:
        """Those that ended, and how. As a container's first process, it also takes in what others left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self._children:
                if child.process is not None and child.process.pid == pid:
                    code = child.process.returncode = os.waitstatus_to_exitcode(status)
                    child.process = None
                    yield child, code

    def _ended(self, child: Child, code: int) -> None:
        now = time.monotonic()
        about: dict[str, Any] = {"process": child.number, **_how(code), "ran": round(now - child.career.began, 1)}
        if self._stopping:
            if self._code == STOPPED and not in_order(code):
                self._code = FAILED
            log_event(LOG, logging.INFO if in_order(code) else logging.WARNING, "process ended", **about)
            return
        match child.career.ended(code, now):
            case Restart(delay):
                child.due = now + delay
                log_event(LOG, logging.WARNING, "process ended: starting it again", **about, after=delay)
            case StopAll(final):
                self._stop(final)
                log_event(LOG, logging.ERROR, "process ended: stopping all", **about)

    # -- ending

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._code = FAILED
            self._kill()
        elif not self._stopping:
            self._stop(STOPPED)
        log_event(LOG, logging.INFO, "signal received", signal=signal.Signals(number).name)

    def _stop(self, code: int) -> None:
        """Tell all to stop, once; and see to it that this ends."""
        stopping, self._stopping, self._code = self._stopping, True, code
        if not stopping:  # the lifeline ends for one that misses the signal: its handler's code may ignore it just then
            os.close(self._held)
        for child in self._children:
            _send(child, signal.SIGTERM)
        _after(self._plan.deadline + GRACE, self._out_of_time)

    def _out_of_time(self) -> None:
        """On a thread of its own: processes are left, or the main thread cannot tell its log that none is."""
        unruly = [child for child, code in self._collect() if not in_order(code)]
        left = [child for child in self._children if child.process is not None]
        if unruly or left:
            self._code = self._code or FAILED
        self._kill()

    def _kill(self) -> None:
        for child in self._children:
            _send(child, signal.SIGKILL)
        _after(LAST, self._leave)

    def _leave(self) -> None:
        os._exit(self._code)


def _send(child: Child, number: int) -> None:
    """Until `_collect` has taken it in, its process id is nobody else's."""
    process = child.process
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _after(seconds: float, do: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()


def _how(code: int) -> dict[str, int | str]:
    """An exit code, or the name of the signal that a negative one stands for."""
    if code >= 0:
        return {"code": code}
    try:
        return {"signal": signal.Signals(-code).name}
    except ValueError:  # a real-time signal has no name
        return {"signal": -code}
