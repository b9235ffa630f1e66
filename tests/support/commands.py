"""The command as a person at a terminal types it: a process with arguments, what it prints, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import datahub_handler
import datahub_poller
from datahub_poller.demo.process import poller_environment
from support.tether import tethered

SOURCES = os.pathsep.join(str(Path(package.__file__).parents[1]) for package in (datahub_poller, datahub_handler))
POLLER = (sys.executable, "-m", "datahub_poller")


class Ran(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """A process's environment: this one's without what would lead a poller elsewhere, and `more`."""
    return {**poller_environment(os.environ), "PYTHONPATH": SOURCES, "COLUMNS": "100", **more}


def started(
    *arguments: str, cwd: Path, environ: Mapping[str, str] | None = None, program: Sequence[str] = POLLER
) -> subprocess.Popen[str]:
    """The command as a running process, with pipes."""
    return subprocess.Popen(
        tethered([*program, *arguments]),
        cwd=cwd,
        env=environment({} if environ is None else environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ran(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None, patience: float = 60.0) -> Ran:
    """Run the command to its end."""
    with started(*arguments, cwd=cwd, environ=environ) as process:
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{arguments} did not end within {patience:g} s:\n{out}{err}") from None
    return Ran(process.returncode, out, err)
