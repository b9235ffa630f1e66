"""Orders on their way to the poll thread, and the answers on their way back.

Whoever brings an order waits for the answer with a bound; the poll thread never waits. An order that was not begun in
time is withdrawn: it is never obeyed later.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from datahub_poller.model import Answer
from datahub_poller.orders import Order, Unclear, from_document

PATIENCE = 5.0
"""Seconds after which the loop is taken to be busy: with a rebalance, or a broker that does not answer."""


class OrderBox:
    """Orders in the order in which they came."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._queue: queue.SimpleQueue[tuple[Order, Future[Answer]]] = queue.SimpleQueue()

    def bring(self, document: Any) -> Answer | None:
        """An order in JSON, from another thread: the answer, or None if it was withdrawn."""
        try:
            order = from_document(document)
        except Unclear as error:
            return Answer(False, str(error), unclear=True)
        future: Future[Answer] = Future()
        self._queue.put((order, future))
        try:
            return future.result(self._patience)
        except TimeoutError:
            if future.cancel():
                return None
            return future.result()  # it is being obeyed at this moment

    def serve(self, obey: Callable[[Order, float], Answer], now: float) -> None:
        """Obey all that have come. The poll thread's; it does not wait."""
        while not self._queue.empty():
            order, future = self._queue.get()
            if future.set_running_or_notify_cancel():
                future.set_result(obey(order, now))
