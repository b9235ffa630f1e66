"""How long an event takes from its producer to the handler: few events, then many, on one partition of one process.

All processes of a machine share one monotonic clock. Handlers get the events of a partition in the order of sending,
so that the n-th that came is the n-th that was sent.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from confluent_kafka import TopicPartition

from benchmarks.commands import command_of
from benchmarks.corpus import TOPICS, Entry, framed
from benchmarks.figures import Delayed, delays, percentile
from benchmarks.process import START_PATIENCE, Listening, Process
from benchmarks.referee import asked, new_group
from benchmarks.runs import Probe
from benchmarks.sending import Sending
from benchmarks.stand import Loaded, Stand

FIRST: Final = 20
"""Events that are sent before any is timed: each process joins its group and fetches schemas in its own time."""
PACES: Final = ((20, 100), (1000, 3000))
"""Events per second, and how many of them."""
PAUSE: Final = 0.05


def delayed(probe: Probe, stand: Stand, directory: Path) -> Delayed:
    """What one process's handler saw. Raises RunError."""
    directory.mkdir(parents=True)
    names = stand.topics((1, 1, 1))
    where = TopicPartition(names[TOPICS[0]], 0)
    entries = [entry for entry in stand.corpus.entries if entry.topic == TOPICS[0]]
    loaded = Loaded(names, {where: FIRST + sum(count for _, count in PACES)})
    sending = Sending(stand.bootstrap, {"linger.ms": 0})
    with Listening() as listening:
        command = command_of(probe.run, stand, loaded, new_group(), listening.port, directory, {})
        with Process(command, listening) as process:
            sent: list[float] = []
            for per_second, count in ((FIRST, FIRST), *PACES):
                sent += _paced(sending, where, entries, count, per_second)
                _wait(process, len(sent))
            (said,) = process.ask()
    arrivals = [(int(events), float(at)) for events, at in said["arrivals"]]
    found = delays(sent, arrivals)[FIRST:]
    few, many = found[: PACES[0][1]], found[PACES[0][1] :]
    return Delayed(probe.name, 1, *(percentile(some, percent) for some in (few, many) for percent in (50, 99)))


def _wait(process: Process, events: int) -> None:
    process.until(lambda: asked(process).events >= events, "not all events came", START_PATIENCE, PAUSE)


def _paced(sending: Sending, where: TopicPartition, entries: list[Entry], count: int, per_second: int) -> list[float]:
    """When each of so many events was handed to the producer."""
    began, times = time.monotonic(), []
    for number in range(count):
        entry = entries[number % len(entries)]
        value = framed(entry, "confluent")
        time.sleep(max(0.0, began + number / per_second - time.monotonic()))
        times.append(time.monotonic())
        sending.send(where, entry.key, value)
    sending.flush()
    return times
