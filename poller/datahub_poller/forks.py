"""What a process must not do that the user's code has forked: run the poller's code on, or hold its sockets.

A fork copies the calling thread alone. Where a handler's call comes back in the child, that thread would go on as a
worker that nobody gives work to, with the status port open after the poller has ended.
"""

from __future__ import annotations

import os
import socket
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress


class Home:
    """The process in which this was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def leave(self, error: BaseException | None, tell: Callable[[int], None]) -> None:
        """Anywhere else end the process at once, as `error` would end a program; `tell` hears its exit code first."""
        if os.getpid() == self._pid:
            return
        code = _exit_code(error)
        with suppress(BaseException):
            tell(code)
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def close_in_children(listening: socket.socket) -> None:
    """A process that is forked from now on lets go of this socket; it stays open here."""
    kept = weakref.ref(listening)

    def let_go() -> None:
        if (found := kept()) is not None:
            with suppress(OSError):
                found.close()

    os.register_at_fork(after_in_child=let_go)


def _exit_code(error: BaseException | None) -> int:
    match error:
        case None:
            return 0
        case SystemExit(code=None):
            return 0
        case SystemExit(code=int() as code):
            return code & 0xFF
    return 1
