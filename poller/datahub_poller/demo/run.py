"""The demo: an embedded broker and registries, a story's events, the real poller, and whether the numbers add up.

It believes nobody: what was produced is compared with what the handler wrote down, what the dead letters hold,
and what the broker has as committed.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from rich.console import Console

from datahub_poller.demo import words
from datahub_poller.demo.follow import Follower, Tally
from datahub_poller.demo.process import POLLER, PollerProcess
from datahub_poller.demo.stage import ACTION, Stage
from datahub_poller.demo.view import Scene, View, view_for

EVENTS: Final = 300
PATIENCE: Final = 60.0
INTERRUPTED: Final = 130

_WAVE_EVENTS: Final = 6
_WAVE_SECONDS: Final = 0.16
_LOOK_SECONDS: Final = 0.05
_ASK_SECONDS: Final = 0.25
_KEEP_SECONDS: Final = 2.0


def run_demo(
    keep: bool,
    console: Console,
    *,
    directory: Path | None = None,
    events: int = EVENTS,
    wave_seconds: float = _WAVE_SECONDS,
    patience: float = PATIENCE,
    command: Sequence[str] = POLLER,
) -> int:
    """Run the demo; 0 if every record has ended where it should, 1 if not, 130 if it was interrupted before that.

    Half of `events` wait when the poller starts, the others come in waves. The files go to `directory` (a new one
    under the system's temporary directory) and stay there. With `keep`, broker and registries go on until Ctrl-C,
    and an event every two seconds. `command` is what a poller is started with.
    """
    place = Path(tempfile.mkdtemp(prefix="datahub-poller-demo-")) if directory is None else directory
    place.mkdir(parents=True, exist_ok=True)
    try:
        with _terminate_is_interrupt(), Stage(place.resolve()) as stage:
            words.opening(console, stage, events)
            began = time.monotonic()
            performance = _Performance(stage, view_for(console), Plan(events, wave_seconds, patience, tuple(command)))
            problems = performance.play()
            words.summary(console, stage, performance.tally, performance.scene(), problems, time.monotonic() - began)
            if keep:
                _keep(stage, console)
            else:
                words.where_next(console, stage)
            return 1 if problems else 0
    except KeyboardInterrupt:
        words.interrupted(console, place)
        return INTERRUPTED


@dataclass(frozen=True, slots=True)
class Plan:
    """How many events, the pause between waves of them, and how long until the demo gives up; in seconds."""

    events: int
    wave_seconds: float
    patience: float
    command: tuple[str, ...] = POLLER

    def waves(self) -> list[int]:
        """The sizes of the waves that follow the first half."""
        rest = self.events - self.events // 2
        return [min(_WAVE_EVENTS, rest - sent) for sent in range(0, rest, _WAVE_EVENTS)]


@dataclass
class _Performance:
    """One run of the poller on the stage, from the first event to its stop."""

    stage: Stage
    view: View
    plan: Plan
    tally: Tally = field(default_factory=Tally)
    status: dict[str, Any] | None = None

    def play(self) -> list[str]:
        """Play to the end; what did not add up, in words."""
        stage = self.stage
        stage.tell(self.plan.events // 2)
        with (
            closing(Follower(stage.bootstrap, ACTION, stage.notebook, stage.letters / ACTION)) as follower,
            PollerProcess(self.plan.command, stage.action_file, stage.status_port, stage.log) as poller,
            self.view,
        ):
            died = self._watch(follower, poller)
            code = poller.stop()
            self._look(follower)
            self._ask(follower, poller)
        problems = self._problems()
        if died or code != 0:
            problems.append(words.ended_badly(code, poller.last_lines()))
        return problems

    def _watch(self, follower: Follower, poller: PollerProcess) -> bool:
        """Until all is done or the patience ends; whether the poller has ended by itself."""
        waves = self.plan.waves()
        spoiled = len(waves) // 2
        now = time.monotonic()
        ends, next_wave, next_ask = now + self.plan.patience, now, now
        while now < ends:
            if waves and now >= next_wave:
                next_wave += self.plan.wave_seconds
                self.stage.tell(waves.pop())
                if len(waves) == spoiled:
                    self.stage.spoil()
            self._look(follower)
            if now >= next_ask:
                next_ask = now + _ASK_SECONDS
                self._ask(follower, poller)
                if poller.exit_code is not None:
                    return True
                if not waves and not self._problems():
                    return False
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
        return False

    def _look(self, follower: Follower) -> None:
        """Take in what the handler and the dead letters say."""
        for invocation in follower.invocations():
            self.tally.invoked(invocation)
            self.view.invoked(invocation)
        for letter in follower.given_up():
            self.tally.given_up(letter)
            self.view.given_up(letter)

    def _ask(self, follower: Follower, poller: PollerProcess) -> None:
        """Ask the broker and the poller."""
        self.tally.committed.update(follower.committed(self.stage.partitions))
        self.status = poller.status() if poller.exit_code is None else {"state": "stopped"}
        self.view.scene(self.scene())

    def _problems(self) -> list[str]:
        return self.tally.problems(self.stage.produced, self.stage.ends)

    def scene(self) -> Scene:
        """The moment as it is."""
        return Scene(self.stage.ends, dict(self.tally.committed), self.tally.counts(self.stage.produced), self.status)


def _keep(stage: Stage, console: Console) -> None:
    """Leave the stage standing, with an event now and then, until Ctrl-C."""
    words.how_to_connect(console, stage, _KEEP_SECONDS)
    try:
        while True:
            time.sleep(_KEEP_SECONDS)
            stage.tell(1)
    except KeyboardInterrupt:
        words.farewell(console, stage)


@contextmanager
def _terminate_is_interrupt() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that no process is left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
