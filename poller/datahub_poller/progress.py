"""Since when each partition has not moved although there is something to do.

Pure. Looked at once for each snapshot, so that the hot path pays nothing for it. What makes a partition stand still
is in its state; here is only for how long it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from datahub_poller.lanes import Lane
from datahub_poller.model import TopicPartition
from datahub_poller.parts import Lease


class _Seen(NamedTuple):
    lease: Lease
    settled: int
    at: float


class Progress:
    """`patience` is how many seconds a partition may stand before it is called stuck. Times are monotonic seconds."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._seen: dict[TopicPartition, _Seen] = {}

    def look(self, lanes: Iterable[Lane], busy: Collection[TopicPartition], now: float) -> None:
        """These are the lanes now, and these of them have something to do. Lanes that are gone are forgotten."""
        self._seen = {lane.tp: self._one(lane, lane.tp in busy, now) for lane in lanes}

    def moved_at(self, tp: TopicPartition) -> float:
        """When it last moved, or had nothing to do, of a partition that was looked at."""
        return self._seen[tp].at

    def _one(self, lane: Lane, busy: bool, now: float) -> _Seen:
        before = self._seen.get(lane.tp)
        stands = busy and before is not None and before.lease is lane.lease and before.settled == lane.settled
        return before if stands and before is not None else _Seen(lane.lease, lane.settled, now)
