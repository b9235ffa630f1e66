"""The poller's own loggers: a tree that the configuration of `logging` in this process does not reach.

`logging.config`, `basicConfig`, `disable`, `shutdown` and everything that is done to the root logger or by a logger's
name concern the tree of `logging.root`. The user's code may do all of it, and the poller's lines still come out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

ROOT: Final = logging.RootLogger(logging.WARNING)
"""Has the handler and the level of all loggers here."""


class OwnLogger(logging.Logger):
    """A logger that takes no lock of `logging`, and asks no factory of others."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - `logging` calls it so
        """By the levels of this tree alone."""
        return level >= self.getEffectiveLevel()

    def makeRecord(  # noqa: N802 - `logging` calls it so
        self,
        name: str,
        level: int,
        fn: str,
        lno: int,
        msg: object,
        args: Any,
        exc_info: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None,
        func: str | None = None,
        extra: Mapping[str, object] | None = None,
        sinfo: str | None = None,
    ) -> logging.LogRecord:
        """A plain record, whatever `logging.setLogRecordFactory` was given."""
        record = logging.LogRecord(name, level, fn, lno, msg, args, exc_info, func, sinfo)
        vars(record).update(extra or {})
        return record


_MADE: Final[dict[str, OwnLogger]] = {}


def get_logger(name: str) -> logging.Logger:
    """The poller's logger of this name: another one than `logging.getLogger` gives by it."""
    logger = _MADE.setdefault(name, OwnLogger(name))
    logger.parent = ROOT
    return logger


def out_of_reach(handler: logging.Handler) -> None:
    """Take a handler off the list of those that `logging.shutdown` and `dictConfig` flush and close."""
    listed = logging._handlerList  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public does it
    listed[:] = [reference for reference in listed if reference() is not handler]
