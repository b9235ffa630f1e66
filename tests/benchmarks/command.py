"""The command: everything that was chosen is measured, told and judged. What it does for its user: `options.py`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import datahub_poller
from benchmarks import corpus, environments
from benchmarks.bars import Verdict, judged, of_runs
from benchmarks.figures import Record, document, rows
from benchmarks.options import Chosen, chosen, options_of
from benchmarks.process import RunError
from benchmarks.rounds import Progress, Rounds, probed
from benchmarks.runs import BARS, PEERS, Run
from benchmarks.stand import stand
from benchmarks.tables import report
from kafka.cluster import ClusterError, kafka_libs
from support.jars import UnavailableError

DISTINCT: Final = 20_000


def command(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = options_of(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
            return _bench(chosen(options), options, Path(directory), Progress())
    except KeyboardInterrupt:
        return 130
    except (UnavailableError, ClusterError) as reason:
        print(f"benchmark: no broker: {reason}", file=sys.stderr)
        return 3
    except RunError as error:
        print(f"benchmark: a run failed: {error}", file=sys.stderr)
        return 1


def _bench(wanted: Chosen, options: argparse.Namespace, directory: Path, progress: Progress) -> int:
    libs = _libs()
    pythons, missing = _environments(wanted.runs, progress) if libs is not None else ({}, {})
    if libs is None:
        others = {*PEERS, "actions"}
        missing = {run.name: "it needs Apache Kafka" for run in wanted.runs if run.gated or run.driver in others}
    runs = [run for run in wanted.runs if run.driver not in missing and run.name not in missing]
    events = _corpus(options, progress)
    with stand(libs, directory / "kafka", events, os.environ) as (ground, broker):
        progress.say(f"{broker} runs; producing")
        done, failed = Rounds(runs, options.rounds, options.events, ground, directory, pythons, progress).measure()
        probes = wanted.probes if libs is not None else ()
        records: list[Record] = [*done, *probed(probes, ground, directory, progress)]
    missing |= failed
    table = rows(done, {run.name: run.beside for run in runs})
    verdicts = _verdicts(wanted, records, missing) if libs is not None else []
    print(report(table, records, verdicts), end="")
    for name, reason in missing.items():
        print(f"not measured: {name}: {reason.splitlines()[0]}")
    if options.json is not None:
        about = {**_about(options), "broker": broker, "not_measured": missing, "bars": _plain(verdicts)}
        options.json.write_text(json.dumps(document(records, table, about), indent=1) + "\n")
    if libs is None:
        return 3
    return _judged(verdicts) if options.bars == "on" else 0


def _libs() -> Path | None:
    """Where a real Apache Kafka is; None, with the reason said, where Tansu has to do."""
    try:
        return kafka_libs(os.environ)
    except UnavailableError as reason:
        remedy = "it needs a JDK 17 or later and Maven on PATH once, or KAFKA_HOME; see tests/kafka/README.md"
        print(f"benchmark: no real Apache Kafka: {reason}; {remedy}", file=sys.stderr)
        environments.python_of("tansu", os.environ)
        print(
            "benchmark: on Tansu instead: only the poller beside the bare loop, and no bar is judged", file=sys.stderr
        )
        return None


def _verdicts(wanted: Chosen, records: Sequence[Record], missing: dict[str, str]) -> list[Verdict]:
    """On the bars of what was chosen and is to be had."""
    names = [run.name for run in wanted.runs if run.driver not in missing and run.name not in missing]
    return judged(records, of_runs(BARS, [*names, *(probe.name for probe in wanted.probes)]))


def _judged(verdicts: Sequence[Verdict]) -> int:
    short = [verdict for verdict in verdicts if not verdict.reached]
    for verdict in short:
        print(f"bar missed: {verdict}", file=sys.stderr)
    return 1 if short else 0


def _plain(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [
        {**each.bar._asdict(), "what": each.bar.what, "is": each.value, "reached": each.reached} for each in verdicts
    ]


def _environments(runs: Sequence[Run], progress: Progress) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreters of other projects, and why some are not to be had."""
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for driver in PEERS:
        if any(run.driver == driver for run in runs):
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


def _about(options: argparse.Namespace) -> dict[str, Any]:
    packages = ("acryl-datahub", "acryl-datahub-actions", "confluent-kafka", "fastavro")
    return {
        "seed": options.seed,
        "events": options.events,
        "rounds": options.rounds,
        "python": platform.python_version(),
        "versions": {"datahub-poller": datahub_poller.__version__, **{name: version(name) for name in packages}},
    }
