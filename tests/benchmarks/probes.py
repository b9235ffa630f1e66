"""Looks at one poller without a race: how soon it asks for records, what it costs at rest, and under few events."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import TopicPartition

from benchmarks.answers import Answer
from benchmarks.commands import command_of
from benchmarks.corpus import TOPICS, Entry, framed
from benchmarks.figures import Rested, Started, Thin
from benchmarks.holdings import shared_out
from benchmarks.process import PATIENCE, START_PATIENCE, Listening, Process
from benchmarks.referee import PAUSE, asked, assigned, new_group
from benchmarks.runs import Probe
from benchmarks.sending import Sending
from benchmarks.stand import Loaded, Stand

FIRST_POLL: Final = b'"event":"started"'
"""The poller's line once it has subscribed, before it asks for its first records."""
SLOW_PAUSE: Final = 0.05
SETTLE_SECONDS: Final = 3.0
REST_SECONDS: Final = 5.0
THIN_SECONDS: Final = 10.0
THIN_PER_SECOND: Final = 200


def started(probe: Probe, stand: Stand, directory: Path) -> list[Started]:
    """So many starts on empty topics, each in a group of its own. Raises RunError."""
    nothing = Loaded(stand.topics(), {})
    return [_start(probe, number, stand, nothing, directory / str(number)) for number in range(1, probe.times + 1)]


def _start(probe: Probe, number: int, stand: Stand, loaded: Loaded, directory: Path) -> Started:
    directory.mkdir(parents=True)
    with Listening() as listening:
        command = command_of(probe.run, stand, loaded, new_group(), listening.port, directory, {})
        with Process(command, listening) as process:
            process.until(lambda: FIRST_POLL in process.text(), "it asked for nothing", START_PATIENCE, PAUSE)
            polled = time.monotonic()
            rss = asked(process).rss
            ready = assigned(process).now.time
    return Started(probe.name, number, polled - process.began, rss, ready - process.began)


def rested(probe: Probe, stand: Stand, directory: Path) -> Rested:
    """A poller on empty topics of so many partitions; then few events for it, where that is wanted. Raises RunError."""
    directory.mkdir(parents=True)
    names, group = stand.topics(probe.partitions), new_group()
    sent = spread_out(stand.corpus.entries, names, probe.partitions, int(THIN_SECONDS * THIN_PER_SECOND))
    loaded = Loaded(names, dict(Counter(where for where, _ in sent))) if probe.thin else Loaded(names, {})
    partitions = sum(probe.partitions)
    with Listening() as listening, stand.watched(group, loaded) as committed:
        command = command_of(probe.run, stand, loaded, group, listening.port, directory, {})
        with Process(command, listening) as process:
            problem = f"it was not assigned {partitions} partitions"
            process.until(lambda: shared_out(process.text(), 1, partitions), problem, START_PATIENCE, SLOW_PAUSE)
            until = asked(process).now.time - process.began
            time.sleep(SETTLE_SECONDS)
            before = asked(process).now
            time.sleep(REST_SECONDS)
            rest = asked(process)
            thin = _thin(stand, process, sent, committed) if probe.thin else None
    cpu_ms = 1000 * (rest.now.cpu - before.cpu) / (rest.now.time - before.time)
    return Rested(probe.name, 1, partitions, until, cpu_ms, rest.rss, thin)


def spread_out(
    entries: Sequence[Entry], names: dict[str, str], partitions: Sequence[int], count: int
) -> list[tuple[TopicPartition, Entry]]:
    """So many events, and for each its partition: those of its topic in turn."""
    counts = dict(zip(TOPICS, partitions, strict=True))
    turns: Counter[str] = Counter()
    sent = []
    for number in range(count):
        entry = entries[number % len(entries)]
        sent.append((TopicPartition(names[entry.topic], turns[entry.topic] % counts[entry.topic]), entry))
        turns[entry.topic] += 1
    return sent


def _thin(
    stand: Stand, process: Process, sent: Sequence[tuple[TopicPartition, Entry]], committed: Callable[[], int]
) -> Thin:
    committed()  # finds the group's coordinator before the clock runs
    sending = Sending(stand.bootstrap, {"linger.ms": 0})
    before = asked(process)
    for number, (where, entry) in enumerate(sent):
        time.sleep(max(0.0, before.now.time + number / THIN_PER_SECOND - time.monotonic()))
        sending.send(where, entry.key, framed(entry, "confluent"))
    sending.flush()
    process.until_done()
    process.until(lambda: committed() >= len(sent), "not all events were committed", PATIENCE, SLOW_PAUSE)
    after: Answer = asked(process)
    used = after.now.cpu - before.now.cpu
    return Thin(len(sent), after.now.time - before.now.time, used, after.calls, after.rss)
