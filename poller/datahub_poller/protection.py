"""When a task of ECS should be spared by scaling: while a batch is in work that a drain might not finish.

Pure. Short calls are none of its business: they end within the drain, and a task that is always protected could
never be taken away.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from datahub_poller.observe.status import PollerStatus

LONG_SECONDS: Final = 2.0
"""Work that takes longer is worth asking for protection."""
LEASE_SECONDS: Final = 600.0
"""How long the agent protects for each time it is asked: a poller that dies does not hold its task for long."""
RETRY_SECONDS: Final = 30.0


class Wish(NamedTuple):
    """What to tell the agent."""

    protected: bool


def at_work(status: PollerStatus, now: float, limit: float) -> bool:
    """Whether a partition has had a batch in flight for long, and not for longer than `limit` seconds."""
    return any(
        each.in_flight and each.moved is not None and LONG_SECONDS <= now - each.moved < limit
        for each in status.partitions
    )


class Protection:
    """What was told to the agent, and when it has to be told again. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._not_before = 0.0

    def wish(self, busy: bool, now: float) -> Wish | None:
        """What the agent should hear now, if anything."""
        if now < self._not_before:
            return None
        if busy and (self._until is None or self._until - now < LEASE_SECONDS / 2):
            return Wish(protected=True)
        if not busy and self._until is not None:
            return Wish(protected=False)
        return None

    def told(self, wish: Wish, now: float) -> None:
        """The agent did it."""
        self._until = now + LEASE_SECONDS if wish.protected else None

    def failed(self, now: float) -> None:
        """It did not: ask again later."""
        self._not_before = now + RETRY_SECONDS
