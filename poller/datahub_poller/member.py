"""A poller that has a supervisor: it ends when the supervisor goes, and leaves it to it to end things at once.

The lifeline is the reading end of a pipe of which only the supervisor has the other: it ends with the supervisor,
however that ends, on every system.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType

from datahub_poller.service import Service

AGAIN_SECONDS = 1.0


class Member(Service):
    """Stops in order, whoever says so and however often.

    The supervisor hands SIGTERM down, and a service manager may send it to every process by itself: two signals, and
    nobody is in a hurry. Who is, tells the supervisor twice, and that kills.
    """

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._signals:
            super()._on_signal(number, frame)


def hold_on(lifeline: int) -> None:
    """Watch the lifeline from now on: SIGTERM for this process when it ends, until the process does."""
    os.set_inheritable(lifeline, False)  # what the handler starts is no business of the supervisor's
    threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()


def _watch(lifeline: int) -> None:
    with suppress(OSError):
        while os.read(lifeline, 1):
            pass
    while True:  # the handler's code may have set SIGTERM to be ignored at this moment
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(AGAIN_SECONDS)
