"""Calls a handler function in the poller's own process.

Whatever the function raises, SystemExit and the like included, is that call's failure and never ends the poller.
It must not know what a failure leads to, nor interrupt a function that takes too long.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from datahub_handler.contract import Context, failed_of
from datahub_handler.runtime import Calls, Fault, LoadError, fault_of, load
from datahub_poller.errors import CannotStart, HandlerFailed
from datahub_poller.forks import Home
from datahub_poller.invoke.base import Invocation, Outcome, Partial, Succeeded
from datahub_poller.model import RESPONSE_LIMIT, TopicPartition
from datahub_poller.observe.logs import get_logger, log_event

LOG = get_logger("datahub_poller.handler")


class PythonInvoker:
    """An Invoker of `function`, as `module:function`, in the directory `path`.

    No call is told that it has more than `timeout` seconds.

    Envelopes are handed out as they are, not copied: a handler may change what it gets, so whoever hands an event out
    a second time reads it anew from its record.
    """

    def __init__(self, function: str, path: Path, timeout: float) -> None:
        self._function = function
        self._path = path
        self._timeout = timeout
        self._calls: Calls | None = None
        self._home = Home()

    def load(self) -> None:
        """Import the handler and check its signature. Raises CannotStart."""
        try:
            self._calls = Calls(load(self._function, self._path))
        except LoadError as error:
            raise CannotStart(f"handler.config.function: {self._function!r}: {error}") from None

    def invoke(self, invocation: Invocation) -> Outcome:
        """Raises HandlerFailed, with the handler's own error class, message and stack."""
        if self._calls is None:
            raise CannotStart("the handler has not been loaded")
        fault: Fault
        response: Any = None
        try:
            response = self._calls.call(_event(invocation), self._context(invocation))
            failed = failed_of(response, invocation.places())
        except BaseException as error:  # noqa: BLE001 - in this thread every exception is the handler's
            self._home.leave(error, _tell_forked)
            fault = fault_of(error, own_files=(__file__,))
        else:
            self._home.leave(None, _tell_forked)
            if failed:
                places = frozenset((TopicPartition(topic, number), offset) for topic, number, offset in failed)
                return Partial(places, _in_json(response))
            return Succeeded()
        # Raised out here, so that it does not hold the handler's error, whose frames hold the whole batch.
        answered = "" if response is None else _in_json(response)
        raise HandlerFailed(fault.kind, fault.message, fault.stack, fault.lineage, answered)

    def _context(self, invocation: Invocation) -> Context:
        deadline = min(invocation.deadline, time.monotonic() + self._timeout)
        return Context(invocation.action, f"{invocation.batch_id}/{invocation.attempt}", deadline)

    def close(self) -> None:
        """Close the handler's event loops, within two seconds."""
        if self._calls is not None:
            self._calls.close()


def _tell_forked(code: int) -> None:
    event = "a process that the handler forked came back from its call: it is ended"
    log_event(LOG, logging.WARNING, event, pid=os.getpid(), exit_code=code)


def _in_json(response: Any) -> str:
    """For a dead letter: whatever a handler answers, there is a text."""
    try:
        return json.dumps(response, default=repr)[:RESPONSE_LIMIT]
    except BaseException as error:  # noqa: BLE001 - the answer is the handler's and may do anything
        return f"(cannot be shown: {type(error).__name__})"


def _event(invocation: Invocation) -> dict[str, Any]:
    return {
        "action": invocation.action,
        "batch_id": invocation.batch_id,
        "attempt": invocation.attempt,
        "events": list(invocation.events),
    }
