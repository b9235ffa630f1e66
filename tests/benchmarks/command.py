"""How fast the poller is beside a bare loop, and with --full beside other projects: one Apache Kafka, the same events.

Every run is a process and a consumer group of its own that reads from the beginning. Every other round goes through
the runs backwards; ratios are taken inside of a round, and their medians are judged.

Exit code 0: all bars reached; 1: a bar was missed, or a run failed; 2: the command line is wrong; 3: no real Kafka.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import datahub_poller
from benchmarks import corpus, environments
from benchmarks.figures import Measured, document, missed, rows, table
from benchmarks.referee import RunError, idle, measured
from benchmarks.runs import BARS, FULL, PEERS, QUICK, Run
from benchmarks.stand import Stand, stand
from kafka.cluster import ClusterError, kafka_libs
from support.jars import UnavailableError

DISTINCT: Final = 20_000
POLLER_RUN: Final = next(run for run in QUICK if run.driver == "poller")
EXAMPLES = """\
examples:
  make bench-quick                                       the poller beside a bare loop, with bars, in three minutes
  make bench                                             beside other projects too, each in an environment of its own
  make bench-quick ARGS='--bars off --rounds 1'          a look
  python tests/benchmarks/run.py --only 'poller, 1000' --only 'bare, 1000' --rounds 5
  python tests/benchmarks/run.py --full --json all.json  every run, for scripts

runs:
"""


def command(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _options(arguments)
    chosen = _chosen(options)
    try:
        with contextlib.ExitStack() as open_things:
            directory = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            return _bench(chosen, options, directory, Progress())
    except KeyboardInterrupt:
        return 130
    except (UnavailableError, ClusterError) as reason:
        remedy = "it needs a JDK 17 or later and Maven on PATH once, or KAFKA_HOME; see tests/kafka/README.md"
        print(f"benchmark: no real Apache Kafka: {reason}; {remedy}", file=sys.stderr)
        return 3
    except RunError as error:
        print(f"benchmark: a run failed: {error}", file=sys.stderr)
        return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    listed = "".join(f"  {run.name:24}{'' if run in QUICK else '--full'}\n" for run in FULL)
    parser = argparse.ArgumentParser(
        prog="run.py",
        description=__doc__,
        epilog=EXAMPLES + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [run.name for run in FULL]
    parser.add_argument("--full", action="store_true", help="every run, other projects too")
    parser.add_argument("--only", action="append", choices=names, metavar="RUN", help="this one; may be repeated")
    parser.add_argument("--rounds", type=_whole(1), help="3 unless told, 5 with --full")
    parser.add_argument("--events", type=_whole(1000), default=60_000, help="read by each run; 60000 unless told")
    parser.add_argument("--seed", type=int, default=1, help="what the events are made from; 1 unless told")
    parser.add_argument("--bars", choices=("on", "off"), default="on", help="off: only look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 5 if options.full else 3
    return options


def _whole(step: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < 1 or value % step:
            raise argparse.ArgumentTypeError(f"{text}: a positive number" + f", in steps of {step}" * (step > 1))
        return value

    return number


def _chosen(options: argparse.Namespace) -> list[Run]:
    """What is asked for, and what it is measured against."""
    if not options.only:
        return list(FULL if options.full else QUICK)
    wanted = {run.name for run in FULL if run.name in options.only}
    wanted |= {run.beside for run in FULL if run.name in wanted}
    return [run for run in FULL if run.name in wanted]


def _bench(chosen: Sequence[Run], options: argparse.Namespace, directory: Path, progress: Progress) -> int:
    libs = kafka_libs(os.environ)
    pythons, missing = _environments(chosen, progress)
    runs = [run for run in chosen if run.driver not in missing]
    events = _corpus(options, progress)
    with stand(libs, directory / "kafka", events) as (ground, broker):
        progress.say(f"{broker} runs; producing")
        done, failed = _measure(runs, options, ground, directory, pythons, progress)
        resting = idle(POLLER_RUN, ground, directory / "idle")
    missing |= failed
    found = rows(done, {run.name: run.beside for run in runs})
    print(table(found), end="")
    print(f"poller at rest: {resting.until_assigned:.1f} s from start to partitions, {resting.rss:.0f} MB")
    for name, reason in missing.items():
        print(f"not measured: {name}: {reason.splitlines()[0]}")
    wanted = [bar for bar in BARS if bar.run in {run.name for run in runs}] if options.bars == "on" else []
    short = missed(found, wanted)
    if options.json is not None:
        about = {**_about(options), "broker": broker, "not_measured": missing, "bars_missed": short}
        about["idle"] = resting._asdict()
        options.json.write_text(json.dumps(document(done, found, about), indent=1) + "\n")
    for said in short:
        print(f"bar missed: {said}", file=sys.stderr)
    return 1 if short else 0


def _environments(chosen: Sequence[Run], progress: Progress) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreters of other projects, and why some are not to be had."""
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for driver in PEERS:
        if any(run.driver == driver for run in chosen):
            progress.say(f"environment of {driver}")
            try:
                pythons[driver] = environments.python_of(driver, os.environ)
            except UnavailableError as reason:
                missing[driver] = str(reason)
    return pythons, missing


def _corpus(options: argparse.Namespace, progress: Progress) -> corpus.Corpus:
    distinct = min(DISTINCT, options.events)
    progress.say(f"{distinct:,} distinct events of seed {options.seed}")
    path, _ = corpus.made(distinct, options.seed)
    return corpus.read(path)


def _measure(
    runs: Sequence[Run],
    options: argparse.Namespace,
    ground: Stand,
    directory: Path,
    pythons: Mapping[str, Path],
    progress: Progress,
) -> tuple[list[Measured], dict[str, str]]:
    """What was measured, and why another project's run is left out: ours and the bare loop's must not fail."""
    loaded = {run.name: ground.loaded(run.framing, _count(options.events, run.share)).of(run.topics) for run in runs}
    done: list[Measured] = []
    failed: dict[str, str] = {}
    for number in range(1, options.rounds + 1):
        # There and back: what is compared stays side by side, and each comes first in its turn.
        for place, run in enumerate(runs if number % 2 else reversed(runs)):
            where = directory / f"round-{number}" / str(place)
            if run.name in failed:
                continue
            try:
                one = measured(run, number, ground, loaded[run.name], where, pythons)
            except RunError as error:
                if run.driver in ("poller", "bare"):
                    raise
                failed[run.name] = str(error)
                progress.say(f"round {number} of {options.rounds}  {run.name} failed: {error}")
                continue
            done.append(one)
            progress.told(one, options.rounds)
    order = [run.name for run in runs]
    return sorted(done, key=lambda one: (one.round, order.index(one.run))), failed


def _count(events: int, share: float) -> int:
    """In whole thousands, so that no batch is waited for that never fills."""
    return max(1000, int(events * share) // 1000 * 1000)


def _about(options: argparse.Namespace) -> dict[str, Any]:
    packages = ("acryl-datahub", "acryl-datahub-actions", "confluent-kafka", "fastavro")
    return {
        "seed": options.seed,
        "events": options.events,
        "rounds": options.rounds,
        "python": platform.python_version(),
        "versions": {"datahub-poller": datahub_poller.__version__, **{name: version(name) for name in packages}},
    }


class Progress:
    """Lines on standard error, with the seconds since it was begun."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {what}", file=sys.stderr, flush=True)

    def told(self, one: Measured, rounds: int) -> None:
        figures = f"{one.per_second:,.0f} events/s, CPU {one.cpu_ms:.1f} ms/1k, {one.peak:.0f} MB"
        self.say(f"round {one.round} of {rounds}  {one.run}: {figures}")
