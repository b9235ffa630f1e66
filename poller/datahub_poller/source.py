"""Where records come from: what the loop asks of a source, and what a source tells its listener.

One thread only. A source knows nothing of lanes; it never decides what may be committed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from datahub_poller.model import Record, TopicPartition


class Start(NamedTuple):
    """Where reading a partition begins, and what the group had committed for it, if anything.

    `renew`: commit it again although nothing has moved: what is remembered beside it is out of date.
    """

    offset: int
    committed: int | None
    renew: bool = False


class Listener(Protocol):
    """Called from within `Source.poll`, on the same thread."""

    def assigned(self, starts: Mapping[TopicPartition, Start]) -> None:
        """These partitions are ours now."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """These are about to go to others; committing for them is still allowed until this returns."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """These are others' already; nothing may be committed for them."""

    def committed(self, stored: Mapping[TopicPartition, int], error: str | None) -> None:
        """A commit was answered: what of it is stored, and the reason why the rest is not and is to be tried again."""

    def gap(self, tp: TopicPartition, low: int, high: int, new_topic: bool = False) -> int:
        """The position is outside of the log, which now holds `low` to `high`. Returns where to go on, or raises.

        `new_topic`: or it is one of a topic that was deleted; the log is that of another one with its name.
        """

    def trouble(self, reason: str | None) -> None:
        """The source cannot do its work for this reason; `None`: it can again."""


class Source(Protocol):
    """A consumer in a group. It begins where the group's commits say, never where a default says."""

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        """Join the group."""

    def poll(self, limit: int, timeout: float) -> list[Record]:
        """Up to `limit` records, waiting at most `timeout` seconds; those of a partition in offset order."""

    def set_paused(self, partitions: frozenset[TopicPartition]) -> None:
        """Deliver nothing of exactly these."""

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The next offset to be read, past control records and what was compacted away."""

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The log's ends, as far as known without asking."""

    @property
    def joined(self) -> bool:
        """Whether the group has let this member in, be it without partitions."""

    @property
    def missing(self) -> frozenset[str]:
        """The subscribed topics that do not exist, as far as known without asking."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit without waiting; the answer comes to `Listener.committed`. One at a time."""

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit and wait for the answer. Raises `Transient`."""

    def close(self) -> None:
        """Leave the group (a static member stays in it) and end."""
