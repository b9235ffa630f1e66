"""Dead letters in files: where DataHub Actions writes them, line for line, and what never became an event beside it.

Several pollers, and whoever rotates the files, may be at work on the same place. It must not know what a line says.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from datahub_poller.deadletter.file_log import Log, make_directory, opened, place_of, reason_of, sync_directory
from datahub_poller.deadletter.file_names import FAILED_EVENTS, UNDECODABLE, holds_letters, normalised, rotated
from datahub_poller.deadletter.letter import Letter, to_line
from datahub_poller.errors import CannotStart, Transient

_SETTING = "options.failed_events_dir (or dead_letter.config.directory)"


class FileSink:
    """A Sink of two files in `<directory>/<normalised name>/`. What it creates is for its own user alone.

    A write that fails, a full disk for one, leaves the files as they were, and can be tried again at any time. A file
    that would exceed `rotate` bytes gets another name first; `limit` bounds the bytes of all of them (None: nothing).
    `setting` is the key of the action file that names the directory; `wall` gives epoch seconds.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        setting: str = _SETTING,
        rotate: int | None = None,
        limit: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory / normalised(name)
        self._setting = setting
        self._rotate = rotate
        self._limit = limit
        self._wall = wall

    @property
    def place(self) -> str:
        """The directory of the action's own letters."""
        return str(self.directory.absolute())

    def check(self) -> None:
        """Try everything that a write will need, on a file that is removed again."""
        probe = self.directory / f".probe-{secrets.token_hex(8)}"  # pids are alike in containers that share a volume
        try:
            make_directory(self.directory)
            for path in (self.directory / FAILED_EVENTS, self.directory / UNDECODABLE):
                _check_log(path)
            with opened(probe) as file:
                file.append([b"probe\n"])
            probe.unlink()
            sync_directory(self.directory)
        except OSError as error:
            with suppress(OSError):
                probe.unlink()
            raise CannotStart(
                f"dead letters cannot be written to {place_of(error, self.directory)}: {reason_of(error)}. "
                f"{_remedy(error)}, or set {self._setting} to a directory on a writable, lasting disk"
            ) from None

    def write(self, letters: Sequence[Letter]) -> None:
        """Append all letters and wait for the disk, or nothing of them."""
        lines: dict[str, list[bytes]] = {FAILED_EVENTS: [], UNDECODABLE: []}
        for letter in letters:
            lines[UNDECODABLE if letter.envelope is None else FAILED_EVENTS].append(to_line(letter))
        path = self.directory
        try:
            with ExitStack() as stack:
                for name in [name for name in lines if lines[name]]:
                    path = self.directory / name
                    file = self._open(stack, path, sum(map(len, lines[name])))
                    stack.push(file.restore)
                    file.append(lines[name])
        except OSError as error:
            raise Transient(f"dead letters cannot be written to {place_of(error, path)}: {reason_of(error)}") from None

    def close(self) -> None:
        """Nothing is held between writes."""

    def _open(self, stack: ExitStack, path: Path, more: int) -> Log:
        """The file to append so many bytes to, locked until the stack ends. Raises Transient where all is full."""
        while True:
            file = stack.enter_context(opened(path))
            self._check_limit(more)
            size = file.size
            if self._rotate is None or size == 0 or size + more <= self._rotate:
                return file
            # Whoever waits for the lock sees that the file has moved, and opens the next one.
            beside = (each.name for each in self.directory.iterdir())
            path.rename(path.with_name(rotated(path.name, self._wall(), beside)))
            sync_directory(self.directory)

    def _check_limit(self, more: int) -> None:
        if self._limit is None:
            return
        held = _bytes_in(self.directory)
        if held + more > self._limit:
            raise Transient(
                f"dead letters fill {self.place}: {held} bytes, and {more} more would exceed dead_letter.config.limit "
                f"({self._limit}). Drop what is done with (`dead-letters drop`), or raise it and start again"
            )


def _bytes_in(directory: Path) -> int:
    """Of all letters. What goes meanwhile does not count."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if holds_letters(entry.name):
                with suppress(FileNotFoundError):
                    total += entry.stat().st_size
    return total


def _check_log(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with opened(path):
        pass


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
