"""A thread that writes a line of metrics every so often, one at the beginning and a last one at the end.

A stream that nobody reads blocks this thread and no other. Knows the board, not the loop that writes it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from datahub_poller.observe.catalogue import Moment
from datahub_poller.observe.emf import Lines
from datahub_poller.observe.status import LIVE_SECONDS, Board, PollerStatus

LAST_SECONDS: Final = 1.0


class Emitter:
    """`write` takes a line. `interval` is in seconds, and `limit` too: a loop that is silent for longer hangs."""

    def __init__(
        self,
        board: Board,
        interval: float,
        write: Callable[[str], None],
        limit: float = LIVE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._board = board
        self._interval = interval
        self._write = write
        self._limit = limit
        self._clock = clock
        self._wall = wall
        self._lines = Lines()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self, began: PollerStatus) -> None:
        """Write from now on, at once that a process has begun."""
        self._board.publish(began)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, within a second."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(LAST_SECONDS)

    def _run(self) -> None:
        self._say(self._lines.first)
        due = self._clock() + self._interval
        while not self._ended.wait(max(0.0, due - self._clock())):
            self._say(self._lines.line)
            due = max(due + self._interval, self._clock())  # what a slow reader has kept from being written is past
        self._say(self._lines.last)

    def _say(self, line: Callable[[Moment], str]) -> None:
        status, now = self._board.status, self._clock()
        if status is not None:
            moment = Moment.of(status, self._board.silent_for(now), self._limit, now, self._wall())
            self._write(line(moment))
