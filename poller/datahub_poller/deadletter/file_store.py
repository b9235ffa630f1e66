"""Dead letters read back from the files of a FileSink, while pollers may add to them and rotate them.

A ledger lies beside them. It must not know what a line says.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Final

from datahub_poller.deadletter.file_log import Log, opened, place_of, reason_of, sync_directory
from datahub_poller.deadletter.file_names import LEDGER, is_current, normalised, oldest_first
from datahub_poller.deadletter.ledger_lines import marks_in, written
from datahub_poller.deadletter.store import Mark, Stored
from datahub_poller.errors import CannotStart, Transient

LINE_LIMIT: Final = 256 * 2**20
"""Bytes of a line, at most; of a longer one its beginning is handed out, which is no letter."""

_BEGINNING: Final = 1000
_READABLE: Final = "Give the user that runs this the right to read there"


class FileStore:
    """A Store of the files in `<directory>/<normalised name>/`. Where there is no directory there are no letters."""

    caution = ""

    def __init__(self, directory: Path, name: str, line_limit: int = LINE_LIMIT) -> None:
        self.directory = directory / normalised(name)
        self._line_limit = line_limit

    @property
    def place(self) -> str:
        """The directory."""
        return str(self.directory.absolute())

    def scan(self) -> Iterator[Stored]:
        """The lines of every file, the oldest first. A line that is being written, or torn, at the end is left out."""
        read: set[tuple[int, int]] = set()
        while new := [name for name in self._names() if self._identity(name) not in {None, *read}]:
            for name in new:  # a file that is rotated meanwhile is found under its new name, by what it is
                yield from self._lines(name, read)

    def marks(self) -> Iterator[Mark]:
        """The ledger, in the order of writing."""
        path = self.directory / LEDGER
        try:
            with path.open("rb") as file:
                for line in file:
                    yield from marks_in(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unreadable(error, path) from None

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        """Append to the ledger, and wait for the disk."""
        if not marks:
            return
        path = self.directory / LEDGER
        try:
            with ExitStack() as stack:
                file = stack.enter_context(opened(path))
                stack.push(file.restore)
                file.append([written(mark for _, mark in marks)])
        except OSError as error:
            place = place_of(error, path)
            raise Transient(f"what was done cannot be written down in {place}: {reason_of(error)}") from None

    def remove(self, letters: Sequence[Stored]) -> int:
        """Write files anew without these lines. A crash leaves a file as it was, or as it is to be."""
        lines = Counter(stored.line.rstrip(b"\n") for stored in letters)
        before = lines.total()
        path = self.directory
        done: set[tuple[int, int] | None] = {None}
        try:
            # Again, while a file is rotated from under a name before it was come to.
            while lines.total() and (new := [name for name in self._names() if self._identity(name) not in done]):
                for name in new:
                    path = self.directory / name
                    done.add(_take(path, lines))
        except OSError as error:
            place = place_of(error, path)
            raise Transient(f"dead letters cannot be removed from {place}: {reason_of(error)}") from None
        return before - lines.total()

    def close(self) -> None:
        """Nothing is held."""

    def _names(self) -> list[str]:
        try:
            return oldest_first(path.name for path in self.directory.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error, self.directory) from None

    def _identity(self, name: str) -> tuple[int, int] | None:
        """What tells files apart, whatever they are called; None where it has gone."""
        try:
            return _identity((self.directory / name).stat())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error, self.directory / name) from None

    def _lines(self, name: str, read: set[tuple[int, int]]) -> Iterator[Stored]:
        path = self.directory / name
        try:
            with open(path, "rb", opener=_waiting_for_nothing) as file:
                found = os.fstat(file.fileno())
                seen = _identity(found) in read
                read.add(_identity(found))
                if seen or not stat.S_ISREG(found.st_mode):
                    return
                for number, line in enumerate(_bounded(file, self._line_limit), 1):
                    if line.endswith(b"\n") or not is_current(name) or _is_whole(line):
                        yield Stored(line, f"{path}:{number}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unreadable(error, path) from None

    def _unreadable(self, error: OSError, path: Path) -> CannotStart:
        place = place_of(error, path)
        return CannotStart(f"dead letters cannot be read from {place}: {reason_of(error)}. {_READABLE}")


def _waiting_for_nothing(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _bounded(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Each line that is not empty, of one that is too long the beginning."""
    while line := file.readline(limit + 1):
        if len(line) > limit and not line.endswith(b"\n"):
            yield line[:_BEGINNING] + b"\n"
            while line and not line.endswith(b"\n"):
                line = file.readline(limit)
        elif line.strip():
            yield line


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _is_whole(line: bytes) -> bool:
    """Whether a line without its end may be an object of JSON that somebody has left so."""
    return line.rstrip().endswith(b"}")


# -- taking lines out


def _take(path: Path, lines: Counter[bytes]) -> tuple[int, int] | None:
    """Write the file anew without the lines, and count them down; each goes as often as it is asked for.

    What tells the file from others that is there now; None where there is none.
    """
    with suppress(FileNotFoundError), opened(path, create=False) as file:
        new = path.with_name(f".{path.name}.new")  # one name: what a crash has left is written over
        try:
            if not _copy(file, new, lines):
                new.unlink()
            elif new.stat().st_size or is_current(path.name):
                new.replace(path)
            else:
                new.unlink()
                path.unlink()
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise
        sync_directory(path.parent)
        return _identity(path.stat())
    return None


def _copy(file: Log, new: Path, lines: Counter[bytes]) -> bool:
    """Whether anything was left out. The copy has the rights of the file, and the disk has it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    left_out = False
    with (
        os.fdopen(os.open(new, flags, 0o600), "wb") as copy,
        os.fdopen(file.fd, "rb", closefd=False) as original,
    ):
        os.fchmod(copy.fileno(), stat.S_IMODE(os.fstat(file.fd).st_mode))
        original.seek(0)
        for line in original:
            bare = line.rstrip(b"\n")
            if lines[bare]:
                lines[bare] -= 1
                left_out = True
            else:
                copy.write(line)
        copy.flush()
        os.fsync(copy.fileno())
    return left_out
