"""What scraping costs a poller with 1,000 partitions that reads as fast as it can: `python -m benchmarks.scraping`.

One poller, one topic; seconds in which `/metrics` is fetched so often stand between seconds in which it is not, so that
both see the same machine. Compared are neighbours: events for each second, and for each second of the poller's
processor time, which other work on the machine disturbs less. Needs a real Apache Kafka, as `make bench` does.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import TopicPartition

from benchmarks.sending import Sending
from kafka.cluster import KafkaCluster, kafka_libs
from support.brokers import KafkaBed
from support.running import Running, Stage

PARTITIONS: Final = 1000
EVENTS: Final = 1_200_000
WINDOW: Final = 1.5
RATES: Final = (1, 10)
"""Fetches in a second. Ten times as many as anybody asks for, so that what one costs stands out of the noise."""
RUNS: Final = 5
HANDLER: Final = """
import pathlib, time
seen = pathlib.Path(__file__).with_name("seen.txt").open("w", buffering=1)

def handle(event, context):
    seen.write(f"{time.monotonic()} {len(event['events'])}\\n")
"""


class Window(NamedTuple):
    """`cpu` are the processor seconds of the poller at its two ends."""

    rate: int
    begin: float
    end: float
    cpu: tuple[float, float]


class Compared(NamedTuple):
    """Of a window with scrapes, by its neighbours without."""

    rate: int
    throughput: float
    by_cpu: float


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="scraping-") as below:
        directory = Path(below)
        with KafkaCluster(kafka_libs(os.environ), directory / "kafka", heap="512m") as cluster:
            bed = KafkaBed(cluster.bootstrap)
            (directory / "stage").mkdir()
            with Stage(bed, directory / "stage", lambda name: f"{name}-{uuid.uuid4().hex[:8]}") as stage:
                fill(stage, EVENTS)
                found = [compared for number in range(RUNS) for compared in run(stage, number, EVENTS, RATES)]
    for rate in RATES:
        mine = [each for each in found if each.rate == rate]
        _tell(rate, "events a second", [each.throughput for each in mine])
        _tell(rate, "events a second of processor time", [each.by_cpu for each in mine])
    return 0


def _tell(rate: int, what: str, ratios: list[float]) -> None:
    middle = statistics.median(ratios)
    quartiles = ", ".join(f"{each:.3f}" for each in statistics.quantiles(ratios))
    print(
        f"{rate} scrapes a second: {middle:.3f} of the {what} without, median of {len(ratios)} ({quartiles}); "
        f"by that, one scrape in 15 s costs {(1 - middle) / rate / 15:.3%}"
    )


def fill(stage: Stage, events: int) -> None:
    """A topic of 1,000 partitions with so many events, and the handler that counts them."""
    stage.create(PARTITIONS, "pe")
    value = stage._event("pe", 0, poison=False, schema=None).value
    assert value is not None
    sending = Sending(stage.bed.bootstrap, {"linger.ms": 100, "batch.num.messages": 10_000, "compression.type": "lz4"})
    for number in range(events):
        sending.send(TopicPartition(stage.topics["pe"], number // 100 % PARTITIONS), b"key", value)
    sending.flush()
    (stage.directory / "counting.py").write_text(HANDLER)


def run(stage: Stage, number: int, events: int, rates: Sequence[int], window: float = WINDOW) -> Iterator[Compared]:
    """One poller that reads them all, between whose windows without scrapes are windows with each of the rates.

    The first window begins nothing: `events` must be enough for four windows at the least, of so many seconds each.
    """
    seen = stage.directory / "seen.txt"
    seen.unlink(missing_ok=True)
    name = f"scraping-{number}-{uuid.uuid4().hex[:6]}"
    keys = {"name": name, "handler/config/function": "counting:handle", "batch/size": 1000}
    poller = stage.start(stage.action(keys), f"run-{number}.log")
    poller.until(lambda: seen.exists() and seen.stat().st_size > 0, "it began nothing", 60)
    url = poller.lines("status is served")[-1]["url"].replace("/status", "/metrics")
    windows: list[Window] = []
    for rate in itertools.cycle(each for scrapes in rates for each in (0, scrapes)):
        begin, cpu = time.monotonic(), _cpu(poller)
        with _scraping(url, rate):
            time.sleep(window)
        if _seen(seen) >= events:
            break
        windows.append(Window(rate, begin, time.monotonic(), (cpu, _cpu(poller))))
    poller.stop()
    calls = [(float(at), int(events)) for at, events in (line.split() for line in seen.read_text().splitlines())]

    def speeds(window: Window) -> tuple[float, float]:
        done = sum(events for at, events in calls if window.begin <= at < window.end)
        return done / (window.end - window.begin), done / max(0.01, window.cpu[1] - window.cpu[0])

    print(f"run {number}: {[f'{each.rate}: {speeds(each)[0]:,.0f}' for each in windows]}", file=sys.stderr)
    for before, here, after in zip(windows[1:], windows[2:], windows[3:], strict=False):
        if here.rate:
            mine, around = speeds(here), zip(speeds(before), speeds(after), strict=True)
            yield Compared(
                here.rate, *(own / statistics.mean(others) for own, others in zip(mine, around, strict=True))
            )


def _cpu(poller: Running) -> float:
    """Processor seconds of all its threads."""
    fields = Path(f"/proc/{poller.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _seen(file: Path) -> int:
    return sum(int(line.split()[1]) for line in file.read_text().splitlines() if line.count(" ") == 1)


@contextmanager
def _scraping(url: str, rate: int) -> Iterator[None]:
    ended = threading.Event()

    def scrape() -> None:
        while rate and not ended.wait(1 / rate):
            with urllib.request.urlopen(url, timeout=20) as answer:
                assert answer.read().count(b"datahub_poller_lag_seconds{") == PARTITIONS

    thread = threading.Thread(target=scrape)
    thread.start()
    yield
    ended.set()
    thread.join()


if __name__ == "__main__":
    sys.exit(main())
