"""The order of things: what is produced, the rounds there and back, the probes after them; what is told meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Measured, Record
from benchmarks.latency import delayed
from benchmarks.passing import passing
from benchmarks.probes import rested, started
from benchmarks.process import RunError
from benchmarks.referee import Source, measured
from benchmarks.runs import Probe, Run
from benchmarks.stand import Stand


class Progress:
    """Lines on standard error, with the seconds since it was begun."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {what}", file=sys.stderr, flush=True)

    def told(self, one: Measured, rounds: int) -> None:
        figures = f"{one.per_second:,.0f} events/s, CPU {one.cpu_ms:.1f} ms/1k, {one.peak:.0f} MB"
        self.say(f"round {one.round} of {rounds}  {one.run}: {figures}")


class Rounds(NamedTuple):
    """So many rounds of these runs. `pythons` has the interpreter of each driver with an environment of its own."""

    runs: Sequence[Run]
    number: int
    events: int
    stand: Stand
    directory: Path
    pythons: Mapping[str, Path]
    progress: Progress

    def measure(self) -> tuple[list[Measured], dict[str, str]]:
        """What was measured, and why another project's run is left out: ours and the bare loop's must not fail."""
        sources = {run.name: self._source_of(run) for run in self.runs}
        done: list[Measured] = []
        failed: dict[str, str] = {}
        for number in range(1, self.number + 1):
            # There and back: what is compared stays side by side, and each comes first in its turn.
            for place, run in enumerate(self.runs if number % 2 else reversed(self.runs)):
                if run.name not in failed:
                    self._run(run, number, place, sources[run.name], done, failed)
        order = [run.name for run in self.runs]
        return sorted(done, key=lambda one: (one.round, order.index(one.run))), failed

    def _run(
        self, run: Run, number: int, place: int, source: Source, done: list[Measured], failed: dict[str, str]
    ) -> None:
        where = self.directory / f"round-{number}" / str(place)
        try:
            one = measured(run, number, self.stand, source, where, self.pythons)
        except RunError as error:
            if run.driver in ("poller", "bare"):
                raise
            failed[run.name] = str(error)
            self.progress.say(f"round {number} of {self.number}  {run.name} failed: {error}")
        else:
            done.append(one)
            self.progress.told(one, self.number)

    def _source_of(self, run: Run) -> Source:
        """In whole thousands, so that no batch is waited for that never fills."""
        count = max(1000, int(self.events * run.share) // 1000 * 1000)
        if run.gated:
            return lambda: self.stand.held_back(run.framing, count)
        loaded = self.stand.loaded(run.framing, count).of(run.topics)
        if run.filtered:
            loaded = loaded._replace(passing=passing(self.stand.corpus, count, run.topics))
        return lambda: (loaded, None)


def probed(probes: Sequence[Probe], stand: Stand, directory: Path, progress: Progress) -> list[Record]:
    """What each of them saw."""
    found: list[Record] = []
    for place, probe in enumerate(probes):
        progress.say(probe.name)
        where = directory / f"probe-{place}"
        match probe.kind:
            case "start":
                found += started(probe, stand, where)
            case "rest":
                found.append(rested(probe, stand, where))
            case "latency":
                found.append(delayed(probe, stand, where))
    return found
