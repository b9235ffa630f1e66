"""A machine as units see it, without systemd: its own directories at /opt, /etc, /var and /run, and a real journal.

Programs in its /usr/local/sbin stand in for the system's.

A `Machine` is a namespace of mounts in which the directories of `base` stand at those places, with what was there
before beside them, and in which systemd-journald runs. Run as a program, it becomes what a unit's ExecStart says: at
the paths of the unit, with the variables of its files, on a root that cannot be written to, its output in the journal.
It does not do what the unit's hardening does beyond that. Needs root and util-linux.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.tether import tethered
from support.units import Unit, as_systemd_runs

JOURNALD = Path("/lib/systemd/systemd-journald")
# Alone: without the kernel's messages and the audit, and nothing on the disk.
QUIET = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nForwardToWall=no\n"
_PLACES = ("opt", "etc", "usr/local/sbin", "var/lib", "var/log", "run")
_SCRIPT = """
set -e
base=$1; written=$2
mount --make-rprivate /
mount --bind "$base" "$base"
for place in opt etc usr/local/sbin var/lib var/log run; do
    mkdir -p "$base/was/$place"
    mount --bind "/$place" "$base/was/$place"
    for each in "/$place"/*; do
        [ ! -e "$each" ] || [ -e "$base/$place/${each##*/}" ] || ln -s "$base/was$each" "$base/$place/"
    done
    mount --bind "$base/$place" "/$place"
done
mount --bind "$written" "$written"
for place in / /opt /etc /usr/local/sbin; do mount -o remount,bind,ro "$place"; done
exec "$3"
"""
_NAMESPACES = ("--mount", "--cgroup")


def missing() -> str:
    """Why there can be no such machine here; empty where there can."""
    tools = [name for name in ("unshare", "nsenter", "journalctl") if shutil.which(name) is None]
    if os.geteuid() != 0 or tools or not JOURNALD.exists():
        return f"needs root, util-linux and systemd-journald (not here: {', '.join(tools) or 'root or journald'})"
    tried = subprocess.run(["unshare", *_NAMESPACES, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces are not to be had here"


class Machine:
    """`written` is a directory beside the machine's that its programs may write to."""

    def __init__(self, base: Path, written: Path) -> None:
        self.base = base
        for place in (*_PLACES, "etc/systemd", "run/log/journal", "run/systemd/journal"):
            (base / place).mkdir(parents=True, exist_ok=True)
        (base / "etc/systemd/journald.conf").write_text(QUIET)
        command = ["unshare", *_NAMESPACES, "sh", "-c", _SCRIPT, "sh", base, written, JOURNALD]
        found = shutil.which(command[0])
        assert found is not None
        with (base / "journald.log").open("wb") as log:
            self._journald = subprocess.Popen(tethered([found, *map(str, command[1:])]), stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._journald.kill()
        self._journald.wait()

    @property
    def ready(self) -> bool:
        """Whether the journal takes lines."""
        if self._journald.poll() is not None:
            raise AssertionError((self.base / "journald.log").read_text())
        return (self.base / "run/systemd/journal/stdout").exists()

    def program(self, unit: Unit) -> list[str]:
        """What Python runs to become this unit's command, in a process that keeps its number."""
        return [__file__, str(self._journald.pid), str(self.base), str(unit.file), unit.instance]


def become(journald: str, base: Path, unit: Unit) -> None:
    """This process becomes the unit's command."""
    run = as_systemd_runs(unit, base)
    stream = _stream(base, unit)
    for number in (1, 2):
        os.dup2(stream.fileno(), number)
    enter = ["nsenter", f"--mount=/proc/{journald}/ns/mnt", f"--cgroup=/proc/{journald}/ns/cgroup"]
    # nsenter begins where this process was; the directory is the machine's.
    begin = ["sh", "-c", 'cd "$1"; shift; umask 077; exec "$@"', "sh", run.directory]
    os.execvpe(enter[0], [*enter, *begin, *run.words], run.environ)


def _stream(base: Path, unit: Unit) -> socket.socket:
    """As systemd opens it for a unit's output: who it is, its unit, the level, levels by prefix, and nowhere else."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.chdir(base / "run/systemd/journal")  # a socket's path has 107 characters at most
    stream.connect("stdout")
    os.chdir("/")
    stream.shutdown(socket.SHUT_RD)
    head: Iterable[object] = ("poller", unit.name, 6, 1, 0, 0, 0)
    stream.sendall("".join(f"{each}\n" for each in head).encode())
    return stream


if __name__ == "__main__":
    # What follows, a command of the poller's, is not looked at: the unit says what is run.
    pid, directory, file, instance, *_ = sys.argv[1:]
    become(pid, Path(directory), Unit(Path(file), instance))
