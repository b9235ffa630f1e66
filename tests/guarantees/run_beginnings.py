"""Play random histories of a group's beginning on a real Apache Kafka and judge each: make beginnings.

Producers' clocks are off by an hour or absent, partitions and topics come later, members start, stop and are killed.
A history that breaks a promise ends the run with exit code 1, its seed and the directory with its traces.

examples:
  make beginnings HISTORIES=200 SEED=1
  make beginnings SEED=17 HISTORIES=1      repeat one history: its seed is SEED plus its number, from 0
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("poller", "handler", "tests")]
sys.path = [path for path in sys.path if Path(path or ".").resolve() != HERE]

from guarantees.beginnings import Told, play  # noqa: E402
from kafka.cluster import KafkaCluster, kafka_libs  # noqa: E402
from support.jars import UnavailableError  # noqa: E402

AT_A_TIME: Final = 3


def main() -> int:
    """The exit code: 0 where every history was lawful, 1 where one was not, 3 where there is no Kafka."""
    parser = argparse.ArgumentParser(
        prog="make beginnings", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=50, help="how many (50)")
    parser.add_argument("--seed", type=int, default=None, help="the first one's seed (random)")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    try:
        libs = kafka_libs(os.environ)
    except UnavailableError as reason:
        print(f"make beginnings: a real Apache Kafka is not available: {reason}", file=sys.stderr)
        return 3
    with _directory() as directory, KafkaCluster(libs, directory / "kafka", 1) as cluster:
        print(f"seeds {seed} to {seed + given.histories - 1}, traces in {directory}", flush=True)
        told = _histories(cluster.bootstrap, directory, seed, given.histories)
    print(
        f"{len(told)} histories, nothing lost: {sum(t.events for t in told)} events, {sum(t.owed for t in told)} owed; "
        f"{sum(t.processes for t in told)} processes, {sum(t.killed for t in told)} killed; "
        f"{sum(t.partitions_added for t in told)} partitions added"
    )
    return 0


def _histories(bootstrap: str, directory: Path, first: int, count: int) -> list[Told]:
    told: list[Told] = []
    began = time.monotonic()
    with ThreadPoolExecutor(AT_A_TIME) as hands:
        running = {
            hands.submit(play, bootstrap, directory / str(seed), f"h{seed}-{secrets.token_hex(3)}", seed): seed
            for seed in range(first, first + count)
        }
        for done in as_completed(running):
            if (error := done.exception()) is not None:
                hands.shutdown(wait=False, cancel_futures=True)
                print(f"FAILED: {error}\ntraces: {directory / str(running[done])}", file=sys.stderr, flush=True)
                raise SystemExit(1)
            told.append(done.result())
            if len(told) % 10 == 0 or len(told) == count:
                print(f"[{time.monotonic() - began:5.0f} s] {len(told)} of {count}", flush=True)
    return told


@contextmanager
def _directory() -> Iterator[Path]:
    """Kept where a history failed."""
    directory = Path(tempfile.mkdtemp(prefix="beginnings-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
