"""Finds a handler by name and calls it, from as many threads as the caller likes.

Standard library only, and nothing of the poller: whatever runs a handler, in the poller's process or in another,
runs it through this. It must not judge a response; `contract` does.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from datahub_handler.contract import Context
from datahub_handler.faults import Fault, fault_of
from datahub_handler.loading import Handler, LoadError, load

__all__ = ["Calls", "Fault", "Handler", "LoadError", "fault_of", "load"]

_CLOSING_PATIENCE = 2.0


class Calls:
    """Calls one handler, `def` or `async def`.

    Every calling thread keeps one event loop for all its calls, so that what a handler has bound to a loop (a client's
    connections) stays usable. Context variables set in a call end with it.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._here = threading.local()
        self._lock = threading.Lock()
        self._runners: list[asyncio.Runner] = []

    def call(self, event: dict[str, Any], context: Context) -> Any:
        """The handler's response, or whatever it raises.

        An awaitable is awaited until the context's deadline, cancelled then, and gives TimeoutError; a `def` handler
        cannot be stopped.
        """
        variables = contextvars.copy_context()
        response: Any = variables.run(self._handler, event, context)
        if inspect.isawaitable(response):
            return self._runner().run(_awaited(response, context.deadline), context=variables)
        return response

    def close(self) -> None:
        """Close the event loops that no call is using. Returns within two seconds, whatever hangs in them."""
        closing = threading.Thread(target=self._close, name="handler-loops-closing", daemon=True)
        closing.start()
        closing.join(_CLOSING_PATIENCE)

    def _runner(self) -> asyncio.Runner:
        runner: asyncio.Runner | None = getattr(self._here, "runner", None)
        with self._lock:
            if runner is None or runner not in self._runners:
                runner = self._here.runner = asyncio.Runner()
                self._runners.append(runner)
        return runner

    def _close(self) -> None:
        with self._lock:
            idle = [runner for runner in self._runners if not runner.get_loop().is_running()]
            self._runners = [runner for runner in self._runners if runner not in idle]
        for runner in idle:
            with suppress(Exception):  # what a handler has left in its loop
                runner.close()


async def _awaited(response: Awaitable[Any], deadline: float) -> Any:
    try:
        async with asyncio.timeout_at(deadline) as limit:
            return await response
    except TimeoutError as error:
        if not limit.expired():
            raise
        # The cause is the cancellation, whose stack shows where the handler was waiting.
        raise TimeoutError("the handler was still waiting at its deadline and was cancelled") from error.__cause__
