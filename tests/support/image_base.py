"""A stand-in for the official Python image: Debian as debootstrap makes it, of the release that the Dockerfile names.

An image's registry is not to be had everywhere, Debian's packages are. What is not as in the official one: Python is
Debian's, and `/usr/local/bin/python` leads to it. Made once in a while, and kept in the user's cache directory.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from support.jars import REASON_LIMIT, UnavailableError, cache, program

PATIENCE = 400.0
AGE_SECONDS = 7 * 86_400.0
PACKAGES = "ca-certificates,python3-minimal,python3-venv"
_SOURCES = Path("/etc/apt")
_MIRROR = re.compile(r"^(?:URIs:|deb(?:-src)?(?: \[[^]]*\])?)\s+(\S+/debian/?)(?=\s|$)", re.MULTILINE)


def base(release: str) -> Path:
    """A tar file of a root with this release of Debian, or UnavailableError."""
    home = cache(os.environ) / "image-base"
    home.mkdir(parents=True, exist_ok=True)
    tar = home / f"{release}.tar"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tar.exists() or time.time() - tar.stat().st_mtime > AGE_SECONDS:
            _make(release, tar)
    return tar


def mirror() -> str:
    """Where this machine gets Debian's packages from, by its own list of sources."""
    for path in [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*.[ls]*"))]:
        if path.suffix in (".list", ".sources") and path.exists() and (found := _MIRROR.search(path.read_text())):
            return found[1]
    raise UnavailableError("this machine has no source of Debian's packages")


def _make(release: str, tar: Path) -> None:
    debootstrap = program("debootstrap")
    part = tempfile.mkdtemp(dir=tar.parent, prefix="part-")
    try:
        root = Path(part, "root")
        _run([debootstrap, "--variant=minbase", f"--include={PACKAGES}", release, str(root), mirror()])
        shutil.rmtree(root / "var/cache/apt")
        shutil.rmtree(root / "var/lib/apt/lists")
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        _run(["tar", "-C", str(root), "-cf", f"{part}/root.tar", "."])
        Path(part, "root.tar").rename(tar)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{Path(command[0]).name} took longer than {PATIENCE:.0f} s") from None
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
        raise UnavailableError(f"{Path(command[0]).name} failed: {last[0][:REASON_LIMIT]}")
