"""What is read off inside of a measured process: events, time, CPU and memory; the referee asks for it over loopback.

The standard library alone, because it also runs in the environments of other projects. Times are monotonic seconds,
which all processes of a machine share. A process says "done" when it has seen its last event and goes on living:
the referee watches the group's commits and asks once more when the last one is there.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

VARIABLE = "BENCHMARK_RUN"


class Settings(NamedTuple):
    """What a run is to do. `work` is "decode" or "consume"; `commit` is "async" or "sync".

    `broker` is the broker's process id, None where it is not known. `arrivals`: when each event came is kept.
    """

    referee: int
    broker: int | None
    events: int
    bootstrap: str
    registry: str
    topics: list[str]
    group: str
    batch: int
    work: str
    commit: str
    session_ms: int | None = None
    arrivals: bool = False


def settings() -> Settings:
    """Of this process."""
    return Settings(**json.loads(os.environ[VARIABLE]))


class Meter:
    """Counts, and answers the referee's questions on a thread that sleeps in between."""

    def __init__(self, run: Settings) -> None:
        self.events = 0
        self.calls = 0
        self.commits: int | None = None
        self._wanted = run.events
        self._arrivals: list[tuple[int, float]] | None = [] if run.arrivals else None
        self._broker = run.broker
        self._first: dict[str, float | None] | None = None
        self._referee = socket.create_connection(("127.0.0.1", run.referee))
        self._over = threading.Event()
        threading.Thread(target=self._answer, name="meter", daemon=True).start()

    def begin(self) -> None:
        """The first event is here: nothing of it is done yet. Later calls mean nothing."""
        if self._first is None:
            self._first = now(self._broker)

    def add(self, events: int) -> bool:
        """So many more were done in one call; whether these were the last."""
        if self._arrivals is not None:
            self._arrivals.append((events, time.monotonic()))
        self.events += events
        self.calls += 1
        if self.events < self._wanted:
            return False
        self._say({"done": self.events})
        return True

    def stay(self) -> None:
        """Until the referee ends this process."""
        self._over.wait()

    def _answer(self) -> None:
        for _ in self._referee.makefile("rb"):
            self._say({"first": self._first, "now": now(self._broker), **memory(), **self._counts()})
        self._over.set()

    def _counts(self) -> dict[str, Any]:
        return {"events": self.events, "calls": self.calls, "commits": self.commits, "arrivals": self._arrivals}

    def _say(self, what: dict[str, Any]) -> None:
        self._referee.sendall(json.dumps(what).encode() + b"\n")


def now(broker: int | None) -> dict[str, float | None]:
    """The time, and the CPU seconds that this process and the broker have used in all their threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"time": time.monotonic(), "cpu": used.ru_utime + used.ru_stime, "broker": cpu_of(broker)}


def cpu_of(process: int | None) -> float | None:
    """The CPU seconds of another process, in steps of a clock tick; None where /proc does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory() -> dict[str, float]:
    """MB resident, now and at most.

    Linux hands a parent's peak down to what it starts, in `getrusage`; /proc has the process's own.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
        return {"rss": peak, "peak": peak}
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS:", "VmHWM:"))}
    return {"rss": int(sizes["VmRSS"]) * 1024 / 1e6, "peak": int(sizes["VmHWM"]) * 1024 / 1e6}
