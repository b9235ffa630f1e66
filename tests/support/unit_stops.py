"""What systemd's stop of a unit comes to, however the unit's command is run here."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from support.running import Running, Stage
from support.units import Unit


def keep_busy(stage: Stage, start: Callable[[], Running], seconds: float) -> Running:
    """A poller whose handler is in a call that takes so long, on the stage's one topic."""
    stage.plan(sleep=[seconds, seconds])
    poller = start()
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.recorded().calls, "no call")
    return poller


def finishes_its_batch(stage: Stage, unit: Unit, start: Callable[[], Running]) -> None:
    """A stop lets the running call finish and commits it; what came meanwhile is not begun."""
    poller = keep_busy(stage, start, 6)
    more = stage.send("pe", 0, 5)
    began = time.monotonic()
    poller.signal(_stop(unit))
    assert poller.wait(unit.seconds("TimeoutStopSec")) == 0
    assert time.monotonic() - began < unit.seconds("TimeoutStopSec")
    (call,) = stage.recorded().calls
    assert call.ended is not None
    assert stage.committed() == {stage.tp("pe"): more[0].offset}


def ends_at_the_second_signal(stage: Stage, unit: Unit, start: Callable[[], Running]) -> None:
    """At once, with 1, long before its call is over; the batch comes again."""
    poller = keep_busy(stage, start, 60)
    poller.signal(_stop(unit))
    poller.wait_for("signal received")
    began = time.monotonic()
    poller.signal(_stop(unit))
    assert poller.wait() == 1
    assert time.monotonic() - began < 10
    assert stage.committed().get(stage.tp("pe"), 0) == 0
    stage.plan()
    again = start()
    again.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    again.signal(_stop(unit))
    assert again.wait() == 0


def _stop(unit: Unit) -> signal.Signals:
    return signal.Signals[unit.setting("KillSignal")]
