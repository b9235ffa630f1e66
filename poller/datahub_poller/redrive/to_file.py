"""Puts events into a file of JSON lines, for its owner alone. It must not know what is written down about it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from datahub_poller.deadletter.plain_json import in_json
from datahub_poller.deadletter.store import Done
from datahub_poller.errors import CannotStart, Transient
from datahub_poller.redrive.copying import Ready, with_event
from datahub_poller.redrive.planning import Case
from datahub_poller.redrive.transform import Left, Transform

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


def file_problem(path: Path, append: bool) -> str | None:
    """Why nothing is written there; None where it may be."""
    if path.is_dir() or (path.exists() and not path.is_file()):
        return f"--to file {path}: it is no regular file. Name another one"
    if path.exists() and not append:
        return f"--to file {path}: it exists already. Name another one, or add to it with --append"
    if not path.absolute().parent.is_dir():
        return f"--to file {path}: there is no directory {path.absolute().parent}. Make it, or name another one"
    return None


class EventFile:
    """Appends one line for each event and waits for the disk."""

    done: Done = "written"

    def __init__(self, path: Path, append: bool, transform: Transform | None) -> None:
        """Open it, and make it unless it is there. Raises CannotStart."""
        self._path = path
        self._transform = transform
        try:
            self._fd = _opened(path, append)
        except OSError as error:
            raise CannotStart(f"--to file {path}: {error.strerror}. Put that right, or name another one") from None

    def ready(self, case: Case) -> Ready | Left:
        """The letter's event."""
        return with_event(case, self._transform)

    def put(self, batch: Sequence[Ready]) -> None:
        """All of it, or nothing. Raises Transient."""
        lines = b"".join(in_json(each.envelope or {}) + b"\n" for each in batch)
        before = os.fstat(self._fd).st_size
        try:
            if before and os.pread(self._fd, 1, before - 1) != b"\n":  # a line that a crash has torn
                lines = b"\n" + lines
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fsync(self._fd)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, before)
            raise Transient(f"{self._path} cannot be written to: {error.strerror}. Make room there") from None

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def _opened(path: Path, append: bool) -> int:
    if append and path.exists():
        return os.open(path, _FLAGS)
    fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    directory = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return fd
