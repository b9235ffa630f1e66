"""Daemon threads that do one thing at a time, and the mailbox through which results come back to the loop.

They know nothing of what they do: an invocation, a write of letters or the fetch of a schema is a callable.
A call that never returns keeps its thread, and as a daemon it does not keep the process.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple


class Done(NamedTuple):
    """A call returned: its value, or the error that it raised."""

    ticket: Hashable
    value: Any
    error: BaseException | None


class Mailbox:
    """Results on their way from the workers to the loop, in the order in which they came."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Done] = queue.SimpleQueue()

    def put(self, done: Done) -> None:
        """Called by workers."""
        self._queue.put(done)

    def take(self, timeout: float = 0.0) -> list[Done]:
        """All that is there, after waiting at most `timeout` seconds for the first."""
        found: list[Done] = []
        try:
            found.append(self._queue.get(block=timeout > 0, timeout=timeout if timeout > 0 else None))
            while True:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            return found


class Workers:
    """`count` daemon threads and the queue that they work off."""

    def __init__(self, name: str, count: int, mailbox: Mailbox) -> None:
        self._jobs: queue.SimpleQueue[tuple[Hashable, Callable[[], Any]]] = queue.SimpleQueue()
        self._mailbox = mailbox
        for number in range(count):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, ticket: Hashable, work: Callable[[], Any]) -> None:
        """Do `work` as soon as a thread is free; `Done(ticket, ...)` comes by the mailbox."""
        self._jobs.put((ticket, work))

    def _work(self) -> None:
        while True:
            ticket, work = self._jobs.get()
            try:
                done = Done(ticket, work(), None)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
                done = Done(ticket, None, error)
            self._mailbox.put(done)
            del ticket, work, done
