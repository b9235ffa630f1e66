"""Tells of what is waited for: a line when it begins, one a minute while it lasts, and one when it ends.

Pure. Looks at the present, not at changes: it is given all that is waited for, about once a second. What comes and
goes costs no more than what lasts: where it came back lately, its end too waits until a minute has gone by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

Level = Literal["info", "warning", "error"]

GRACE_SECONDS: Final = 2.0
"""What is over sooner is not told: a schema is usually here within milliseconds, a leader within a second."""
AGAIN_SECONDS: Final = 60.0
LATELY_SECONDS: Final = 300.0
"""What came back within this time may end, and be back, at any moment."""


class Words(NamedTuple):
    """The lines' events. `begins` and `ends` are None where others tell of it."""

    begins: str | None
    lasts: str
    ends: str | None
    level: Level = "warning"


class Wait(NamedTuple):
    """Something that is waited for, and why. `about` are more fields for its lines."""

    words: Words
    reason: str
    about: Mapping[str, Any]
    grace: float = GRACE_SECONDS


class Line(NamedTuple):
    """A line for the log."""

    level: Level
    event: str
    fields: dict[str, Any]


@dataclass(slots=True)
class _Seen:
    """`open`: it was told that this began, not yet that it ended. `spells` began since the last line."""

    wait: Wait
    since: float
    until: float | None = None
    told: float | None = None
    open: bool = False
    spells: int = 1
    back: float | None = None

    def quiet(self, now: float) -> bool:
        return self.told is None or now - self.told >= AGAIN_SECONDS

    def flaps(self, now: float) -> bool:
        return self.back is not None and now - self.back < LATELY_SECONDS

    def is_forgotten(self, now: float) -> bool:
        kept = GRACE_SECONDS if self.told is None else LATELY_SECONDS
        return not self.open and self.until is not None and now - self.until >= kept


class Waits:
    """What is waited for, by any key. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def look(self, waits: Mapping[str, Wait], now: float) -> list[Line]:
        """What is to be told, when this is all that is waited for."""
        lines = [self._waits(key, wait, now) for key, wait in waits.items()]
        lines += [self._is_over(key, now) for key in list(self._seen) if key not in waits]
        return [line for line in lines if line is not None]

    def _waits(self, key: str, wait: Wait, now: float) -> Line | None:
        seen = self._seen.setdefault(key, _Seen(wait, now))
        if seen.until is not None:
            if not seen.open and now - seen.until >= GRACE_SECONDS:
                seen.since = now
            seen.until = None
            if seen.told is not None:
                seen.spells, seen.back = seen.spells + 1, now
        seen.wait = wait
        if not seen.quiet(now) or (not seen.open and now - seen.since < wait.grace):
            return None
        event = wait.words.lasts if seen.open else wait.words.begins
        fields: dict[str, Any] = {"reason": wait.reason}
        if seen.open:
            fields["seconds"] = round(now - seen.since)
        if seen.spells > 1:
            fields["times"] = seen.spells
        seen.open, seen.told, seen.spells = True, now, 1
        return _line(wait.words.level, event, wait, **fields)

    def _is_over(self, key: str, now: float) -> Line | None:
        seen = self._seen[key]
        if seen.until is None:
            seen.until = now
        if seen.open and (seen.quiet(now) or not seen.flaps(now)):
            seen.open, seen.told, seen.spells = False, now, 0
            return _line("info", seen.wait.words.ends, seen.wait, seconds=round(seen.until - seen.since))
        if seen.is_forgotten(now):
            del self._seen[key]
        return None


def _line(level: Level, event: str | None, wait: Wait, **fields: Any) -> Line | None:
    return None if event is None else Line(level, event, {**wait.about, **fields})
