"""A pipe that nobody reads, and whether it is full."""

from __future__ import annotations

import array
import fcntl
import termios
import time


def is_full(pipe: int) -> bool:
    """Whether a pipe takes no more from a writer that wants to write much."""
    before = held(pipe)
    time.sleep(0.2)
    return before > 4096 and held(pipe) == before


def held(pipe: int) -> int:
    """Bytes that a pipe holds."""
    found = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, found)
    return found[0]
