"""Where a partition without a committed offset begins; how a group remembers its first start, and what it read.

Pure. `latest` does not mean the end of the log at the moment of an assignment: that would lose what came
between two of them. It means the group's first start, a time that every commit carries in its metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

_MARK = re.compile(r"\bdatahub-poller:start=(\d{1,15})\b(?: topic=([\w-]{22})(?![\w-]))?")

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


def mark(start: int, topic_id: str | None = None) -> str:
    """The commit metadata that keeps the group's first start, in ms since the epoch, and which topic was read."""
    return f"datahub-poller:start={start}" + ("" if topic_id is None else f" topic={topic_id}")


def topic_id_in(metadata: str) -> str:
    """The id of the topic that was read for a commit; empty where it does not tell."""
    found = _MARK.search(metadata)
    return "" if found is None or found[2] is None else found[2]


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
