"""Log lines: one per state change, in one form for the poller, the user's function and the libraries.

Owns the handler on the root logger, its two forms (text for people, JSON for machines), the scrubbing
of secrets, and the throttle for lines that repeat. Knows nothing of what is logged.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TextIO

from datahub_poller.observe.scrub import Scrubber, as_text, one_line

STACK_LIMIT = 32_000
OWN = "datahub_poller"
CHATTY = ("asyncio", "boto3", "botocore", "httpcore", "httpcore2", "httpx", "httpx2", "s3transfer", "urllib3")
"""Libraries that log every request at INFO; they are heard from WARNING on, unless everything is wanted (DEBUG)."""

_FIELDS = "datahub_poller_fields"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _FIELDS}
_WORDS = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+%,*~#()[]<>")


def setup(
    level: str | int, form: Literal["text", "json"], stream: TextIO | None = None, scrub: Iterable[str] = frozenset()
) -> None:
    """Send every logger's lines to `stream` (standard error) in one form, without the values in `scrub`.

    May be called again: the newest call counts. Python warnings become log lines too. Where POLLER_PROCESS is set,
    each line has it as its field `process`.
    """
    target = sys.stderr if stream is None else stream
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) in (LineHandler, logging.StreamHandler):
            root.removeHandler(handler)
    made = JsonForm() if form == "json" else TextForm(_wants_colour(target))
    root.addHandler(LineHandler(target, made, scrub, _process(os.environ.get("POLLER_PROCESS", ""))))
    root.setLevel(level.upper() if isinstance(level, str) else level)
    quiet = logging.NOTSET if root.level <= logging.DEBUG else logging.WARNING
    for name in CHATTY:
        logging.getLogger(name).setLevel(quiet)
    logging.captureWarnings(capture=True)


def log_event(
    logger: logging.Logger, level: int, event: str, /, *, exc_info: BaseException | None = None, **fields: Any
) -> None:
    """Log `event` (a constant, in words) with its fields in the order given; a field that is None is left out."""
    if logger.isEnabledFor(level):
        present = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, event, exc_info=exc_info, extra={_FIELDS: present}, stacklevel=2)


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
        word = _WORDS.get(line.level, logging.getLevelName(line.level))
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
            "level": logging.getLevelName(line.level).lower(),
            "event": line.event,
            "logger": line.logger,
        }
        taken = {*out, "stack"}
        out |= {f"{name}_" if name in taken else name: value for name, value in line.fields.items()}
        if line.stack:
            out["stack"] = line.stack
        return json.dumps(out, allow_nan=False, separators=(",", ":"))


class LineHandler(logging.Handler):
    """Writes lines to a stream. Nothing that is logged, nor a stream that is gone, makes it raise."""

    def __init__(
        self,
        stream: TextIO,
        form: TextForm | JsonForm,
        scrub: Iterable[str] = frozenset(),
        always: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self._always = always
        self._stream = stream
        self._form = form
        self._scrubber = Scrubber(scrub)
        self._writing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line (in text form, with its stack below it)."""
        try:
            text = self._form(self._line(record))
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._write(text.encode(encoding, "backslashreplace") + b"\n", encoding)
        except Exception:  # noqa: BLE001, S110 - a full disk or a closed pipe must not stop the poller; nowhere to tell
            pass

    def _write(self, line: bytes, encoding: str) -> None:
        if self._writing:  # by a signal, in the middle of another line: a stream cannot be entered twice
            os.write(self._stream.fileno(), line)
            return
        self._writing = True
        try:
            self._stream.write(line.decode(encoding))
            self._stream.flush()
        finally:
            self._writing = False

    def _line(self, record: logging.LogRecord) -> Line:
        plain = self._scrubber.plain
        given = getattr(record, _FIELDS, None)
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields = plain({**self._always, **(given if isinstance(given, dict) else {}), **extra})
        stack = self._scrubber.text(_stack(record))[-STACK_LIMIT:]
        return Line(
            record.created, record.levelno, plain(_message(record)), plain(record.name), fields, plain_text(stack)
        )


class Throttle:
    """Lets a repeated line through at most once per `every` seconds and key, counting what it held back."""

    def __init__(self, every: float, keys: int = 1_000) -> None:
        self._every = every
        self._keys = keys
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def admit(self, key: Hashable, now: float) -> int | None:
        """How many were held back since the last one let through; None: hold this one back too."""
        last, held = self._seen.pop(key, (None, 0))
        if last is not None and now - last < self._every:
            self._seen[key] = (last, held + 1)
            return None
        self._seen[key] = (now, 0)
        if len(self._seen) > self._keys:
            del self._seen[next(iter(self._seen))]
        return held


def plain_text(text: str) -> str:
    """The text with what UTF-8 cannot hold written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit their format: show both
        return f"{as_text(record.msg)} {as_text(record.args)}"


def _stack(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append("".join(traceback.format_exception(*record.exc_info)))
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _iso(at: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at * 1000) % 1000:03d}Z"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not (text and _BARE.issuperset(text)):
        text = json.dumps(text, ensure_ascii=False)
    return one_line(text)


def _process(number: str) -> dict[str, int | str]:
    """Which of a supervisor's processes this is."""
    if not number:
        return {}
    return {"process": int(number) if number.isascii() and number.isdecimal() else number}


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
