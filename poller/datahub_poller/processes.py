"""What becomes of a supervisor's processes: restart one, or stop all. Pure: time is a parameter.

A process that ended is started again, but where that cannot help: a set-up that was wrong from the first start on,
and a halt that the action file asks for. Knows exit codes and times, and no process.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass

STOPPED, FAILED, WRONG_USE, NOT_STARTED = 0, 1, 2, 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
STEADY = 60.0
"""A process that has run for so many seconds begins with the first pause again when it ends."""
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class StopAll:
    """Stop the others in order, and end with this exit code."""

    code: int


Decision = Restart | StopAll


@dataclass(slots=True)
class Career:
    """One process's starts. `halts`: the action file asks for a halt, of which exit code 1 may tell."""

    halts: bool
    starts: int = 0
    began: float = 0.0
    in_a_row: int = 0

    def started(self, now: float) -> None:
        """It was started, or that was tried."""
        self.starts += 1
        self.began = now

    def ended(self, code: int, now: float) -> Decision:
        """It ended without being told to; a negative code is a signal's number."""
        if code in (WRONG_USE, NOT_STARTED) and self.starts == 1:
            return StopAll(code)
        if code == FAILED and self.halts:
            return StopAll(code)
        self.in_a_row = 1 if now - self.began >= STEADY else self.in_a_row + 1
        return Restart(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.in_a_row - 1, 60)))


def in_order(code: int) -> bool:
    """Whether one that was told to stop did so; SIGTERM ends only one that had not come to begin anything."""
    return code in (STOPPED, -signal.SIGTERM)


def ports(first: int | None, count: int) -> tuple[int | None, ...]:
    """The status port of each process, consecutive; `off` stays off, and 0 any free one. ValueError: too many."""
    if not first:
        return (first,) * count
    if first + count - 1 > LAST_PORT:
        raise ValueError(f"{count} status ports from {first} on would go beyond {LAST_PORT}")
    return tuple(range(first, first + count))


def shared(names: Iterable[str | None]) -> str | None:
    """The first of these names that an earlier one has too."""
    seen: set[str] = set()
    for name in names:
        if name is not None and name in seen:
            return name
        seen.update(() if name is None else (name,))
    return None
