"""Commands of a page, from `<!-- NAME:begin -->` to `<!-- NAME:end -->`, and how they are played on an emulator."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.templates import ROOT


def commands(page: Path, name: str = "start") -> list[str]:
    """Each command of the part that is called so, with the lines that belong to it."""
    return _typed(page.read_text().partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0])


def every_command(page: Path) -> list[str]:
    """Those outside of any part, too."""
    return _typed(page.read_text())


def _typed(text: str) -> list[str]:
    found: list[str] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(line[2:])
            else:
                found[-1] += f"\n{line}"
    return found


def played(directory: Path, script: Sequence[str], environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """What the commands print, and the variables that are exported in the end. One that fails fails it all."""
    cli = directory / "aws"
    cli.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/support/aws_cli.py "$@"\n')
    cli.chmod(0o755)
    (directory / "infra").symlink_to(ROOT / "infra")
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *script, "env"])],
        cwd=directory,
        env={**environ, "PATH": f"{directory}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    exported = (line.split("=", 1) for line in done.stdout.splitlines() if re.match(r"[A-Z_]+=", line))
    return done.stdout, dict(exported)
