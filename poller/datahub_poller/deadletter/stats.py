"""Dead letters counted: by error and stage, over time, by what they are about. Pure.

Takes one letter after the other and keeps none. It must not know how the figures are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from datahub_poller.deadletter.choice import State
from datahub_poller.deadletter.found import Found

By = Literal["hour", "day"]
SECONDS: Final[dict[By, int]] = {"hour": 3_600, "day": 86_400}
HOURLY_UP_TO: Final = 48 * 3_600
"""A span up to this is counted by the hour where nothing else is asked for."""

_HOUR = SECONDS["hour"]


class Bucket(NamedTuple):
    """A span that begins at `start` (epoch seconds, UTC's hour or day), and how many letters were given up in it."""

    start: int
    letters: int


@dataclass(slots=True)
class Group:
    """Letters of one error class that failed in one stage. `first` and `last` are epoch seconds."""

    kind: str
    stage: str
    count: int = 0
    first: float | None = None
    last: float | None = None
    topics: set[str] = field(default_factory=set)
    hours: Counter[int] = field(default_factory=Counter)
    example: str = ""

    def add(self, letter: Found) -> None:
        """One more. The message of the last given up is the example."""
        self.count += 1
        if letter.tp is not None:
            self.topics.add(letter.tp.topic)
        if letter.at is None:
            self.example = self.example or letter.message
            return
        self.hours[int(letter.at // _HOUR)] += 1
        self.first = letter.at if self.first is None else min(self.first, letter.at)
        if self.last is None or letter.at >= self.last:
            self.last = letter.at
            self.example = letter.message


class Figures:
    """What was counted: `groups`, the largest first; `stages`, `states`, `entities` and `aspects`."""

    def __init__(self) -> None:
        self.count = 0
        self.stages: Counter[str] = Counter()
        self.states: Counter[State] = Counter()
        self.entities: Counter[str] = Counter()
        self.aspects: Counter[str] = Counter()
        self._groups: dict[tuple[str, str], Group] = {}

    def add(self, letter: Found, state: State) -> None:
        """Count one letter."""
        self.count += 1
        self.stages[letter.stage] += 1
        self.states[state] += 1
        if letter.entity is not None:
            self.entities[letter.entity] += 1
        if letter.aspect is not None:
            self.aspects[letter.aspect] += 1
        name = letter.kind, letter.stage
        if name not in self._groups:
            self._groups[name] = Group(*name)
        self._groups[name].add(letter)

    @property
    def groups(self) -> list[Group]:
        """The largest first; among equals the latest."""
        return sorted(
            self._groups.values(), key=lambda group: (-group.count, -(group.last or 0.0), group.kind, group.stage)
        )

    @property
    def timeless(self) -> int:
        """How many hold no time, and are in no bucket."""
        return self.count - sum(sum(group.hours.values()) for group in self._groups.values())

    def usual(self) -> By:
        """The buckets that fit the span."""
        hours = [hour for group in self._groups.values() for hour in group.hours]
        return "hour" if not hours or (max(hours) - min(hours)) * _HOUR < HOURLY_UP_TO else "day"

    def starts(self, by: By, most: int) -> range:
        """Where the buckets begin, empty ones between included: the last `most` of them."""
        size = SECONDS[by]
        starts = [hour * _HOUR // size * size for group in self._groups.values() for hour in group.hours]
        if not starts:
            return range(0)
        end = max(starts) + size
        return range(max(min(starts), end - most * size), end, size)

    def over_time(self, starts: range) -> list[Bucket]:
        """All letters, in these buckets."""
        return in_buckets(list(self._groups.values()), starts)


def in_buckets(groups: Sequence[Group], starts: range) -> list[Bucket]:
    """The groups' letters in the buckets that begin there; what lies outside of all is not counted."""
    found: Counter[int] = Counter()
    for group in groups:
        for hour, count in group.hours.items():
            found[hour * _HOUR // starts.step * starts.step] += count
    return [Bucket(start, found[start]) for start in starts]
