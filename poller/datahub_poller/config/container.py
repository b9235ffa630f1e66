"""Whether a directory outlives the container that the poller runs in.

The answer is computed from text (`/proc/self/mountinfo`); only `look` touches the system it runs on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_VARIABLES = ("ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4", "KUBERNETES_SERVICE_HOST", "container")
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "proc", "sysfs", "overlay", "aufs"})
_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One mounted file system."""

    point: PurePosixPath
    kind: str


class Container(NamedTuple):
    """Where the poller runs: in a container or not, and the text of its mount table."""

    inside: bool
    mountinfo: str

    def keeps(self, directory: Path) -> bool:
        """Is what is written there still there when the container is gone? `directory` need not exist."""
        return not self.inside or is_kept(PurePosixPath(directory.resolve()), mounts(self.mountinfo))


def look(environ: Mapping[str, str]) -> Container:
    """The container, if any, that this process runs in."""
    inside = any(mark.exists() for mark in _MARKS) or any(environ.get(name) for name in _VARIABLES)
    try:
        mountinfo = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        mountinfo = ""
    return Container(inside, mountinfo)


def mounts(mountinfo: str) -> list[Mount]:
    """The mounts of a table in the form of `/proc/self/mountinfo`; lines of another form are passed over."""
    found = []
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if dash and len(fields) > 4:  # noqa: PLR2004 - id, parent, device, root, mount point
            found.append(Mount(PurePosixPath(_unescaped(fields[4])), kinds[0]))
    return found


def is_kept(directory: PurePosixPath, table: list[Mount]) -> bool:
    """Is this absolute path on a mount of its own, that is, neither on the container's layer nor in memory?"""
    above = [mount for mount in table if directory.is_relative_to(mount.point)]
    if not above:
        return False
    # Of several mounts on one point the last hides the others.
    nearest = max(enumerate(above), key=lambda entry: (len(entry[1].point.parts), entry[0]))[1]
    return nearest.point != PurePosixPath("/") and nearest.kind not in _IN_MEMORY


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
