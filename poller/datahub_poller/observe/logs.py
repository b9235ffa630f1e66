"""Log lines: one per state change, in one form for the poller, the user's function and the libraries.

Owns the two handlers, one for the poller's own loggers and one on the root logger for everybody else's, the scrubbing
of secrets, and the throttle for lines that repeat. The user's code may configure `logging` as it likes: that concerns
the root logger's alone. Knows nothing of what is logged.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Literal, TextIO

from datahub_poller.observe.log_forms import JsonForm, Line, TextForm
from datahub_poller.observe.own_loggers import ROOT, get_logger, out_of_reach
from datahub_poller.observe.scrub import Scrubber, as_text
from datahub_poller.observe.standard_error import Stream, Target, standard_error

__all__ = ["LineHandler", "Throttle", "get_logger", "log_event", "plain_text", "say", "setup"]

STACK_LIMIT = 32_000
CHATTY = ("asyncio", "boto3", "botocore", "httpcore", "httpcore2", "httpx", "httpx2", "s3transfer", "urllib3")
"""Libraries that log every request at INFO; they are heard from WARNING on, unless everything is wanted (DEBUG)."""

_FIELDS = "datahub_poller_fields"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _FIELDS}


def setup(
    level: str | int, form: Literal["text", "json"], stream: TextIO | None = None, scrub: Iterable[str] = frozenset()
) -> None:
    """Send every logger's lines to `stream` (standard error) in one form, without the values in `scrub`.

    May be called again: the newest call counts. Python warnings become log lines too. Where POLLER_PROCESS is set,
    each line has it as its field `process`.
    """
    target = standard_error() if stream is None else Stream(stream)
    made = JsonForm() if form == "json" else TextForm(_wants_colour(target))
    always = _process(os.environ.get("POLLER_PROCESS", ""))
    own, others = LineHandler(target, made, scrub, always), LineHandler(target, made, scrub, always)
    others.lock = own.lock  # neither begins in the middle of the other's line
    out_of_reach(own)
    root = logging.getLogger()
    for old in _ours(ROOT):
        ROOT.removeHandler(old)
        old.target.close()
    for other in [each for each in root.handlers if type(each) in (LineHandler, logging.StreamHandler)]:
        root.removeHandler(other)
    wanted = level.upper() if isinstance(level, str) else level
    for there, handler in ((ROOT, own), (root, others)):
        there.addHandler(handler)
        there.setLevel(wanted)
    quiet = logging.NOTSET if root.level <= logging.DEBUG else logging.WARNING
    for name in CHATTY:
        logging.getLogger(name).setLevel(quiet)
    logging.captureWarnings(capture=True)


def say(text: str) -> None:
    """Write a line for people where log lines go, whatever has become of `sys.stderr`. Nothing makes it raise."""
    for handler in _ours(ROOT):
        handler.write(text)


def log_event(
    logger: logging.Logger, level: int, event: str, /, *, exc_info: BaseException | None = None, **fields: Any
) -> None:
    """Log `event` (a constant, in words) with its fields in the order given; a field that is None is left out."""
    if logger.isEnabledFor(level):
        present = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, event, exc_info=exc_info, extra={_FIELDS: present}, stacklevel=2)


class LineHandler(logging.Handler):
    """Writes lines to a target. Nothing that is logged, nor a target that is gone, makes it raise."""

    def __init__(
        self,
        target: Target,
        form: TextForm | JsonForm,
        scrub: Iterable[str] = frozenset(),
        always: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.target = target
        self._always = always
        self._form = form
        self._scrubber = Scrubber(scrub)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line (in text form, with its stack below it)."""
        with suppress(Exception):  # a full disk or a closed pipe must not stop the poller; nowhere to tell
            self._put(self._form(self._line(record)))

    def write(self, text: str) -> None:
        """Write a text that is no record as a line."""
        self.acquire()
        try:
            with suppress(Exception):
                self._put(text)
        finally:
            self.release()

    def _put(self, text: str) -> None:
        self.target.write(text.encode(self.target.encoding, "backslashreplace") + b"\n")

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


def _process(number: str) -> dict[str, int | str]:
    """Which of a supervisor's processes this is."""
    if not number:
        return {}
    return {"process": int(number) if number.isascii() and number.isdecimal() else number}


def _ours(logger: logging.Logger) -> list[LineHandler]:
    return [handler for handler in logger.handlers if isinstance(handler, LineHandler)]


def _wants_colour(target: Target) -> bool:
    return target.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
