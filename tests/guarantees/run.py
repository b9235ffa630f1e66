"""Break a group of pollers for minutes, at random but by a seed, and judge every promise: make guarantees.

Rounds of about a minute on one cluster of three brokers, each with topics and a group of its own. A round that breaks a
promise ends the run with exit code 1, its seed, the command that repeats it and the directory with all its traces.
A run that went well appends its row to results.md.

examples:
  make guarantees MINUTES=10 SEED=7
  make guarantees SEED=7 ROUND=3            repeat one round; nothing is appended
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("poller", "handler", "tests")]
sys.path = [path for path in sys.path if Path(path or ".").resolve() != HERE]

from guarantees.play import Outcome, play  # noqa: E402
from guarantees.schedule import round_of  # noqa: E402
from kafka.cluster import KafkaCluster, kafka_libs  # noqa: E402
from support.jars import UnavailableError  # noqa: E402

RESULTS: Final = HERE / "results.md"
ROUND_SECONDS: Final = 60.0


class Options(NamedTuple):
    """`round` alone is played where it is given."""

    minutes: float
    seed: int
    round: int | None
    keep: bool
    seconds: float


class Total(NamedTuple):
    """All rounds of a run. `minutes` were spent on faults and on judging them."""

    seed: int
    minutes: float
    rounds: Sequence[Outcome]

    def row(self) -> str:
        """Its line in results.md."""
        faults: Counter[str] = Counter()
        facts: Counter[str] = Counter()
        for each in self.rounds:
            faults.update(each.faults)
            facts.update(each.facts)
        cells = [
            str(self.seed),
            f"{self.minutes:.0f}",
            f"{sum(each.events for each in self.rounds):,}",
            str(self.crashes),
            str(self.rebalances),
            "; ".join(f"{name} {count}" for name, count in sorted(faults.items())),
            "; ".join(f"{name} {count:,}" for name, count in facts.items()),
            f"{sum(each.repeats for each in self.rounds):,} of {sum(each.bound for each in self.rounds):,}",
        ]
        return f"| {' | '.join(cells)} |\n"

    @property
    def shows_nothing(self) -> bool:
        """Whether what the promises are about did not happen at all."""
        return not self.crashes or not self.rebalances

    @property
    def crashes(self) -> int:
        return sum(each.crashes for each in self.rounds)

    @property
    def rebalances(self) -> int:
        return sum(each.rebalances for each in self.rounds)


def main() -> int:
    """The exit code."""
    options = _options()
    try:
        libs = kafka_libs(os.environ)
    except UnavailableError as reason:
        print(f"make guarantees: no real Apache Kafka is to be had: {reason}", file=sys.stderr)
        return 3
    directory = Path(tempfile.mkdtemp(prefix="guarantees-"))
    kept = options.keep
    try:
        with (
            ThreadPoolExecutor(2) as hands,
            KafkaCluster(libs, directory / "kafka", 3, proxied=True, secure=True) as cluster,
        ):
            total = _rounds(cluster, directory, options, hands)
    except BaseException:
        kept = True
        raise
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)
    if total is None:
        return 1
    if total.shows_nothing:
        print(f"FAILED: {total.crashes} crashes and {total.rebalances} rebalances are too few to show anything")
        return 1
    print(total.row(), end="")
    if options.round is None:
        with RESULTS.open("a") as file:
            file.write(total.row())
        print(f"appended to {RESULTS.relative_to(ROOT)}")
    return 0


def _rounds(cluster: KafkaCluster, directory: Path, options: Options, hands: Executor) -> Total | None:
    began = time.monotonic()
    outcomes: list[Outcome] = []
    number = 1 if options.round is None else options.round
    print(f"seed {options.seed}, traces in {directory}", flush=True)
    while True:
        cell = round_of(options.seed, number, options.seconds, hands)
        where = directory / cell.name
        started = time.monotonic()
        try:
            outcome = play(cell, cluster, where, f"g{options.seed}-{cell.name}")
        except Exception:
            traceback.print_exc()
            print(
                f"FAILED in round {number}: {cell.setting}\nrepeat it: make guarantees SEED={options.seed} "
                f"ROUND={number}\ntraces: {where}; brokers: {directory / 'kafka'}",
                flush=True,
            )
            raise SystemExit(1) from None
        outcomes.append(outcome)
        minutes = (time.monotonic() - began) / 60
        took = time.monotonic() - started
        print(f"[{minutes:5.1f} of {options.minutes:g} min] round {number} ({took:.0f} s): {outcome}", flush=True)
        if not options.keep:
            shutil.rmtree(where, ignore_errors=True)
        if options.round is not None or minutes >= options.minutes:
            return Total(options.seed, minutes, outcomes)
        number += 1


def _options() -> Options:
    parser = argparse.ArgumentParser(
        prog="make guarantees", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, about (5)")
    parser.add_argument("--seed", type=int, default=None, help="what decides everything random (random)")
    parser.add_argument("--round", type=int, default=None, metavar="N", help="play this round alone")
    parser.add_argument("--seconds", type=float, default=ROUND_SECONDS, help="seconds of faults in a round (60)")
    parser.add_argument("--keep", action="store_true", help="keep the traces of good rounds too")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    return Options(given.minutes, seed, given.round, given.keep, given.seconds)


if __name__ == "__main__":
    sys.exit(main())
