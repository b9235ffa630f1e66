"""How much may be read now, and of which partitions: no more than the next calls take, and than the buffer holds.

Pure. What is decoded sooner than it is needed costs memory, and time when it has left the processor's caches. Pausing
is kept for what stands still: a partition that is resumed may take the client a second to bring its next record.
"""

from __future__ import annotations

from collections.abc import Collection

from datahub_poller.batching import Limits
from datahub_poller.lanes import Lane
from datahub_poller.model import TopicPartition

FIRST_GUESS = 64 * 1024
FADING = 0.98
"""A record's size in bytes before one was seen, and how soon a large one is forgotten, record by record."""
PASSING_POLLS = 10
"""Over how many polls it is averaged how many of the records are events that pass."""
LEAST_PASSING = 0.01
LEAST_READ = 100
"""Records that are worth asking the client for, however small a batch is."""
SCHEMA_PATIENCE = 1.0
"""Seconds that everybody waits for a schema before its partitions are paused: usually it is here in milliseconds."""


class Appetite:
    """Remembers what the last polls brought. `calls` is how many invocations may run at once.

    `buffer` is in bytes; against it counts what a record is made of, and `overhead` for what it becomes in memory.
    """

    def __init__(self, buffer: int, overhead: int, limits: Limits, calls: int) -> None:
        self._buffer = buffer
        self._overhead = overhead
        self._limits = limits
        self._calls = calls
        self._usual: float = FIRST_GUESS
        self._passing = 1.0
        self._paused: frozenset[TopicPartition] = frozenset()

    def took(self, records: int, kept: int, largest: int) -> None:
        """A poll brought so many records, of which so many were not skipped; the largest one's bytes."""
        self._usual = max(1.0, largest, self._usual * FADING**records)
        self._passing += (kept / records - self._passing) / PASSING_POLLS

    def room(
        self, lanes: Collection[Lane], occupied: Collection[Lane], most: int, now: float, calling: bool, fetching: bool
    ) -> int:
        """How many records may be read at once, `most` at most; `calling`: no further invocation may start;
        `fetching`: a registry is being asked; `occupied`: the lanes that hold records.

        Not many more than the next calls take, and only one where all calls are on their way and the next ones could
        be made of what is here. For any one lane they are not to be too many.
        """
        next_up = [lane for lane in occupied if lane.goes_on]
        missing = self._limits.size * self._calls - sum(len(lane.pending) for lane in next_up)
        full = missing <= 0 or sum(lane.pending_bytes for lane in next_up) >= self._limits.bytes * self._calls
        if full and (calling or (fetching and any(_may_wait(lane, now) for lane in occupied))):
            return 1
        most = min(most, int(max(missing, LEAST_READ) / max(LEAST_PASSING, self._passing)))
        half = self._buffer // 2
        left = half - self.held_bytes(occupied)
        if left <= 0:
            share = half // max(1, len(lanes))
            left = min((share - self._weight(lane) for lane in lanes if lane.tp not in self._paused), default=0)
        return max(1, min(most, int(left / (self._usual + self._overhead))))

    def paused(
        self, lanes: Collection[Lane], occupied: Collection[Lane], now: float, fetching: bool
    ) -> frozenset[TopicPartition]:
        """Which partitions must bring nothing now.

        The first half of the buffer is for whoever comes first, so that one busy partition may use it; the second
        half is shared out, so that one that waits cannot take the room of the others. A lane that waits for a
        schema for longer than it takes to fetch one holds a batch at most, and so does one that a person paused.
        """
        half = self._buffer // 2
        share = half // max(1, len(lanes))
        total = self.held_bytes(occupied)
        # With room for all, a lane without records is paused only if it has been.
        self._paused = frozenset(
            lane.tp
            for lane in (lanes if total >= half or self._paused else occupied)
            if (lane.awaiting and len(lane.pending) >= self._limits.size and not (fetching and _may_wait(lane, now)))
            or (lane.paused is not None and len(lane.pending) >= self._limits.size)
            or total >= 2 * half
            or (total >= half and self._weight(lane) >= share)
            or (lane.tp in self._paused and 4 * total >= 3 * half and 2 * self._weight(lane) >= share)
        )
        return self._paused

    def held_bytes(self, lanes: Collection[Lane]) -> int:
        """What counts against the buffer: all entries, those in flight included."""
        return sum(map(self._weight, lanes))

    def holds_back(self, tp: TopicPartition) -> bool:
        """Whether it was among those paused last."""
        return tp in self._paused

    def _weight(self, lane: Lane) -> int:
        return lane.bytes + self._overhead * lane.records


def _may_wait(lane: Lane, now: float) -> bool:
    return lane.awaiting_since is not None and now < lane.awaiting_since + SCHEMA_PATIENCE
