"""Whether a directory outlives the container that the poller runs in, and the poller's end fits into its stop.

The answers are computed from text (`/proc/self/mountinfo`, STOP_TIMEOUT); only `look` touches the system it runs on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from datahub_poller.config.quantities import duration_text

STOP_TIMEOUT: Final = "STOP_TIMEOUT"
"""The variable that says how many seconds lie between SIGTERM and SIGKILL: what runs a container tells it nowhere."""
HEALTH_CHECK_PORT: Final = "HEALTH_CHECK_PORT"
"""The variable by which an image says which port its health check asks on loopback; ours does."""
END_SECONDS: Final = 5.0
"""By then past the deadline the process is gone, and with several of them their supervisor too."""
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


def stop_warning(deadline: float, environ: Mapping[str, str]) -> str | None:
    """What to say where a drain of `deadline` seconds would be cut off; None where it fits, or nobody says."""
    given = environ.get(STOP_TIMEOUT, "").strip()
    if not given:
        return None
    try:
        timeout = float(given)
    except ValueError:
        return f"{STOP_TIMEOUT} is {given!r}, and not the seconds between SIGTERM and SIGKILL"
    if deadline + END_SECONDS <= timeout:
        return None
    lower = f", or lower shutdown.deadline to {duration_text(timeout - END_SECONDS)}" if timeout > END_SECONDS else ""
    return (
        f"shutdown.deadline ({duration_text(deadline)}) and {END_SECONDS:g} s for the end do not fit into the "
        f"{timeout:g} s between SIGTERM and SIGKILL ({STOP_TIMEOUT}): a batch in work would be cut off and done again. "
        f"Raise the stop timeout to {deadline + END_SECONDS:g} s{lower}"
    )


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
