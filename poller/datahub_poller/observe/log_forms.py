"""The two forms of a log line: text for people, JSON for machines."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from datahub_poller.observe.scrub import one_line

OWN = "datahub_poller"
_LEVELS: Final = MappingProxyType({10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"})
"""`logging.addLevelName` is the user's: colours in a level's name must not come into our lines."""
_WORDS = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+%,*~#()[]<>")


class Line(NamedTuple):
    """A log record reduced to what is printed, free of secrets. `at` is in seconds since the epoch."""

    at: float
    level: int
    event: str
    logger: str
    fields: Mapping[str, Any]
    stack: str


class TextForm:
    """`2026-01-02T03:04:05.678Z INFO  partition assigned topic=t partition=3`; a stack follows, indented."""

    def __init__(self, colour: bool = False) -> None:
        self._colour = colour

    def __call__(self, line: Line) -> str:
        """Give one line, and one more for each of its stack."""
        word = _WORDS.get(line.level) or _level(line.level)
        head = f"{_iso(line.at)} {word:<5} {one_line(line.event)}"
        if self._colour and line.level in _COLOURS:
            head = f"\x1b[{_COLOURS[line.level]}m{head}\x1b[0m"
        fields = dict(line.fields)
        if not line.logger.startswith(OWN):
            fields["logger"] = line.logger
        parts = [head, *(f"{one_line(name)}={_value(value)}" for name, value in fields.items())]
        # Every line of a stack is indented: none can pass for a line of its own.
        stack = [f"    | {one_line(row)}" for row in line.stack.splitlines()]
        return "\n".join([" ".join(parts), *stack])


class JsonForm:
    """One object per line, ASCII only: `at`, `level`, `event`, `logger`, the fields, and `stack`."""

    def __call__(self, line: Line) -> str:
        """Give one line. A field that takes a name of ours gets an underscore behind its own."""
        out: dict[str, Any] = {
            "at": _iso(line.at),
            "level": _level(line.level).lower(),
            "event": line.event,
            "logger": line.logger,
        }
        taken = {*out, "stack"}
        out |= {f"{name}_" if name in taken else name: value for name, value in line.fields.items()}
        if line.stack:
            out["stack"] = line.stack
        return json.dumps(out, allow_nan=False, separators=(",", ":"))


def _level(level: int) -> str:
    return _LEVELS.get(level) or one_line(logging.getLevelName(level))


def _iso(at: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at * 1000) % 1000:03d}Z"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not (text and _BARE.issuperset(text)):
        text = json.dumps(text, ensure_ascii=False)
    return one_line(text)
