"""A file of lines that several processes add to, and others rotate: opened anew for every write, and locked meanwhile.

It must not know what a line says, nor which files there are.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK_PATIENCE = 5.0
_LOCK_PAUSE = 0.01
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO must not hold us


class Log:
    """A file, open and locked: appends whole lines durably, and can take the last append back."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self._path = path
        self._before: int | None = None
        self._written = 0

    @property
    def size(self) -> int:
        """In bytes, as it is now."""
        return os.fstat(self.fd).st_size

    def append(self, lines: Iterable[bytes]) -> None:
        """Returns when the disk has the lines. A torn line that a crash has left is ended first."""
        self._before = self.size
        if self._before and os.pread(self.fd, 1, self._before - 1) != b"\n":
            self._write(b"\n")
        for line in lines:
            self._write(line)
        os.fsync(self.fd)
        if os.fstat(self.fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "removed while it was written", str(self._path))

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            done = os.write(self.fd, rest)
            self._written += done
            rest = rest[done:]

    def restore(self, error: object, *_: object) -> None:
        """As an ExitStack's callback: after an error, cut what was appended, unless another has added more unlocked."""
        if error is None or self._before is None:
            return
        with suppress(OSError):  # a line torn here is ended by the next append
            if self.size == self._before + self._written:
                os.ftruncate(self.fd, self._before)
                os.fsync(self.fd)


@contextmanager
def opened(path: Path, *, create: bool = True) -> Iterator[Log]:
    """The file at this path, locked; raises FileNotFoundError where there is none and it is not to be made."""
    patience_ends = time.monotonic() + _LOCK_PATIENCE
    while True:
        fd = _open(path, create)
        try:
            _lock(fd, path, patience_ends)
            if _is_at(fd, path):
                yield Log(fd, path)
                return
        finally:
            os.close(fd)  # unlocks too


def make_directory(directory: Path) -> None:
    """With its parents, for their user alone, and durably."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():
                raise
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Returns when the disk has its names."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def place_of(error: OSError, otherwise: Path) -> str:
    """The path that it is about."""
    return str(otherwise if error.filename is None else error.filename)


def reason_of(error: OSError) -> str:
    """What the system calls it."""
    return str(error) if error.strerror is None else error.strerror


def _open(path: Path, create: bool) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        if not create:
            raise
        make_directory(path.parent)
        fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
        sync_directory(path.parent)
        return fd


def _lock(fd: int, path: Path, patience_ends: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience_ends:
                reason = f"other processes have kept it locked for {_LOCK_PATIENCE:g} s"
                raise TimeoutError(errno.ETIMEDOUT, reason, str(path)) from None
            time.sleep(_LOCK_PAUSE)
        else:
            return


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file still is the one at this path: it may have been rotated away before the lock was ours."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False
