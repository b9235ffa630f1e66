"""Tells the log that a step of the start takes long: whoever watches sees what it hangs in.

The step blocks its own thread, so another one tells. It is gone when the step is over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from datahub_poller.observe.logs import log_event

SLOW_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 60.0
JOIN_SECONDS: Final = 1.0
"""It ends at once, unless nobody reads the log."""


@contextmanager
def slow_step(
    logger: logging.Logger, step: str, after: float = SLOW_SECONDS, again: float = AGAIN_SECONDS
) -> Iterator[None]:
    """Around the step. Told after so many seconds, again every so many, and when it ends, if it was told."""
    over, told = threading.Event(), threading.Event()
    began = time.monotonic()

    def watch() -> None:
        pause = after
        while not over.wait(pause):
            told.set()
            pause = again
            seconds = round(time.monotonic() - began)
            log_event(logger, logging.WARNING, "start takes long", step=step, seconds=seconds)

    watching = threading.Thread(target=watch, name="slow-start", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join(JOIN_SECONDS)
        if told.is_set():
            seconds = round(time.monotonic() - began)
            log_event(logger, logging.INFO, "start goes on", step=step, seconds=seconds)
