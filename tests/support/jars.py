"""The jars that a pom.xml names, fetched once by Maven into a cache outside the tree.

Owns the cache's layout and the words for why something from the Java world is not to be had.
Knows nothing of what the jars are for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

PATIENCE = 300.0
REASON_LIMIT = 160


class UnavailableError(Exception):
    """This machine cannot run what the tests ask for. The message is the reason, in one line."""


def program(name: str) -> str:
    """The path of a program, or UnavailableError."""
    found = shutil.which(name)
    if found is None:
        raise UnavailableError(f"no {name} on PATH")
    return found


def cache(environ: Mapping[str, str]) -> Path:
    """The folder for what is fetched, as the XDG base directory rules have it."""
    home = environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home else Path.home() / ".cache") / "datahub-poller"


def resolve(name: str, pom: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder with the jars of `pom` and all they need. Safe to call from several processes at once.

    A changed pom gets a new folder; a folder appears only when it is complete.
    """
    home = cache(environ) / name / hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    libs = home / "libs"
    if libs.is_dir():
        return libs
    maven = program("mvn")
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not libs.is_dir():
            _fetch(maven, pom, home, libs)
    return libs


def _fetch(maven: str, pom: Path, home: Path, libs: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home, prefix="part-") as part:
        target = Path(part) / "libs"
        command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"mvn did not fetch the jars within {PATIENCE:.0f} s") from None
        if done.returncode or not target.is_dir():
            raise UnavailableError(f"mvn could not fetch the jars: {_first_error(done.stdout + done.stderr)}")
        target.rename(libs)


def _first_error(output: str) -> str:
    lines = output.splitlines()
    errors = [line for line in lines if "ERROR" in line]
    chosen = [*errors, *lines, "no output"][0]
    return chosen.replace("[ERROR]", "").strip()[:REASON_LIMIT]
