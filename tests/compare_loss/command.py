"""The same trace from DataHub Actions' Kafka source and from datahub-poller under the same faults: what each loses,
repeats, and leaves waiting. One command, real processes, a real Apache Kafka where there is Java, loopback only.

Exit code 0: all was run; 1: datahub-poller lost a record; 2: the command line is wrong; 3: something could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare_loss.cases import CASES, Case
from compare_loss.products import versions
from compare_loss.report import Report, Result, as_json, markdown, table
from compare_loss.scene import Size, Stand
from datahub_poller.demo.broker import MockCluster
from kafka.cluster import KafkaCluster, kafka_libs
from support.brokers import Bed, KafkaBed, MockBed
from support.jars import UnavailableError

BEGAN = time.monotonic()
AT_A_TIME = 3
"""Cases mostly wait; the longest are begun first."""
FIRST = ("slow-action", "killed")
EXAMPLES = """\
examples:
  make compare-loss                                       the table, in about two minutes
  python tests/compare_loss/run.py --only not-avro        one fault, in ten seconds
  python tests/compare_loss/run.py --json > losses.json   for scripts
  python tests/compare_loss/run.py --markdown             the block of the README
  KAFKA_BOOTSTRAP=localhost:9092 make compare-loss        on a cluster of yours: makes topics and groups there

faults:
"""


def command(arguments: Sequence[str] | None = None) -> int:
    """The exit code, whatever happens."""
    try:
        return main(arguments)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        _say(f"could not be run: {type(error).__name__}: {error}")
        return 3


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of a run that could be run."""
    options = _options(arguments)
    chosen = [case for case in CASES if not options.only or case.name in options.only]
    with contextlib.ExitStack() as open_things:
        if options.keep is None:
            directory = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="compare-loss-")))
        else:
            directory = options.keep.resolve()
            directory.mkdir(parents=True)
        new_bed, broker = open_things.enter_context(_broker(directory / "kafka"))
        results = _results(chosen, new_bed, directory, options.seed)
    report = Report(versions(), broker, options.seed, results)
    form = as_json if options.json else markdown if options.markdown else table
    print(form(report), end="")
    return 1 if report.lost_by_ours else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    faults = "".join(f"  {case.name:18}{case.fault(Size())}\n" for case in CASES)
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES + faults, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [case.name for case in CASES]
    parser.add_argument("--only", action="append", choices=names, metavar="FAULT", help="run this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="what the events are made from; 1 unless given")
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="keep both products' files and logs in a new one"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, not a table")
    form.add_argument("--markdown", action="store_true", help="print the block of the README, not a table")
    options = parser.parse_args(arguments)
    if options.keep is not None and options.keep.exists():
        parser.error(f"--keep: {options.keep} is there already")
    return options


@contextlib.contextmanager
def _broker(directory: Path) -> Iterator[tuple[Callable[[], Bed], str]]:
    """Beds on one broker, and what to call it: the cluster of KAFKA_BOOTSTRAP, a real Kafka of ours, or the mock."""
    given = os.environ.get("KAFKA_BOOTSTRAP", "")
    if given:
        yield lambda: KafkaBed(given), "the cluster that KAFKA_BOOTSTRAP names"
        return
    try:
        libs = kafka_libs(os.environ)
    except UnavailableError as reason:
        _say(f"no real Apache Kafka ({reason}): on librdkafka's mock cluster")
        with MockCluster() as mock:
            yield lambda: MockBed(mock), "librdkafka's mock cluster (no real Apache Kafka here)"
        return
    _say("starting Apache Kafka")
    with KafkaCluster(libs, directory) as cluster:
        yield lambda: KafkaBed(cluster.bootstrap), _kafka_version(libs)


def _kafka_version(libs: Path) -> str:
    (jar,) = libs.glob("kafka-clients-*.jar")
    return f"Apache Kafka {jar.stem.removeprefix('kafka-clients-')}"


def _results(cases: Sequence[Case], new_bed: Callable[[], Bed], directory: Path, seed: int) -> list[Result]:
    """In the order of the cases, whichever is begun first."""
    size, over = Size(), threading.Event()

    def result(case: Case) -> Result:
        _say(f"{case.name}: {case.fault(size)}")
        stand = Stand(new_bed(), directory, _unique, size, seed, _say, over)
        return Result(case.name, case.fault(size), case.play(stand))

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            begun = {
                case.name: pool.submit(result, case) for case in sorted(cases, key=lambda case: case.name not in FIRST)
            }
            return [begun[case.name].result() for case in cases]
        except BaseException:
            over.set()
            raise


def _unique(name: str) -> str:
    return f"compare-loss-{name}-{uuid.uuid4().hex[:8]}"


def _say(what: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.1f} s  {what}", file=sys.stderr, flush=True)
