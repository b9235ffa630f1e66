"""Where a partition without a committed offset begins, and how a group remembers when it first started.

Pure. `latest` does not mean the end of the log at the moment of an assignment: that would lose what came
between two of them. It means the group's first start, a time that every commit carries in its metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

_MARK = re.compile(r"\bdatahub-poller:start=(\d{1,15})\b")

StartAt = Literal["latest", "earliest"] | datetime


class Committed(NamedTuple):
    """What the group committed for a partition: the next offset to read, or `None`, and the metadata beside it."""

    offset: int | None
    metadata: str


class Earliest(NamedTuple):
    """Begin at the log's beginning."""


class Since(NamedTuple):
    """Begin at the first record with this time or a later one (milliseconds since the epoch), else at the end."""

    at: int


Beginning = Earliest | Since


def mark(start: int) -> str:
    """The commit metadata that keeps the group's first start, in milliseconds since the epoch."""
    return f"datahub-poller:start={start}"


def first_start(committed: Iterable[Committed]) -> int | None:
    """The group's first start on a topic, as the commits for its partitions tell it."""
    found = (_MARK.search(each.metadata) for each in committed if each.offset is not None)
    return min((int(match.group(1)) for match in found if match), default=None)


def beginning(start_at: StartAt, known: int | None, now: int) -> Beginning:
    """Where a partition without a committed offset begins.

    `known` is the group's first start on the topic, `None` if it never was there; `now` is when this member was started
    (wall clock, ms).
    """
    if isinstance(start_at, datetime):
        return Since(int(start_at.timestamp() * 1000))
    if start_at == "earliest":
        return Earliest()
    return Since(now if known is None else known)
