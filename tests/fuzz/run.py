"""Throw hostile bytes at the readers for minutes, by a seed: make fuzz.

Random schemas and DataHub's own, random values, damaged bytes; fastavro is the oracle. Ends with exit code 1 where an
input is read otherwise than it should be, takes seconds, takes the process down, or leaves memory behind.

examples:
  make fuzz MINUTES=10 SEED=7
  make fuzz SEED=7 ROUND=1234          repeat one round
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import resource
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / name) for name in ("poller", "handler", "tests")]
sys.path = [path for path in sys.path if Path(path or ".").resolve() != HERE]

from fuzz import rounds  # noqa: E402

GROWTH_MB: Final = 30
"""How much more memory a process may have at the end than after its first tenth."""
WARM_ROUNDS: Final = 50


class Round(NamedTuple):
    """What a worker tells: the number of a round that begins, or what came of it. `megabytes` are resident."""

    number: int
    tally: Counter[str] | None = None
    failure: str | None = None
    megabytes: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 where something was found."""
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long; 1 unless told")
    parser.add_argument("--seed", type=int, help="the seed; a random one unless told")
    parser.add_argument("--round", type=int, help="play this round of the seed alone")
    options = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    if options.round is not None:
        print(f"seed {seed}, round {options.round}: {_said(rounds.play(seed, options.round))}")
        return 0
    return _run(seed, options.minutes * 60.0)


def _run(seed: int, seconds: float) -> int:
    count = max(1, min(4, os.cpu_count() or 1))
    print(f"seed {seed}, {count} processes", flush=True)
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for number in range(count):
        mine, yours = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(yours, seed, number, count, seconds), daemon=True)
        worker.start()
        yours.close()
        pipes.append(mine)
        workers.append(worker)
    found = _collected(pipes, seed, seconds)
    for worker in workers:
        worker.join(rounds.SECONDS if found is None else 0.1)
        worker.kill()
    if found is None:
        return 0
    print(f"FOUND {found}", file=sys.stderr)
    return 1


def _collected(pipes: list[Connection], seed: int, seconds: float) -> str | None:
    """Until all workers are done; what was found."""
    began = shown = time.monotonic()
    total: Counter[str] = Counter()
    last: dict[Connection, int] = {}
    memory: dict[Connection, list[float]] = {pipe: [] for pipe in pipes}
    while pipes:
        for pipe in multiprocessing.connection.wait(pipes, 1.0):
            assert isinstance(pipe, Connection)
            try:
                said: Round | None = pipe.recv()
            except EOFError:
                return f"a process was taken down: make fuzz SEED={seed} ROUND={last.get(pipe)}"
            if said is None:
                pipes.remove(pipe)
            elif said.failure is not None:
                return f"{said.failure}\nrepeat it: make fuzz SEED={seed} ROUND={said.number}"
            elif said.tally is None:
                last[pipe] = said.number
            else:
                total += said.tally
                memory[pipe].append(said.megabytes)
        if time.monotonic() > shown + 10 or not pipes:
            shown = time.monotonic()
            passed = shown - began
            print(f"[{passed:5.0f} of {seconds:.0f} s] {total.total():,} inputs: {_said(total)}", flush=True)
    for seen in memory.values():
        growth = seen[-1] - seen[min(len(seen) - 1, max(WARM_ROUNDS, len(seen) // 10))]
        print(f"{len(seen):,} rounds, {seen[-1]:.0f} MB resident, {growth:+.0f} MB since the first tenth")
        if growth > GROWTH_MB:
            return f"memory grew by {growth:.0f} MB"
    return None


def _said(tally: Counter[str]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in sorted(tally.items()))


def _work(pipe: Connection, seed: int, first: int, step: int, seconds: float) -> None:
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _hangs)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    until, number = time.monotonic() + seconds, first
    while time.monotonic() < until:
        pipe.send(Round(number))
        signal.setitimer(signal.ITIMER_REAL, rounds.SECONDS)
        try:
            tally = rounds.play(seed, number)
        except Exception as error:
            pipe.send(Round(number, failure=f"{type(error).__name__}: {error}"))
            return
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.send(Round(number, tally, None, _megabytes()))
        number += step
    pipe.send(None)


def _hangs(_: int, __: Any) -> None:
    raise TimeoutError(f"a round takes more than {rounds.SECONDS:.0f} s")


def _megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    sys.exit(main())
