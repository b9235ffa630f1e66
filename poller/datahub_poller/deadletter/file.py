"""Dead letters in files: where DataHub Actions writes them, line for line, and what never became an event beside it.

Several pollers, and whoever rotates the files, may be at work on the same place: a file is opened anew for every
write and locked while it lasts. It must not know what a line says.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from datahub_poller.deadletter.letter import Letter, to_line
from datahub_poller.errors import CannotStart, Transient

FAILED_EVENTS = "failed_events.log"
UNDECODABLE = "undecodable.log"

_SETTING = "options.failed_events_dir (or dead_letter.config.directory)"
_LOCK_PATIENCE = 5.0
_LOCK_PAUSE = 0.01
_REPLACEMENTS = 10
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO must not hold us


def normalised(name: str) -> str:
    """An action's name as its directory's, by DataHub Actions' rule; names may share one."""
    return re.sub(r"[^\w-]", "_", name.lower())


class FileSink:
    """A Sink of two files in `<directory>/<normalised name>/`. What it creates is for its own user alone.

    A write that fails, a full disk for one, leaves the files as they were, and can be tried again at any time.
    `setting` is the key of the action file that names the directory.
    """

    def __init__(self, directory: Path, name: str, setting: str = _SETTING) -> None:
        self.directory = directory / normalised(name)
        self._setting = setting

    @property
    def place(self) -> str:
        """The directory of the action's own letters."""
        return str(self.directory.absolute())

    def check(self) -> None:
        """Try everything that a write will need, on a file that is removed again."""
        probe = self.directory / f".probe-{secrets.token_hex(8)}"  # pids are alike in containers that share a volume
        try:
            _make_directory(self.directory)
            for path in (self.directory / FAILED_EVENTS, self.directory / UNDECODABLE):
                _check_log(path)
            with _opened(probe) as file:
                file.append(b"probe\n")
            probe.unlink()
            _sync_directory(self.directory)
        except OSError as error:
            with suppress(OSError):
                probe.unlink()
            raise CannotStart(
                f"dead letters cannot be written to {_place(error, self.directory)}: {_reason(error)}. "
                f"{_remedy(error)}, or set {self._setting} to a directory on a writable, lasting disk"
            ) from None

    def write(self, letters: Sequence[Letter]) -> None:
        """Append all letters and wait for the disk, or nothing of them."""
        failed = b"".join(to_line(letter) for letter in letters if letter.envelope is not None)
        undecodable = b"".join(to_line(letter) for letter in letters if letter.envelope is None)
        lines = {FAILED_EVENTS: failed, UNDECODABLE: undecodable}
        path = self.directory
        try:
            with ExitStack() as stack:
                for name in [name for name in lines if lines[name]]:
                    path = self.directory / name
                    file = stack.enter_context(_opened(path))
                    stack.push(file.restore)
                    file.append(lines[name])
        except OSError as error:
            raise Transient(f"dead letters cannot be written to {_place(error, path)}: {_reason(error)}") from None

    def close(self) -> None:
        """Nothing is held between writes."""


class _Log:
    """A file, open and locked: appends whole lines durably, and can take the last append back."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self._before: int | None = None
        self._written = 0

    def append(self, lines: bytes) -> None:
        """Returns when the disk has the lines. A torn line that a crash has left is ended first."""
        self._before = os.fstat(self._fd).st_size
        if self._before and os.pread(self._fd, 1, self._before - 1) != b"\n":
            lines = b"\n" + lines
        rest = memoryview(lines)
        while rest:
            done = os.write(self._fd, rest)
            self._written += done
            rest = rest[done:]
        os.fsync(self._fd)
        if os.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "removed while it was written", str(self._path))

    def restore(self, error: object, *_: object) -> None:
        """As an ExitStack's callback: after an error, cut what was appended, unless another has added more unlocked."""
        if error is None or self._before is None:
            return
        with suppress(OSError):  # a line torn here is ended by the next append
            if os.fstat(self._fd).st_size == self._before + self._written:
                os.ftruncate(self._fd, self._before)
                os.fsync(self._fd)


@contextmanager
def _opened(path: Path) -> Iterator[_Log]:
    for _ in range(_REPLACEMENTS):
        fd = _open(path)
        try:
            _lock(fd, path)
            if _is_at(fd, path):
                yield _Log(fd, path)
                return
        finally:
            os.close(fd)  # unlocks too
    raise OSError(errno.ESTALE, "it is replaced as often as it is opened", str(path))


def _open(path: Path) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        _make_directory(path.parent)
        fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
        _sync_directory(path.parent)
        return fd


def _lock(fd: int, path: Path) -> None:
    patience_ends = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience_ends:
                reason = f"another process has kept it locked for {_LOCK_PATIENCE:g} s"
                raise TimeoutError(errno.ETIMEDOUT, reason, str(path)) from None
            time.sleep(_LOCK_PAUSE)
        else:
            return


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file still is the one at this path: it may have been rotated away before the lock was ours."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False


def _make_directory(directory: Path) -> None:
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():
                raise
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_log(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with _opened(path):
        pass


def _place(error: OSError, otherwise: Path) -> str:
    return str(otherwise if error.filename is None else error.filename)


def _reason(error: OSError) -> str:
    return str(error) if error.strerror is None else error.strerror


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "Give the user that runs the poller the right to write there"
        case errno.EROFS:
            return "Mount it writable"
        case errno.ENOSPC | errno.EDQUOT:
            return "Make room there"
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR | errno.EINVAL:
            return "Remove what stands in the way"
        case errno.ENAMETOOLONG:
            return "Give the action a shorter name"
        case _:
            return "Put that right"
