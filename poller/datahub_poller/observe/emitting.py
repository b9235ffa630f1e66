"""A thread that writes a line of metrics to standard output every so often, and a last one at the end.

A stream that nobody reads blocks this thread and no other. Knows the board, not the loop that writes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TextIO

from datahub_poller.observe.catalogue import Moment
from datahub_poller.observe.emf import Lines
from datahub_poller.observe.logs import log_event
from datahub_poller.observe.status import Board

LOG = logging.getLogger("datahub_poller")
LAST_SECONDS = 1.0


class Emitter:
    """`interval` is in seconds."""

    def __init__(
        self,
        board: Board,
        interval: float,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._board = board
        self._interval = interval
        self._stream = stream
        self._clock = clock
        self._wall = wall
        self._lines = Lines()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Write from now on."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, within a second."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(LAST_SECONDS)

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._interval):
                self._write()
            self._write()
        except (OSError, ValueError) as error:  # closed, or full
            log_event(LOG, logging.ERROR, "metrics cannot be written to standard output any more", reason=str(error))

    def _write(self) -> None:
        status = self._board.status
        if status is not None:
            self._stream.write(self._lines.line(Moment(status, self._clock(), self._wall())) + "\n")
            self._stream.flush()
