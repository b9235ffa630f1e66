"""Where log lines go: standard error as it was at the start, whatever is done to it afterwards.

Knows nothing of what is written. Not safe for threads: the log's handlers share a lock.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from contextlib import suppress
from typing import Protocol, TextIO

STANDARD_ERROR = 2


class Target(Protocol):
    """Takes whole lines as bytes in `encoding`. `write` raises OSError or ValueError where they cannot be written."""

    encoding: str

    def write(self, line: bytes) -> None:
        """Write a whole line."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""

    def close(self) -> None:
        """Nothing is written any more."""


def standard_error() -> Target:
    """Standard error of this moment. In tests it may have been replaced by a stream without a descriptor."""
    stream = sys.stderr
    if stream is None:  # closed from the beginning: its number may be somebody else's by now
        return Nowhere()
    try:
        return Duplicate(stream.fileno(), stream.encoding or "utf-8")
    except (AttributeError, OSError, ValueError):
        return Stream(stream)


class Nowhere:
    """For a process without standard error."""

    encoding = "utf-8"

    def write(self, line: bytes) -> None:
        """Lose it."""

    def isatty(self) -> bool:
        """It is none."""
        return False

    def close(self) -> None:
        """Nothing to do."""


class Duplicate:
    """A file descriptor of its own for what `descriptor` is open to. Children do not inherit it.

    Before each write it is compared with what it was opened to: code that closes descriptors that are not its own may
    have closed it, and its number may be that of a file or a socket now.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        self.encoding = encoding
        self._descriptor = os.dup(descriptor)
        self._identity = _identity(self._descriptor)

    def write(self, line: bytes) -> None:
        """Write all of it; waits for a slow reader."""
        self._find()
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody made it so: wait for the reader as if nobody had
                select.select([], [self._descriptor], [])

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def close(self) -> None:
        """Close it, if it is still ours."""
        if _identity(self._descriptor) == self._identity:
            os.close(self._descriptor)

    def _find(self) -> None:
        if _identity(self._descriptor) == self._identity:
            return
        if _identity(STANDARD_ERROR) != self._identity:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._descriptor = os.dup(STANDARD_ERROR)


class Stream:
    """A text stream that was given."""

    def __init__(self, stream: TextIO) -> None:
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._stream = stream
        self._writing = False

    def write(self, line: bytes) -> None:
        """Write all of it, and flush."""
        if self._writing:  # by a signal, in the middle of another line: a stream cannot be entered twice
            os.write(self._stream.fileno(), line)
            return
        self._writing = True
        try:
            self._stream.write(line.decode(self.encoding))
            self._stream.flush()
        finally:
            self._writing = False

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def close(self) -> None:
        """It is its owner's to close."""


def hold_standard_descriptors() -> None:
    """Open what was closed from the beginning of 0, 1 and 2 to /dev/null, before anything else is opened.

    Else the next file or socket gets the number, and what libraries written in C print to standard error goes there.
    Python's own streams are None then: they become streams to /dev/null.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", STANDARD_ERROR)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", errors="backslashreplace", closefd=False))


def _identity(descriptor: int) -> tuple[int, int] | None:
    """What it is open to; None: nothing."""
    with suppress(OSError):
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino
    return None
