"""Durations, sizes, whole numbers, times and words as people write them in an action file, and back to text.

Pure: a text or a number in, a value out, or `Wrong` with what was expected. No defaults here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from datahub_poller.config.problems import Wrong, did_you_mean

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/\s*([smh]))?", re.ASCII)
_SLOWEST_RATE = 1 / 3600
_FASTEST_RATE = 1_000_000.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b?)", re.ASCII | re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SHORT_MINUTES = 120


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds from `500ms`, `1s`, `2m`, `1h` or a plain number of seconds; `words` stand for a value of their own."""

    low: float
    high: float
    words: dict[str, float] = field(default_factory=dict)

    def __call__(self, value: Any) -> float:
        """The seconds that a value means."""
        if isinstance(value, str) and value.strip().lower() in self.words:
            return self.words[value.strip().lower()]
        seconds = self._seconds(value)
        if seconds is None:
            raise Wrong("must be a duration", self._hint)
        if not self.low <= seconds <= self.high:
            raise Wrong(f"must be between {duration_text(self.low)} and {duration_text(self.high)}", self._hint)
        return seconds

    def _seconds(self, value: Any) -> float | None:
        match value:
            case bool():
                return None
            case int() | float():
                return float(value) if math.isfinite(value) else None
            case str():
                match = _DURATION.fullmatch(value.strip())
                # The last digits of 5 * 0.001 are not those of 0.005
                return round(float(match[1]) * _SECONDS[match[2] or "s"], 6) if match else None
        return None

    @property
    def _hint(self) -> str:
        words = "".join(f", or '{word}'" for word in self.words)
        return f"Write 500ms, 30s, 2m or 1h{words}; a plain number is seconds."

    def __str__(self) -> str:
        words = "".join(f"`{word}` or " for word in self.words)
        return f"{words}duration, {duration_text(self.low)} to {duration_text(self.high)}"


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes from `5MiB`, `64MB`, `1024` or a plain number."""

    low: int
    high: int

    def __call__(self, value: Any) -> int:
        """The bytes that a value means."""
        size = self._bytes(value)
        if size is None:
            raise Wrong("must be a size", "Write 512KiB, 5MiB or 1GiB; a plain number is bytes.")
        if not self.low <= size <= self.high:
            raise Wrong(f"must be between {size_text(self.low)} and {size_text(self.high)}")
        return size

    def _bytes(self, value: Any) -> int | None:
        match value:
            case bool():
                return None
            case int():
                return value
            case str():
                match = _SIZE.fullmatch(value.strip())
                unit = match[2].lower().removesuffix("b") if match else None
                return int(float(match[1]) * _BYTES[unit]) if match and unit in _BYTES else None
        return None

    def __str__(self) -> str:
        return f"size, {size_text(self.low)} to {size_text(self.high)}"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a second, from `100`, `100/s`, `90/m` or `500/h`."""

    def __call__(self, value: Any) -> float:
        """The number for one second."""
        match = _RATE.fullmatch(str(value).strip()) if isinstance(value, (str, int, float)) else None
        if match is None or isinstance(value, bool):
            raise Wrong("must be a rate", "Write 100/s, 90/m or 500/h; a plain number is for one second.")
        rate = float(match[1]) / {"s": 1.0, "m": 60.0, "h": 3600.0}[match[2] or "s"]
        if not _SLOWEST_RATE <= rate <= _FASTEST_RATE:
            raise Wrong("must be between 1/h and 1000000/s")
        return rate

    def __str__(self) -> str:
        return "rate, such as `100/s` or `90/m`"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number, also as text (what an environment variable gives)."""

    low: int
    high: int

    def __call__(self, value: Any) -> int:
        """The number that a value means."""
        match value:
            case bool():
                number = None
            case int():
                number = value
            case str() if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
                number = int(value)
            case _:
                number = None
        if number is None:
            raise Wrong("must be a whole number")
        if not self.low <= number <= self.high:
            raise Wrong(f"must be between {self.low} and {self.high}")
        return number

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words. `later` are words that our own pages know, and this version not yet; `never` are DataHub's
    that have no like here, each with what to do instead; `also` has other words for ours. All in lower case.
    """

    words: tuple[str, ...]
    later: tuple[str, ...] = ()
    also: Mapping[str, str] = field(default_factory=dict)
    never: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, value: Any) -> str:
        """The word as it is spelt here."""
        folded = {word.lower(): word for word in self.words}
        word = value.strip().lower() if isinstance(value, str) else ""
        word = self.also.get(word, word)
        if word in folded:
            return folded[word]
        has = f"This version has: {', '.join(self.words)}."
        if word in self.later:
            raise Wrong("is not there yet", has)
        if word in self.never:
            raise Wrong("is not supported", self.never[word])
        if self.later or self.never or len(self.words) == 1:
            raise Wrong("is not known", has)
        hint = did_you_mean(word, self.words) if word else ""
        raise Wrong(f"must be one of {', '.join(self.words)}", hint if hint.startswith("Did") else "")

    def __str__(self) -> str:
        return " or ".join(f"`{word}`" for word in self.words)


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is not empty. Quotes are asked for where YAML made something else of it."""

    about: str = "text"

    def __call__(self, value: Any) -> str:
        """The text without the blanks around it."""
        if not isinstance(value, str):
            raise Wrong("must be text", "Put it in quotes." if isinstance(value, (int, float)) else "")
        if not value.strip() or not value.isprintable():
            raise Wrong("must be text that is not empty and can be printed")
        return value.strip()

    def __str__(self) -> str:
        return self.about


def start_position(value: Any) -> str | datetime:
    """`latest`, `earliest` or an ISO time; a time without a zone is UTC."""
    if isinstance(value, datetime):
        return _in_utc(value)
    text = value.strip() if isinstance(value, str) else ""
    if text.lower() in {"latest", "earliest"}:
        return text.lower()
    try:
        return _in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise Wrong("must be latest, earliest or a time", "Write a time as 2026-01-31T08:00:00Z.") from None


def has_zone(value: Any) -> bool:
    """Does a value that `start_position` took say its time zone, if it is a time at all?"""
    try:
        return not isinstance(value, str) or datetime.fromisoformat(value.strip()).tzinfo is not None
    except ValueError:
        return True


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def duration_text(seconds: float) -> str:
    """The shortest text that `Duration` reads as this many seconds."""
    if 0 < seconds < 1 or seconds != int(seconds):
        return f"{_decimal(seconds * 1000)}ms" if seconds < 1 else f"{_decimal(seconds)}s"
    whole = int(seconds)
    if whole and whole % 3600 == 0:
        return f"{whole // 3600}h"
    return f"{whole // 60}m" if whole % 60 == 0 and whole >= _SHORT_MINUTES else f"{whole}s"


def _decimal(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


def size_text(size: int) -> str:
    """The shortest text that `Size` reads as this many bytes."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
