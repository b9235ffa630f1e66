"""Other projects' environments: each its own, made once from its pinned requirement file into the user's cache.

A changed requirement file, or another Python, gets a new folder; a folder counts only when it is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from support.jars import REASON_LIMIT, UnavailableError, cache

REQUIREMENTS: Final = Path(__file__).with_name("requirements")
PATIENCE: Final = 300.0


def python_of(name: str, environ: Mapping[str, str]) -> Path:
    """The interpreter with what `requirements/NAME.txt` pins. Raises UnavailableError, the reason in one line."""
    file = REQUIREMENTS / f"{name}.txt"
    what = hashlib.sha256(file.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = cache(environ) / "benchmarks" / name / what
    complete, python = home / "complete", home / "venv" / "bin" / "python"
    if complete.exists():
        return python
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(home / "venv", ignore_errors=True)
            _ran([sys.executable, "-m", "venv", str(home / "venv")], environ)
            install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
            _ran([str(python), "-m", "pip", *install, "-r", str(file)], environ)
            complete.touch()
    return python


def answer_of(command: list[str], environ: Mapping[str, str]) -> str:
    """What a command prints. Raises UnavailableError, the reason in one line."""
    return _ran(command, environ).strip()


def _ran(command: list[str], environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=dict(environ), cwd="/"
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"it was not installed within {PATIENCE:.0f} s") from None
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = [*errors, *lines[-1:], "no output"][0].removeprefix("ERROR:").strip()[:REASON_LIMIT]
        raise UnavailableError(f"it could not be installed: {reason}")
    return done.stdout
