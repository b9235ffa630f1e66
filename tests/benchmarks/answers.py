"""What measured processes say of themselves, and what several of them say together.

Pure: no sockets. The meter's side of it is `drivers/meter.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self


class Moment(NamedTuple):
    """A monotonic time, and the CPU seconds used until then, by the process and by the broker."""

    time: float
    cpu: float
    broker: float | None = None


class Answer(NamedTuple):
    """`first` is when the first event came, None before. Memory is in MB; `commits` is None where nobody counts."""

    now: Moment
    first: Moment | None
    rss: float
    peak: float
    events: int
    calls: int
    commits: int | None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """One process's, from its JSON."""
        first = said["first"]
        return cls(
            now=Moment(**said["now"]),
            first=None if first is None else Moment(**first),
            **{name: said[name] for name in ("rss", "peak", "events", "calls", "commits")},
        )


def together(answers: Sequence[Answer]) -> Answer:
    """As if they were one process: sums, the time of the last answer, the first event of the earliest."""
    firsts = [each.first for each in answers if each.first is not None]
    last = max((each.now for each in answers), key=lambda now: now.time)
    commits = [each.commits for each in answers if each.commits is not None]
    return Answer(
        now=last._replace(cpu=sum(each.now.cpu for each in answers)),
        first=min(firsts, key=lambda first: first.time, default=None),
        rss=sum(each.rss for each in answers),
        peak=sum(each.peak for each in answers),
        events=sum(each.events for each in answers),
        calls=sum(each.calls for each in answers),
        commits=sum(commits) if commits else None,
    )
