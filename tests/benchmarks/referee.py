"""Carries out a run: starts its process, opens and closes its window, asks the process what it has used in it.

The window ends when the broker says that the group has committed every event: asked each PAUSE seconds once the
process has seen its last event. It begins with the first event, before anything of it is done. A handler of the
poller's sees events only when they are decoded, so the poller's window begins earlier: with its log line that its
partitions are assigned, before the first fetch. Where events are held back, the window begins when they are let go:
every process then holds its partitions and waits.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.answers import Answer, Moment, together
from benchmarks.commands import command_of
from benchmarks.figures import Measured
from benchmarks.holdings import shared_out
from benchmarks.process import PATIENCE, START_PATIENCE, Listening, Process, RunError
from benchmarks.runs import Run
from benchmarks.stand import PARTITIONS, Loaded, Stand

PAUSE: Final = 0.002
RARE_PAUSE: Final = 0.01
RARELY_UNTIL: Final = 0.9
"""The share of the events up to which it is rarely asked where no process can tell that all have seen the last."""
SETTLE_SECONDS: Final = 1.0
ASSIGNED: Final = b'"event":"partition assigned"'

Source = Callable[[], tuple[Loaded, Callable[[], None] | None]]
"""Gives the events of a run; and where they are held back, what lets them go."""


def measured(
    run: Run, number: int, stand: Stand, source: Source, directory: Path, pythons: Mapping[str, Path]
) -> Measured:
    """One run, in a process and a group of its own. Raises RunError."""
    directory.mkdir(parents=True)
    group = new_group()
    loaded, release = source()
    with Listening() as listening, stand.watched(group, loaded) as committed:
        committed()  # finds the group's coordinator before the clock runs
        command = command_of(run, stand, loaded, group, listening.port, directory, pythons)
        with Process(command, listening, run.processes) as process:
            begin = _opened(run, process, len(loaded.names) * PARTITIONS, release)
            ended = _closed(run, process, committed, loaded.events)
            found = asked(process)
        _check(run, process, found, loaded)
        commits = process.counter("commits") if run.driver == "poller" else found.commits
    assert found.first is not None
    begin = found.first if begin is None else begin
    return Measured(
        run=run.name,
        round=number,
        events=loaded.events,
        seconds=ended - begin.time,
        cpu=found.now.cpu - begin.cpu,
        peak=found.peak,
        calls=found.calls,
        commits=commits,
        until_window=begin.time - process.began,
        until_first=found.first.time - process.began,
        broker=_difference(found.now, begin),
        handled=loaded.passing,
    )


def new_group() -> str:
    return f"benchmark-{uuid.uuid4().hex[:12]}"


def asked(process: Process) -> Answer:
    """What its processes have seen and used so far."""
    return together([Answer.of(said) for said in process.ask()])


def assigned(process: Process) -> Answer:
    """What it had used when its partitions were assigned."""
    process.until(lambda: ASSIGNED in process.text(), "it was assigned nothing", START_PATIENCE, PAUSE)
    return asked(process)


def _opened(run: Run, process: Process, partitions: int, release: Callable[[], None] | None) -> Moment | None:
    """When the window began, None where that is with the first event."""
    if release is None:
        return assigned(process).now if run.driver == "poller" else None
    problem = f"{run.processes} processes did not share {partitions} partitions"
    process.until(lambda: shared_out(process.text(), run.processes, partitions), problem, START_PATIENCE, RARE_PAUSE)
    time.sleep(SETTLE_SECONDS)
    begin = asked(process).now
    release()
    return begin


def _closed(run: Run, process: Process, committed: Callable[[], int], events: int) -> float:
    """When the broker knew the last commit."""
    problem = f"not all of {events} events were committed"
    if run.gated:
        process.until(lambda: committed() >= RARELY_UNTIL * events, problem, PATIENCE, RARE_PAUSE)
    else:
        process.until_done()
    process.until(lambda: committed() >= events, problem, PATIENCE, PAUSE)
    return time.monotonic()


def _check(run: Run, process: Process, found: Answer, loaded: Loaded) -> None:
    if found.events != loaded.handled or found.first is None:
        said = f"its handler saw {found.events} of {loaded.handled} events"
        raise RunError(f"{run.name}: {said}\n{process.tail()}")


def _difference(end: Moment, begin: Moment) -> float | None:
    return None if end.broker is None or begin.broker is None else end.broker - begin.broker
