"""Containers of an image whose files are mounted: by runc, read-only root, no rights, on this machine's network.

What is mounted has the same path inside as outside, unless it says otherwise, so that a test's files are found.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import contained
from support.jars import UnavailableError, program
from support.tether import tethered

HANDS_ON = ("POLLER_", "AWS_", "KAFKA_", "SCHEMA_REGISTRY_", "container")


@dataclass(frozen=True)
class Container:
    """How containers are made: of which files, with what settings (`docker inspect`'s Config) and what mounted.

    A mount is a path outside, one inside, and `ro` or `rw`. `entrypoint` takes the place of the image's.
    """

    root: Path
    config: Mapping[str, Any]
    place: Path
    mounts: Sequence[tuple[Path, str, str]] = ()
    entrypoint: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def program(self) -> tuple[str, str]:
        """What Python runs, with a command's words behind it."""
        about = {
            "root": str(self.root),
            "config": dict(self.config),
            "place": str(self.place),
            "mounts": [(str(outside), inside, mode) for outside, inside, mode in self.mounts],
            "entrypoint": list(self.entrypoint),
            "env": [f"{name}={value}" for name, value in self.env.items()],
            "hands_on": HANDS_ON,
            "runc": program("runc"),
        }
        with tempfile.NamedTemporaryFile("w", dir=self.place, suffix=".json", delete=False) as file:
            json.dump(about, file)
        return contained.__file__, file.name

    def command(self, *words: str) -> list[str]:
        """The whole command that starts one; with no words, the image's own."""
        return tethered([sys.executable, *self.program(), *words])

    def ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end."""
        return subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )


def tried(container: Container) -> None:
    """UnavailableError where this machine runs no containers."""
    done = Container(container.root, container.config, container.place, entrypoint=("/bin/true",)).ran("now")
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
        raise UnavailableError(f"runc runs nothing here: {last[0][:160]}")
