"""Units of systemd as texts: their settings, and what systemd's own checkers say of them.

`as_systemd_runs` is a unit's command with what systemd puts into it; it has no systemd to ask.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ANALYZE = shutil.which("systemd-analyze")
MISSING = "systemd-analyze is not here (Debian, Ubuntu: apt-get install systemd)"
PLACES = {"%S": "/var/lib", "%L": "/var/log"}
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Unit(NamedTuple):
    """A unit's file; a template's with its instance."""

    file: Path
    instance: str = ""

    @property
    def name(self) -> str:
        return self.file.name.replace("@.", f"@{self.instance}.")

    def settings(self, name: str) -> list[str]:
        """Every value of a setting, in order."""
        return re.findall(rf"^{name}=(.*)$", self.file.read_text(), re.MULTILINE)

    def setting(self, name: str) -> str:
        (value,) = self.settings(name)
        return value

    def seconds(self, name: str) -> float:
        return float(self.setting(name).removesuffix("s"))

    def expanded(self, text: str) -> str:
        """With its specifiers put in; one that is not known here fails."""
        known = {**PLACES, "%i": self.instance, "%%": "%"}
        return re.sub(r"%.", lambda found: known[found[0]], text)


class Run(NamedTuple):
    """What systemd executes: words, variables and where it begins. Paths are the machine's."""

    words: list[str]
    environ: dict[str, str]
    directory: str


def as_systemd_runs(unit: Unit, machine: Path) -> Run:
    """`machine` is where the files lie that are the machine's."""
    environ = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"}
    environ |= dict(unit.expanded(each).split("=", 1) for each in unit.settings("Environment"))
    for name in unit.settings("EnvironmentFile"):
        file = machine / unit.expanded(name.removeprefix("-")).lstrip("/")
        if file.exists() or not name.startswith("-"):
            environ |= _variables(file.read_text())
    (directory,) = unit.settings("WorkingDirectory") or ["/"]
    words = [unit.expanded(word) for word in shlex.split(unit.setting("ExecStart"))]
    return Run(words, environ, unit.expanded(directory))


def _variables(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def analyzed(directory: Path, unit: Unit, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of this text of the unit, with a program that is there."""
    file = directory / unit.name
    (program, *_) = shlex.split(unit.setting("ExecStart"))
    file.write_text(text.replace(f"ExecStart={program}", f"ExecStart={sys.executable}"))
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *arguments, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
    )


def verified(directory: Path, unit: Unit, text: str) -> tuple[int, str]:
    """The checker's exit code, and all that it says. It is 0 whatever it found."""
    done = analyzed(directory, unit, text, "verify", "--man=no")
    return done.returncode, done.stdout + done.stderr


def exposure(directory: Path, unit: Unit, text: str) -> float:
    """From 0, closed, to 10."""
    done = analyzed(directory, unit, text, "security", "--offline=true", "--no-pager")
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    return float(level)
