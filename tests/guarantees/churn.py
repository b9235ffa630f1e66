"""What becomes of the processes: they are killed, stopped, frozen, replaced; members join and leave.

Each is one act on a running field, whole again when it returns: every slot of the setting has a process.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import Final

from guarantees.field import Field

Act = Callable[[Field, random.Random], None]
POINTS: Final = (
    "after-invocation",
    "after-dead-letter",
    "before-commit",
    "after-commit",
    "in-assigned",
    "in-revoked",
    "in-revoked-committed",
    "winding-down",
)
POINT_SECONDS: Final = 6.0


def kill(field: Field, chance: random.Random) -> None:
    """kill -9 of one, and a new one at once or after a while."""
    victim = _one(field, chance)
    if victim is not None:
        field.processes.kill(victim)
        time.sleep(chance.choice((0.0, 0.5, 4.0)))
    field.revive()


def kill_all(field: Field, chance: random.Random) -> None:
    """kill -9 of all at once."""
    field.processes.reap()
    for slot in field.processes.running():
        field.processes.kill(slot)
    field.revive()


def die_at(point: str) -> Act:
    """A process is replaced by one that kills itself at a named point; where it does not get there, it is killed."""

    def act(field: Field, chance: random.Random) -> None:
        victim = _one(field, chance)
        if victim is None:
            field.revive()
            return
        field.processes.stop(victim)
        passage = 1 if point.startswith(("in-", "winding")) else chance.randrange(1, 30)
        field.start(victim, DIE_AT=f"{point}:{passage}")
        until = time.monotonic() + POINT_SECONDS
        others = [slot for slot in field.processes.running() if slot != victim]
        if point.startswith("in-revoked") and others:  # somebody must come for it to lose partitions
            time.sleep(1.5)
            field.processes.stop(chance.choice(others))
            field.revive()
        if point == "winding-down":
            time.sleep(2.0)
            if victim in field.processes.running():
                field.processes.of(victim).signal(signal.SIGTERM)
        while victim in field.processes.running() and time.monotonic() < until:
            field.processes.reap()
            time.sleep(0.05)
        if victim in field.processes.running():
            field.processes.kill(victim)
        field.revive()

    act.__name__ = f"die_{point.replace('-', '_')}"
    return act


def rolling_restart(field: Field, chance: random.Random) -> None:
    """Stop and start each in turn, as a deployment does."""
    field.revive()
    for slot in field.processes.running():
        if field.processes.of(slot).exit_code is None:
            field.processes.stop(slot)
        field.processes.reap()
        if slot not in field.processes.running():
            field.start(slot)
        time.sleep(chance.uniform(0.5, 2.0))
    field.revive()


def join_and_leave(field: Field, chance: random.Random) -> None:
    """One more member joins, and after a while one leaves."""
    field.revive()
    extra = "x"
    field.start(extra)
    time.sleep(chance.uniform(1.5, 4.0))
    field.processes.reap()
    if extra in field.processes.running():
        field.processes.stop(extra)
    field.revive()


def freeze(field: Field, chance: random.Random) -> None:
    """SIGSTOP for longer than the session, so that others take over while it does not know; then it goes on."""
    victim = _one(field, chance)
    if victim is None:
        field.revive()
        return
    with field.fault("a frozen member", excuses=True):
        process = field.processes.of(victim)
        process.signal(signal.SIGSTOP)
        time.sleep(chance.uniform(3.5, 7.0))
        process.signal(signal.SIGCONT)
        time.sleep(1.0)
    field.revive()


def _one(field: Field, chance: random.Random) -> str | None:
    field.processes.reap()
    running = [slot for slot in field.processes.running() if slot in field.slots]
    return chance.choice(running) if running else None


ACTS: Final[Mapping[str, Act]] = {
    "kill": kill,
    "kill all": kill_all,
    "rolling restart": rolling_restart,
    "join and leave": join_and_leave,
    "freeze": freeze,
    **{f"die {point}": die_at(point) for point in POINTS},
}
WEIGHTS: Final[Mapping[str, int]] = {"kill": 14, "kill all": 2, "freeze": 2, "rolling restart": 2, "join and leave": 2}
"""How often each comes in a random schedule; 1 unless named."""
