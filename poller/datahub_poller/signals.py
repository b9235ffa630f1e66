"""Signal handlers that stay in force although the code of others runs in the same process.

A handler's module, or a library that it imports, may replace the process's signal handlers or block its signals: in
Python, in C, at its import or later. What C code does cannot be seen from Python, so `keep` installs the handlers
anew each time; that is a few system calls. Of the main thread, and it logs nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, NamedTuple

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask a command to end."""
_NAMES: Final = {signal.SIG_IGN: "SIG_IGN", signal.SIG_DFL: "SIG_DFL", None: "code that is not Python"}

Handler = Callable[[int, FrameType | None], None]


class Found(NamedTuple):
    """What was in force for a signal instead of the handler: `what` names a function, SIG_IGN, SIG_DFL or a block."""

    signal: str
    what: str


class Signals:
    """Calls `handler` for SIGTERM and SIGINT, and keeps SIGPIPE from ending the process."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._told: set[Found] = set()

    def install(self) -> None:
        """Put the handler in force, whatever the process was started with. Forked children do not inherit it."""
        self._put()
        os.register_at_fork(after_in_child=self._give_back)

    def keep(self) -> list[Found]:
        """Put the handler in force again. What was found instead, each once in this object's life."""
        found = [Found(number.name, _name(there)) for number, there in _in_force() if there is not self._handler]
        found += [Found(number.name, "a signal mask that blocks it") for number in self._put()]
        new = [each for each in dict.fromkeys(found) if each not in self._told]
        self._told.update(new)
        return new

    def _put(self) -> list[signal.Signals]:
        """The signals that were blocked. They are unblocked last, so that what was pending meets the handler."""
        for number in STOPS:
            signal.signal(number, self._handler)
        if signal.getsignal(signal.SIGPIPE) in (signal.SIG_DFL, signal.SIG_IGN):  # a pipe without a reader is an error
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return [number for number in STOPS if number in before]

    def _give_back(self) -> None:
        """In a child that the user's code forked: a signal does what it does in any Python program."""
        for number, there in _in_force():
            if there is self._handler:
                with suppress(ValueError):  # not in the interpreter's main thread
                    signal.signal(number, _by_default(number))


@contextmanager
def as_before() -> Iterator[None]:
    """Import the code of others: afterwards signals do what they did before."""
    handlers = {number: there for number, there in _in_force() if there is not None}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield
    finally:
        for number, there in handlers.items():
            signal.signal(number, there)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_force() -> list[tuple[signal.Signals, Any]]:
    return [(number, signal.getsignal(number)) for number in STOPS]


def _by_default(number: int) -> Any:
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


def _name(there: Any) -> str:
    """`module.function`, as far as it has these names: it is an object of somebody else's."""
    if there is None or isinstance(there, signal.Handlers):
        return _NAMES[there]
    with suppress(Exception):
        kind = there if hasattr(there, "__qualname__") else type(there)
        return f"{kind.__module__}.{kind.__qualname__}"
    return "a function without a name"
