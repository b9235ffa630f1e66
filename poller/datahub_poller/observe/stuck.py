"""Tells the log of partitions that are stuck, once for each time that they are, and shows all stacks the first time.

It must not know what makes them so: that is in their state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from datahub_poller.observe.logs import log_event
from datahub_poller.observe.status import PollerStatus


class StuckWatch:
    """Looks at each snapshot. `stacks` gives the stacks of all threads; it is called once in a process' life."""

    def __init__(self, logger: logging.Logger, stacks: Callable[[], str]) -> None:
        self._logger = logger
        self._stacks = stacks
        self._told: frozenset[tuple[str, int]] = frozenset()
        self._dumped = False

    def look(self, status: PollerStatus, now: float) -> None:
        """Tell what is newly stuck, or goes on."""
        stuck = {(each.topic, each.partition): each for each in status.partitions if each.stuck}
        for name in sorted(stuck.keys() - self._told):
            each = stuck[name]
            log_event(
                self._logger,
                logging.ERROR,
                "partition is stuck",
                topic=each.topic,
                partition=each.partition,
                settled=each.settled,
                lag=each.lag,
                seconds=round(now - (now if each.moved is None else each.moved)),
                state=each.state,
                reason=each.reason or None,
                last_error=each.last_error,
            )
        owned = {(each.topic, each.partition) for each in status.partitions}
        for topic, partition in sorted((self._told - stuck.keys()) & owned):
            log_event(self._logger, logging.INFO, "partition goes on", topic=topic, partition=partition)
        self._told = frozenset(stuck)
        if stuck:
            self.dump()

    def silent(self, seconds: float | None) -> None:
        """The loop itself has not turned for so long."""
        about = None if seconds is None else round(seconds)
        log_event(self._logger, logging.ERROR, "the loop does not turn", seconds=about)
        self.dump()

    def turns_again(self) -> None:
        """What was told by `silent` is over."""
        log_event(self._logger, logging.INFO, "the loop turns again")

    def dump(self) -> None:
        """Show what every thread is doing, the first time."""
        if not self._dumped:
            self._dumped = True
            log_event(self._logger, logging.ERROR, "stacks of all threads", stacks=self._stacks())
