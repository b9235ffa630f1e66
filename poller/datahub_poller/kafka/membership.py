"""Whether the group has let this consumer in. An assignment says so; a member without partitions may get none.

Under KIP-848 the client reports nothing to a member that is assigned nothing, so the brokers are asked for the group's
members, by a client beside the consumer, and only until the answer is yes. Never waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.topic_ids import FAILURES, connection_of, made_aside

FIRST_SECONDS: Final = 5.0
"""How long an assignment is waited for before the brokers are asked."""
EVERY_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 5.0


class Membership:
    """`joined`: once true it stays so until the consumer joins anew."""

    def __init__(
        self, properties: Mapping[str, Any], group: str, clock: Callable[[], float], logger: logging.Logger
    ) -> None:
        self.joined = False
        self._properties = connection_of(properties)
        self._group = group
        self._clock = clock
        self._logger = logger
        self._due = float("inf")
        self._client: Future[AdminClient] | None = None
        self._asked: Future[Any] | None = None

    def joining(self) -> None:
        """The consumer asks to be let in."""
        self.joined = False
        self._due = self._clock() + FIRST_SECONDS

    def assigned(self) -> None:
        """The group has answered, be it with nothing."""
        self.joined = True
        self.close()

    def look(self, member_id: Callable[[], str | None]) -> None:
        """Take an answer that came, or ask if it is time."""
        if self.joined:
            return
        try:
            if self._asked is not None:
                self._take(member_id())
            elif self._clock() >= self._due:
                self._ask()
        except FAILURES:  # no right to describe the group, or no broker: it stays unknown
            self._asked = None
            self._due = self._clock() + EVERY_SECONDS

    def close(self) -> None:
        """End the client, if there is one."""
        self._due, self._asked, self._client = float("inf"), None, None

    def _ask(self) -> None:
        if self._client is None:
            self._client = made_aside(self._properties, ClientLog(self._logger, self._clock), "membership")
        if self._client.done():
            asked = self._client.result().describe_consumer_groups([self._group], request_timeout=REQUEST_SECONDS)
            self._asked = asked[self._group]

    def _take(self, member_id: str | None) -> None:
        assert self._asked is not None
        assert self._client is not None
        self._client.result().poll(0)
        if not self._asked.done():
            return
        asked, self._asked = self._asked, None
        self._due = self._clock() + EVERY_SECONDS
        if member_id is not None and any(each.member_id == member_id for each in asked.result().members):
            self.assigned()
