"""How letters lie in a directory: the names of files, and which of them are older. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

FAILED_EVENTS: Final = "failed_events.log"
UNDECODABLE: Final = "undecodable.log"
LEDGER: Final = "redrive.log"

_OURS: Final = re.compile(r"(failed_events|undecodable)(?:-(\d{8}T\d{6}\.\d{3}Z))?\.log")
_FORMAT: Final = "%Y%m%dT%H%M%S.%fZ"


def normalised(name: str) -> str:
    """An action's name as its directory's, by DataHub Actions' rule; names may share one."""
    return re.sub(r"[^\w-]", "_", name.lower())


def rotated(name: str, at: float, beside: Iterable[str]) -> str:
    """What a full file is called from now on, `at` in epoch seconds: a name that sorts behind those `beside` it.

    A clock that was set back would put it before older letters: it gets the time after theirs.
    """
    times = [found[2] for each in beside if (found := _OURS.fullmatch(each)) is not None and found[2] is not None]
    last = max(times, default="")
    millisecond = int(at * 1000)
    if last and _time(millisecond) <= last:
        millisecond = round(datetime.strptime(last, _FORMAT).replace(tzinfo=UTC).timestamp() * 1000) + 1
    return f"{name.removesuffix('.log')}-{_time(millisecond)}.log"


def holds_letters(name: str) -> bool:
    """Whether it is one of ours."""
    return _OURS.fullmatch(name) is not None


def is_current(name: str) -> bool:
    """Whether letters are still added to it."""
    return name in (FAILED_EVENTS, UNDECODABLE)


def oldest_first(names: Iterable[str]) -> list[str]:
    """Of all these, the files of letters: those that were full by their times, then those that are added to."""

    def age(name: str) -> tuple[bool, str, str]:
        found = _OURS.fullmatch(name)
        time = found[2] if found is not None else None
        return time is None, time or "", name

    return sorted(filter(holds_letters, names), key=age)


def _time(millisecond: int) -> str:
    moment = datetime.fromtimestamp(millisecond // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{millisecond % 1000:03}Z"
