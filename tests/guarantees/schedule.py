"""Random rounds: a setting and a minute of faults, of processes and of the world at once, all told by a seed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final

from guarantees import churn, world
from guarantees.field import Field
from guarantees.play import Cell
from guarantees.setting import Setting
from guarantees.traffic import Mix

CRASHES: Final = 1
"""The least of each round: a round without a crash has not done what it is for."""


def round_of(seed: int, number: int, seconds: float, hands: Executor) -> Cell:
    """The `number`th round of a seed: the same settings, acts and faults in the same order whenever it is played.

    `hands` are two threads that outlive it: a child process is ended by the kernel with the thread that started it.
    """
    chance = random.Random(f"{seed}/{number}")
    protocol = chance.choice(("range", "cooperative", "kip-848"))
    changes: dict[str, Any] = {
        "source/config/commit": chance.choice(("step", "step", "200ms")),
        "batch/order": chance.choice(("failed_only", "strict")),
    }
    if chance.random() < 0.2:  # then all of a batch is given up with the one that fails, which must not look like more
        changes |= {"retry/bisect": False, "dead_letter/breaker/in_a_row": 1000}
    setting = Setting(
        protocol=protocol,
        static=chance.random() < 0.25,
        secure=chance.random() < 0.2,
        size=chance.choice((10, 50, 200)),
        concurrency=chance.choice((1, 2, 4)),
        total=None,
        rate=chance.choice((500.0, 700.0, 900.0)),
        mix=Mix(chance.choice((0.0005, 0.002)), chance.choice((0.0005, 0.003))),
        changes=changes,
        topic={} if chance.random() < 0.7 else {"message.timestamp.type": "LogAppendTime"},
    )
    script = _Script(chance.getrandbits(64), seconds, hands)
    return Cell(f"round-{number}", setting, script, chance.getrandbits(32), CRASHES)


class _Script:
    """For so many seconds two threads do to a field what their seeds say."""

    def __init__(self, seed: int, seconds: float, hands: Executor) -> None:
        self._seed = seed
        self._seconds = seconds
        self._hands = hands

    def __call__(self, field: Field, _: random.Random) -> None:
        until, failed = time.monotonic() + self._seconds, threading.Event()

        def do(turn: Callable[[Field, random.Random], None], seed: str) -> None:
            chance = random.Random(f"{self._seed}/{seed}")
            try:
                while time.monotonic() < until and not failed.is_set():
                    turn(field, chance)
            except BaseException:
                failed.set()
                raise

        tasks = [self._hands.submit(do, _churn, "churn"), self._hands.submit(do, _world, "world")]
        for task in tasks:
            task.result()
        field.traffic.end()


def _churn(field: Field, chance: random.Random) -> None:
    names = sorted(churn.ACTS)
    (name,) = chance.choices(names, [churn.WEIGHTS.get(name, 1) for name in names])
    seed, pause = chance.getrandbits(64), chance.uniform(0.0, 2.0)
    churn.ACTS[name](field, random.Random(seed))
    time.sleep(pause)


def _world(field: Field, chance: random.Random) -> None:
    faults = world.faults_for(field.setting)
    name, seconds = chance.choice(sorted(faults)), chance.uniform(1.0, 5.0)
    seed, pause = chance.getrandbits(64), chance.uniform(0.0, 3.0)
    faults[name](field, seconds, random.Random(seed))
    time.sleep(pause)
