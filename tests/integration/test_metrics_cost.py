"""What a scrape costs a poller that has 1,000 partitions, in processor time of its process and in events a second."""

from __future__ import annotations

import os
import statistics
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks.scraping import Compared, fill, run
from support.running import Running

pytestmark = [pytest.mark.timeout(180), pytest.mark.deep]
PARTITIONS = 1000
SCRAPES = 300
INTERVAL = 15.0
"""Seconds between two scrapes of a Prometheus that asks often."""
MOST = 0.01
EVENTS = 600_000
WINDOW = 0.5
"""Seconds: a machine that reads 150,000 events a second has eight of them."""
OFTEN = 10
"""Scrapes in a second: 150 times as many, so that what they cost stands out of what a machine does beside it."""


def cpu_seconds(poller: Running) -> float:
    """Of all its threads, user and system, as the kernel counts."""
    fields = Path(f"/proc/{poller.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_scrape_takes_less_than_a_hundredth_of_the_time_between_two(on_kafka):
    on_kafka.create(PARTITIONS, "pe")
    poller = on_kafka.start()
    poller.status_when(lambda status: len(status["partitions"]) == PARTITIONS, "not all are assigned", 60)
    (line,) = poller.lines("status is served")
    url = line["url"].replace("/status", "/metrics")

    def spent(scrapes: int, seconds: float) -> float:
        """Processor seconds while it is scraped so often within so many seconds."""
        before, end = cpu_seconds(poller), time.monotonic() + seconds
        for _ in range(scrapes):
            with urllib.request.urlopen(url, timeout=20) as answer:
                text = answer.read().decode()
            assert text.count("datahub_poller_offset_lag{") == PARTITIONS
        time.sleep(max(0.0, end - time.monotonic()))
        return cpu_seconds(poller) - before

    time.sleep(2.0)  # what comes after an assignment
    at_rest = spent(0, 5.0)
    a_scrape = max(0.0, spent(SCRAPES, 5.0) - at_rest) / SCRAPES
    print(f"at rest {at_rest / 5.0:.1%} of a processor, a scrape {a_scrape * 1000:.1f} ms")
    assert 0 < a_scrape < MOST * INTERVAL


def test_at_full_speed_it_reads_as_many_events_as_without(on_kafka):
    """By neighbouring windows with scrapes and without, for each second of its processor: a hundredth at most for one
    scrape in 15 s. Events for each second of the clock are only told: they are other programs' too.
    """
    fill(on_kafka, EVENTS)
    found: list[Compared] = []
    for number in range(3):  # other work on the machine may have met the windows with scrapes: then by more of them
        found += run(on_kafka, number, EVENTS, (OFTEN,), WINDOW)
        if len(found) < 2:
            continue
        kept, by_cpu = (statistics.median(getattr(one, name) for one in found) for name in ("throughput", "by_cpu"))
        lost = (1 - by_cpu) / OFTEN / INTERVAL
        print(f"{kept:.2f} of that without, {by_cpu:.2f} by CPU, {len(found)} windows: one in 15 s costs {lost:.3%}")
        if lost < MOST / 5:
            return
    raise AssertionError("scrapes hold up the loop")
