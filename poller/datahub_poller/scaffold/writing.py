"""Puts new files into a directory: all of them or none, and never over one that is there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path


class Occupied(Exception):
    """Files that are there already, which nobody overwrites."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        super().__init__(", ".join(map(str, self.paths)))


def refuse_occupied(directory: Path, names: Iterable[str]) -> None:
    """Raises Occupied, and NotADirectoryError where the directory is something else."""
    if os.path.lexists(directory) and not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
    there = [path for path in (directory / name for name in names) if os.path.lexists(path)]  # dead links too
    if there:
        raise Occupied(there)


def write_new(directory: Path, texts: Mapping[str, str]) -> None:
    """Make the directory if it is missing, and write. What was written is taken back where not all can be.

    Raises Occupied and OSError.
    """
    refuse_occupied(directory, texts)
    directory.mkdir(parents=True, exist_ok=True)
    begun: list[Path] = []
    try:
        for name, text in texts.items():
            path = directory / name
            with path.open("x", encoding="utf-8") as file:
                begun.append(path)
                file.write(text)
    except FileExistsError as error:  # somebody was quicker
        _take_back(begun)
        raise Occupied([Path(str(error.filename))]) from None
    except OSError:
        _take_back(begun)
        raise


def _take_back(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
