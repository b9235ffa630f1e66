"""A Dockerfile as a list of instructions, and what `.dockerignore` lets into a build.

As much of both languages as this project writes; anything else is an error here, so that no test reads past it.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class Instruction(NamedTuple):
    """One instruction; `text` is all behind its name, continued lines joined."""

    name: str
    text: str

    @property
    def listed(self) -> list[str]:
        """The words of the exec form."""
        words: list[str] = json.loads(self.text)
        return words

    @property
    def pairs(self) -> dict[str, str]:
        """The `name="value"`s of ENV and LABEL."""
        return dict(word.split("=", 1) for word in shlex.split(self.text))


def instructions(text: str) -> list[Instruction]:
    """Every instruction in order, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(None, 1)) for line in whole.splitlines()]


def stages(text: str) -> list[list[Instruction]]:
    """The instructions of each stage, each beginning with its FROM; what stands before the first is left out."""
    found: list[list[Instruction]] = []
    for instruction in instructions(text):
        if instruction.name == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def environment(stage: list[Instruction], base: Mapping[str, str]) -> dict[str, str]:
    """The variables at a stage's end, on top of its base's."""
    env = dict(base)
    for instruction in stage:
        if instruction.name == "ENV":
            env |= {name: _expanded(value, env) for name, value in instruction.pairs.items()}
    return env


def _expanded(text: str, env: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: env[found[1] or found[2]], text)


def last(stage: list[Instruction], name: str) -> Instruction:
    """The one that counts of those with this name."""
    return [instruction for instruction in stage if instruction.name == name][-1]


def health_command(stage: list[Instruction]) -> list[str]:
    """What HEALTHCHECK runs."""
    options, cmd, words = last(stage, "HEALTHCHECK").text.partition("CMD ")
    assert cmd, options
    return Instruction("CMD", words).listed


def in_context(root: Path) -> list[str]:
    """Every file below `root` that `.dockerignore` leaves for the build, by its path there."""
    rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    wanted = {PurePosixPath(rule.removeprefix("!")).parts[0] for rule in rules if rule.startswith("!")}
    tops = [path for path in root.iterdir() if path.name in wanted]
    files = [it for top in tops for it in ([top] if top.is_file() else top.rglob("*")) if it.is_file()]
    return sorted(name for path in files if not _ignored(name := path.relative_to(root).as_posix(), rules))


def _ignored(name: str, rules: list[str]) -> bool:
    """The last rule that matches the file or a directory above it decides."""
    ignored = False
    for rule in rules:
        if _matches(name, rule.removeprefix("!")):
            ignored = not rule.startswith("!")
    return ignored


def _matches(name: str, pattern: str) -> bool:
    path = PurePosixPath(name)
    candidates = [str(path), *(str(above) for above in path.parents if above != PurePosixPath())]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in path.parts)
    assert "**" not in pattern, pattern
    return pattern == "*" or pattern in candidates
