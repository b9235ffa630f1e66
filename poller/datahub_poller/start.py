"""Where a partition without a committed offset begins, and what a group's commits remember of its first start.

Pure. A beginning is a position, never a time of this machine's: producers' clocks may be off by hours. At the group's
first start on a topic, one member commits a position for every partition that exists (empty ones too). From then on a
partition without a commit did not exist at that moment, or lost its commit: it is read from its beginning.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

PATIENCE_SECONDS: Final = 30.0
"""How long a member waits for the owner of partition 0 to commit the group's start positions.

An owner that is another program (DataHub Actions, say) commits none."""
_MARK: Final = re.compile(
    r"\bdatahub-poller:partitions=(\d{1,9})\b(?: topic=([\w-]{22})(?![\w-]))?(?: known=([0-9a-f,]{8,}))?"
)

StartAt = Literal["latest", "earliest"] | datetime


class Committed(NamedTuple):
    """What the group committed for a partition: the next offset to read, or `None`, and the metadata beside it."""

    offset: int | None
    metadata: str


@dataclass(frozen=True, slots=True)
class Earliest:
    """Begin at the log's beginning."""


class Since(NamedTuple):
    """Begin at the first record with this time or a later one (milliseconds since the epoch), else at the end."""

    at: int


@dataclass(frozen=True, slots=True)
class End:
    """Begin at the log's end."""


Beginning = Earliest | Since | End


class Mark(NamedTuple):
    """What a commit of ours remembers. `partitions`: how many the topic had at the group's first start.

    `topic_id`: the topic that was read, empty where unknown. `known`: short names of the group's topics that had
    commits, or did not exist, when this was committed.
    """

    partitions: int
    topic_id: str = ""
    known: frozenset[str] = frozenset()


class Begin(NamedTuple):
    """Read these partitions from here. `why` says how that was decided."""

    partitions: tuple[int, ...]
    where: Beginning
    why: Literal["as configured", "new", "no commit"]


class Found(NamedTuple):
    """The group's first start on the topic: commit positions of these partitions, then read from them."""

    partitions: tuple[int, ...]
    where: Beginning


@dataclass(frozen=True, slots=True)
class Wait:
    """The owner of partition 0 is about to commit positions for all: look again soon."""


Decision = Begin | Found | Wait


class Topic(NamedTuple):
    """What is known of a topic. `mine` are the assigned partitions without a commit.

    `committed` has every partition that exists. `is_new`: the topic did not exist when the group began.
    `waited` is for how many seconds this member has waited for the owner of partition 0.
    """

    mine: Collection[int]
    committed: Mapping[int, Committed]
    is_new: bool
    waited: float


def decide(start_at: StartAt, topic: Topic) -> list[Decision]:
    """What to do about `topic.mine`, which together the decisions cover."""
    mine = tuple(sorted(topic.mine))
    if start_at == "earliest":
        return [Begin(mine, Earliest(), "as configured")]
    if all(each.offset is None for each in topic.committed.values()):
        return [_first_start(start_at, mine, topic)]
    existed = 0 if topic.is_new else partitions_at_first_start(topic.committed)
    new = tuple(number for number in mine if number >= existed)
    old = tuple(number for number in mine if number < existed)
    where = Earliest() if start_at == "latest" else configured(start_at)
    found = [Begin(new, Earliest(), "new")] if new else []
    return [*found, Begin(old, where, "no commit")] if old else [*found]


def _first_start(start_at: StartAt, mine: tuple[int, ...], topic: Topic) -> Decision:
    if topic.is_new:
        return Begin(mine, Earliest(), "new")
    # One member for all: partition 0 has one owner, and the group refuses the commit of one that was the owner before.
    if 0 in mine:
        return Found(tuple(sorted(topic.committed)), configured(start_at))
    return Found(mine, configured(start_at)) if topic.waited >= PATIENCE_SECONDS else Wait()


def configured(start_at: StartAt) -> Beginning:
    """Where the action file's `start` lets a group begin."""
    if isinstance(start_at, datetime):
        return Since(int(start_at.timestamp() * 1000))
    return Earliest() if start_at == "earliest" else End()


# -- what commits remember


def mark(about: Mark) -> str:
    """The commit metadata that keeps this."""
    topic = f" topic={about.topic_id}" if about.topic_id else ""
    known = f" known={','.join(sorted(about.known))}" if about.known else ""
    return f"datahub-poller:partitions={about.partitions}{topic}{known}"


def mark_in(metadata: str) -> Mark | None:
    """What a commit remembers; `None` where the metadata is not ours."""
    found = _MARK.search(metadata)
    if found is None:
        return None
    return Mark(int(found[1]), found[2] or "", frozenset(filter(None, (found[3] or "").split(","))))


def topic_id_in(metadata: str) -> str:
    """The id of the topic that was read for a commit; empty where it does not tell."""
    found = mark_in(metadata)
    return "" if found is None else found.topic_id


def partitions_at_first_start(committed: Mapping[int, Committed]) -> int:
    """How many partitions the topic had at the group's first start. All of today's where no commit remembers it."""
    marks = _marks(committed.values())
    return max((each.partitions for each in marks), default=max(committed, default=-1) + 1)


def known_topics(committed: Iterable[Committed]) -> frozenset[str]:
    """Short names of the topics that the group had begun to read, or waited for, when it made these commits."""
    return frozenset().union(*(each.known for each in _marks(committed)))


def short_name(topic: str) -> str:
    """A topic's name in eight characters: metadata is bounded, and goes with every commit."""
    return f"{zlib.crc32(topic.encode()):08x}"


def _marks(committed: Iterable[Committed]) -> list[Mark]:
    found = (mark_in(each.metadata) for each in committed if each.offset is not None)
    return [each for each in found if each is not None]
