"""A member of a consumer group that a test drives turn by turn, around any `Source`.

It keeps what it was told and given, and does of the loop's duties only this one: where a partition has no
committed offset, it commits the start at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from datahub_poller.model import Record, TopicPartition
from datahub_poller.source import Source, Start


class Call(NamedTuple):
    """One call of the listener, in order. `about` is partitions, or for the others what was told."""

    name: str
    about: Any


class Answer(NamedTuple):
    """A commit's answer."""

    offsets: dict[TopicPartition, int]
    error: str | None


class Member:
    """`Listener` and driver in one. `on_revoke` and `on_gap` replace what it does then."""

    def __init__(
        self,
        source: Source,
        topics: Sequence[str],
        on_revoke: Callable[[Member, list[TopicPartition]], None] | None = None,
        on_gap: Callable[[TopicPartition, int, int], int] | None = None,
    ) -> None:
        self.source = source
        self.calls: list[Call] = []
        self.records: list[Record] = []
        self.starts: dict[TopicPartition, Start] = {}
        self.owned: set[TopicPartition] = set()
        self.answers: list[Answer] = []
        self.troubles: list[str | None] = []
        self._on_revoke = on_revoke
        self._on_gap = on_gap
        self._first: dict[TopicPartition, int] = {}
        self._committing = False
        source.subscribe(topics, self)

    # -- Listener

    def assigned(self, starts: Mapping[TopicPartition, Start]) -> None:
        self.calls.append(Call("assigned", set(starts)))
        self.owned |= set(starts)
        self.starts |= {tp: start._replace(renew=False) for tp, start in starts.items()}
        self._first |= {tp: start.offset for tp, start in starts.items() if start.committed is None or start.renew}

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        gone = list(partitions)
        self.calls.append(Call("revoked", set(gone)))
        if self._on_revoke is not None:
            self._on_revoke(self, gone)
        self._forget(gone)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self.calls.append(Call("lost", set(partitions)))
        self._forget(partitions)

    def committed(self, offsets: Mapping[TopicPartition, int], error: str | None) -> None:
        self._committing = False
        self.answers.append(Answer(dict(offsets), error))

    def gap(self, tp: TopicPartition, low: int, high: int, new_topic: bool = False) -> int:
        self.calls.append(Call("made anew" if new_topic else "gap", (tp, low, high)))
        return low if self._on_gap is None else self._on_gap(tp, low, high)

    def trouble(self, reason: str | None) -> None:
        self.troubles.append(reason)

    # -- driving

    def turn(self, limit: int = 500, timeout: float = 0.02) -> list[Record]:
        """One poll; gives what it brought."""
        came = self.source.poll(limit, timeout)
        self.records += came
        if self._first and not self._committing:
            self.commit(self._first)
            self._first = {}
        return came

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Without waiting; one at a time, as the loop does."""
        assert not self._committing
        self._committing = True
        self.source.commit(offsets)

    @property
    def settled(self) -> bool:
        """No commit is on its way or waits to be."""
        return not self._committing and not self._first

    def of(self, tp: TopicPartition) -> list[Record]:
        """What was delivered of a partition."""
        return [record for record in self.records if record.tp == tp]

    def offsets(self, tp: TopicPartition) -> list[int]:
        """The offsets that were delivered of a partition, in the order of delivery."""
        return [record.offset for record in self.of(tp)]

    def told(self, name: str) -> list[Any]:
        """What the listener's calls of this name were about."""
        return [call.about for call in self.calls if call.name == name]

    def __repr__(self) -> str:
        return f"<Member owning {sorted(map(str, self.owned))}, {len(self.records)} records, {self.calls[-6:]}>"

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        self.owned -= set(partitions)
        for tp in partitions:
            self._first.pop(tp, None)


def until(condition: Callable[[], bool], *members: Member, patience: float = 40.0) -> None:
    """Drive the members in turn until the condition holds; AssertionError with what they saw when it never does."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience:.0f} s: {members}, troubles {[m.troubles for m in members]}")
        for member in members:
            member.turn()


def drive(seconds: float, *members: Member) -> None:
    """Drive the members for a while in which something must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for member in members:
            member.turn()
