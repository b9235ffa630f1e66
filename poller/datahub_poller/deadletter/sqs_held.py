"""The messages that a reader of a queue holds: by what each is deleted, and until when it is hidden.

Asks nobody: it must not know how a message is hidden, shown or deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Holding:
    """`hidden` is for how many seconds a message is hidden from when it was asked for; `clock` is monotonic.

    Safe from several threads.
    """

    def __init__(self, hidden: float, clock: Callable[[], float]) -> None:
        self._hidden = hidden
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, float]] = {}
        self._gone: set[str] = set()

    def now(self) -> float:
        """The clock's time: to be taken before a request that hides messages."""
        return self._clock()

    def take(self, message: str, receipt: str, since: float) -> bool:
        """Hold a message that was received; whether it was not held before."""
        with self._lock:
            new = message not in self._held
            self._held[message] = receipt, since + self._hidden
            return new

    def renewed(self, messages: Iterable[str], since: float) -> None:
        """They are hidden anew."""
        with self._lock:
            for message in messages:
                if message in self._held:
                    self._held[message] = self._held[message][0], since + self._hidden

    def let_go(self, messages: Iterable[str]) -> None:
        """They are shown again, or cannot be held any longer."""
        with self._lock:
            for message in messages:
                self._held.pop(message, None)

    def deleted(self, messages: Iterable[str]) -> None:
        """They are gone from the queue."""
        with self._lock:
            for message in messages:
                self._held.pop(message, None)
                self._gone.add(message)

    def is_gone(self, message: str) -> bool:
        """Whether it was deleted."""
        with self._lock:
            return message in self._gone

    def due(self) -> dict[str, str]:
        """The receipts of messages of whose time more than half has passed."""
        with self._lock:
            soon = self._clock() + self._hidden / 2
            return {message: receipt for message, (receipt, until) in self._held.items() if until < soon}

    def receipts(self) -> dict[str, str]:
        """Of every message that is held, the latest receipt."""
        with self._lock:
            return {message: receipt for message, (receipt, _) in self._held.items()}
