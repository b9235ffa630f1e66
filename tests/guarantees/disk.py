"""The disk that dead letters go to, small enough to be filled.

A tmpfs of its own where that can be mounted; elsewhere a directory that gives way to a file, which fails as well,
though with other words. `kind` says which it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

SIZE: Final = "32m"
CHUNK: Final = 64 * 1024


class LettersDisk:
    """`path` is a directory while this is entered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind: Literal["tmpfs", "directory"] = "directory"

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        mount = shutil.which("mount")
        if os.geteuid() == 0 and mount is not None:
            command = [mount, "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(self.path)]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                self.kind = "tmpfs"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.kind == "tmpfs":
            subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Nothing can be written while this is entered."""
        with self._filled() if self.kind == "tmpfs" else self._in_the_way():
            yield

    @contextmanager
    def _filled(self) -> Iterator[None]:
        filler = self.path / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                size = CHUNK
                while size:
                    try:
                        file.write(b"\0" * size)
                    except OSError:
                        size //= 2
            yield
        finally:
            filler.unlink(missing_ok=True)

    @contextmanager
    def _in_the_way(self) -> Iterator[None]:
        aside = self.path.with_name(f"{self.path.name}-aside")
        self.path.rename(aside)
        self.path.touch()
        try:
            yield
        finally:
            self.path.unlink()
            aside.rename(self.path)
