"""librdkafka's own log lines, made ours: named fields, and a line that repeats at most twice a minute.

A client that cannot connect says so many times a second. Knows nothing of what the lines mean.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Final

from datahub_poller.kafka.words import plain
from datahub_poller.observe.logs import Throttle, log_event

EVERY_SECONDS: Final = 30.0
_NUMBER: Final = re.compile(r"\d+")


class ClientLog:
    """What a Kafka client is given as its logger. `failure` hears why a connection failed."""

    def __init__(
        self, logger: logging.Logger, clock: Callable[[], float], failure: Callable[[str], None] = lambda _: None
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._failure = failure
        self._throttle = Throttle(EVERY_SECONDS)

    def log(self, level: int, _: str, facility: str, __: str, text: str) -> None:
        """Log one of librdkafka's lines; its form and the client's name say nothing that ours do not."""
        about = plain(text)
        if facility == "FAIL":
            self._failure(about)
        held = self._throttle.admit((facility, _NUMBER.sub("0", about)), self._clock())
        if held is not None:
            log_event(self._logger, level, "kafka client", facility=facility, about=about, held_back=held or None)
