"""Ctrl-C and SIGTERM: the first gives what runs its time to end, the second ends it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType

from datahub_poller.signals import Signals


class Stop:
    """Asked for the time by which to have ended: None until a signal came. `patience` is in seconds."""

    def __init__(self, patience: float, clock: Callable[[], float], heard: Callable[[str], None]) -> None:
        self._patience = patience
        self._clock = clock
        self._heard = heard
        self._until: float | None = None
        self._asked = threading.Event()
        self._signals: Signals | None = None

    def install(self) -> None:
        """Hear the signals from now on, whatever the handler sets. Of the main thread, as are all calls."""
        self._signals = Signals(self._on_signal)
        self._signals.install()

    def __call__(self) -> float | None:
        """When all must have ended."""
        if self._signals is not None:
            for found in self._signals.keep():
                self._heard(f"handler for {found.signal} was replaced by {found.what}: the command's is put back")
        return self._until

    def pause(self, seconds: float) -> None:
        """Wait so long, but no longer than until somebody asks to stop."""
        if self._asked.is_set():
            threading.Event().wait(seconds)  # what is still to be written down is tried again, not all the time
        else:
            self._asked.wait(seconds)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        if self._until is None:
            self._until = self._clock() + self._patience
            self._heard(f"stopping: what runs may take {self._patience:g} s to end; once more ends it at once")
        else:
            self._until = self._clock()
        self._asked.set()
