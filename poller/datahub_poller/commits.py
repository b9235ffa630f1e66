"""Committing what is settled: one commit on its way at a time, judged when it is answered, tried again after a while.

The broker takes a live member's commit for a partition that another member owns; only the lease says whether an
answer, or an offset, is still ours.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

from datahub_poller.errors import Transient
from datahub_poller.lanes import Lane
from datahub_poller.ledger import Ledger
from datahub_poller.model import TopicPartition
from datahub_poller.observe.logs import log_event
from datahub_poller.parts import Lease
from datahub_poller.policy import wait
from datahub_poller.source import Source


class Commits:
    """`interval` in seconds; 0 commits in every step that settled something."""

    def __init__(self, source: Source, ledger: Ledger, interval: float, logger: logging.Logger) -> None:
        self.trouble: str | None = None
        self._source = source
        self._ledger = ledger
        self._interval = interval
        self._logger = logger
        self._sent: dict[TopicPartition, Lease] | None = None
        self._due = 0.0
        self._failures = 0
        self._refusal: str | None = None

    def soon(self) -> None:
        """Commit in the next step, whatever the interval: positions of new partitions are kept at once."""
        self._due = 0.0

    def step(self, now: float) -> None:
        """Send what is settled and not committed, unless a commit is on its way or it is too early."""
        if self._sent is not None or now < self._due:
            return
        lanes = _to_commit(self._ledger.lanes.values())
        if not lanes:
            self.trouble, self._failures = None, 0  # what could not be committed is others' now
            return
        self._sent = {lane.tp: lane.lease for lane in lanes}
        self._due = now + self._interval
        self._source.commit({lane.tp: lane.settled for lane in lanes})

    def answered(self, stored: Mapping[TopicPartition, int], error: str | None, now: float) -> None:
        """What became of the commit that was sent: one topic may be refused to us while others are not."""
        sent, self._sent = self._sent, None
        if stored or error is None:
            self._acknowledge(stored, {} if sent is None else sent)
        if error is None:
            self.trouble = None
            return
        self._failures += 1
        self._due = now + wait(self._failures, 1.0)
        self._ledger.counters["commits_failed"] += 1
        if self.trouble != error:
            log_event(self._logger, logging.DEBUG, "commit failed", reason=error)
        self.trouble = error

    def now(self, partitions: Collection[TopicPartition]) -> bool:
        """Commit what these have settled, and wait; whether nothing is left to commit.

        A refusal is logged, once for each reason in a row: unless it is tried again, what it held will come again.
        """
        lanes = [lane for tp in partitions if (lane := self._ledger.lanes.get(tp)) is not None]
        offsets = {lane.tp: lane.settled for lane in _to_commit(lanes)}
        if not offsets:
            return True
        try:
            self._source.commit_now(offsets)
        except Transient as error:
            self._ledger.counters["commits_failed"] += 1
            if self._refusal != str(error):
                held = [str(tp) for tp in offsets]
                log_event(self._logger, logging.WARNING, "last commit failed", reason=str(error), partitions=held)
            self._refusal = str(error)
            return False
        self._acknowledge(offsets, {lane.tp: lane.lease for lane in lanes})
        self.trouble = None
        return True

    def _acknowledge(self, offsets: Mapping[TopicPartition, int], leases: Mapping[TopicPartition, Lease]) -> None:
        self._ledger.counters["commits"] += 1
        self._failures = 0
        self._refusal = None
        for tp, offset in offsets.items():
            lane = self._ledger.lanes.get(tp)
            if lane is not None and lane.lease is leases.get(tp):
                before = lane.start if lane.committed is None else lane.committed
                self._ledger.counters["offsets_committed"] += max(0, offset - before)
                lane.committed, lane.renew = offset, False


def _to_commit(lanes: Iterable[Lane]) -> list[Lane]:
    """Those of which a commit is wanted: for what is settled, or to renew what is remembered beside the last one."""
    return [lane for lane in lanes if lane.renew or lane.committed != lane.settled]
