"""The processes of a group, by the slots that they are in: started, killed, stopped, and how each ended.

Owns the account of their lives. What they run, and why one is ended, is others' business.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guarantees.trace import How, Life
from support.running import Running

STOP_SECONDS: Final = 60.0
KILLED: Final = -signal.SIGKILL
COULD_NOT_START: Final = 3


@dataclass(slots=True)
class _Member:
    """A process in a slot, and how it ended."""

    client: str
    process: Running
    began: float
    doomed: bool
    ended: float | None = None
    how: How = "running"

    @property
    def unborn(self) -> bool:
        """Whether it has said nothing yet: Python itself has not begun, and a SIGTERM just ends it."""
        return not self.process.text()


class Processes:
    """One process a slot at a time. `broken_since` says whether anything that one needs was away since then."""

    def __init__(self, directory: Path, broken_since: Callable[[float], bool]) -> None:
        self.unexpected: list[str] = []
        self._directory = directory
        self._broken_since = broken_since
        self._lives: list[_Member] = []
        self._now: dict[str, _Member] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.RLock()

    def start(self, slot: str, file: Path, program: Sequence[str], environ: Mapping[str, str]) -> Running:
        """A new process in an empty slot. With DIE_AT in its environment it will kill itself."""
        with self._lock:
            assert slot not in self._now
            self._counts[slot] = self._counts.get(slot, 0) + 1
            client = f"{slot}{self._counts[slot]}"
            own = {"POLLER_ID": client, "POLLER_SLOT": slot, "AWS_REGION": "eu-west-1", **environ}
            process = Running(file, self._directory / f"poller-{client}.log", own, (), program)
            member = _Member(client, process, time.time(), "DIE_AT" in environ)
            self._now[slot] = member
            self._lives.append(member)
            return process

    def running(self) -> list[str]:
        """The slots that have a process."""
        with self._lock:
            return sorted(self._now)

    def of(self, slot: str) -> Running:
        return self._now[slot].process

    def kill(self, slot: str) -> None:
        """kill -9."""
        with self._lock:
            self._now[slot].process.kill()
            self._gone(slot, "killed")

    def stop(self, slot: str) -> None:
        """SIGTERM; anything but exit code 0, soon, is unexpected."""
        member = self._now[slot]
        unborn = member.unborn
        member.process.signal(signal.SIGTERM)
        code = member.process.wait(STOP_SECONDS)
        no_start = code == COULD_NOT_START and self._broken_since(member.began)
        stopped = code == 0 or no_start or (unborn and code == -signal.SIGTERM)
        with self._lock:
            if self._now.get(slot) is member:
                self._gone(slot, "stopped" if stopped else "failed")
        if not stopped and not (member.doomed and code == KILLED):
            self.unexpected.append(f"{member.client} ended with {code} when it was stopped")

    def reap(self) -> list[str]:
        """The slots whose processes have ended by themselves; by a named point, or unexpectedly."""
        with self._lock:
            ended = [slot for slot, member in self._now.items() if member.process.exit_code is not None]
            for slot in ended:
                member, code = self._now[slot], self._now[slot].process.exit_code
                # One that is to die while it stops was told to stop, and may have been done before.
                stopped = (member.unborn and code == -signal.SIGTERM) or (member.doomed and code == 0)
                killed = member.doomed and code == KILLED
                no_start = code == COULD_NOT_START and self._broken_since(member.began)
                if not (stopped or killed or no_start):
                    tail = member.process.text()[-1500:]
                    self.unexpected.append(f"{member.client} ended by itself with {code}: {tail}")
                self._gone(slot, "killed" if killed else "stopped" if stopped else "failed")
            return ended

    def _gone(self, slot: str, how: How) -> None:
        member = self._now.pop(slot)
        member.ended, member.how = time.time(), how

    def end(self) -> None:
        """Whatever runs is killed."""
        for slot in self.running():
            self.kill(slot)

    @property
    def lives(self) -> list[Life]:
        return [Life(each.client, each.began, each.ended, each.how) for each in self._lives]

    @property
    def said(self) -> list[Running]:
        """Every process that there was, for what it has logged."""
        return [each.process for each in self._lives]
