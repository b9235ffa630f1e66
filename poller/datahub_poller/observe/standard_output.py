"""Standard output shared by what a handler prints and by lines of ours: neither begins in the middle of the other.

What cannot be written is lost, told once: a handler must not fail for a reader that has gone away. Waits only where
the reader is slow, and then only who writes. Knows nothing of what is written.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections.abc import Callable
from typing import Any, Final

_LENIENT: Final = frozenset({"backslashreplace", "ignore", "namereplace", "replace", "xmlcharrefreplace"})


def lenient(errors: str | None) -> str:
    """An error handler for a text stream with which no text fails: the one that is set, or escapes."""
    return errors if errors in _LENIENT else "backslashreplace"


def make_lenient(stream: object) -> None:
    """Let the stream write what its encoding cannot hold as escapes."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=lenient(stream.errors))


class StandardOutput(io.RawIOBase):
    """A file descriptor that text is written to through `text`, and whole lines by `line`.

    `lost` is told why something could not be written, the first time and after it went well again. `lines` is a
    duplicate of the descriptor for `line`: what a handler does to its standard output does not concern ours.
    """

    def __init__(self, descriptor: int, lost: Callable[[str], None], lines: int | None = None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines = lines
        self._lost = lost
        self._lock = threading.Lock()
        self._at_start = True
        self._fails = False

    def text(self, encoding: str | None = None, errors: str | None = None) -> io.TextIOWrapper:
        """A stream that writes here line by line. No text makes it fail."""
        return io.TextIOWrapper(io.BufferedWriter(self), encoding, lenient(errors), line_buffering=True)

    def line(self, text: str) -> None:
        """Write a line of its own, whatever was written before."""
        with self._lock:
            where = self._descriptor if self._lines is None else self._lines
            self._put(where, (b"" if self._at_start else b"\n") + text.encode() + b"\n")

    def write(self, data: Any) -> int:
        """All of it, or it is lost: a writer above would try again for ever."""
        with self._lock:
            self._put(self._descriptor, bytes(data))
        return len(data)

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def _put(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # somebody made it so: wait for the reader as if nobody had
                select.select([], [descriptor], [])
            except OSError as error:
                self._at_start = len(rest) == len(data) and self._at_start
                self._failed(error)
                return
        self._fails = False
        self._at_start = data.endswith(b"\n") if data else self._at_start

    def _failed(self, error: OSError) -> None:
        if not self._fails:
            self._fails = True
            self._lost(error.strerror or str(error))
