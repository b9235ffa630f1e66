"""The client's messages as records, with one object for each partition. Knows nothing of errors and groups."""

from __future__ import annotations

import logging
from operator import methodcaller
from typing import Any, Final

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message

from datahub_poller.model import Headers, Record, TopicPartition
from datahub_poller.observe.logs import log_event

# Where a name is not UTF-8, confluent-kafka answers and raises at once; an ordinary call may overlook that and crash.
_HEADERS: Final = methodcaller("headers")
_RECORD: Final = tuple.__new__  # half the time of the class' own, for every record
_TIMESTAMP_TYPES: Final = {TIMESTAMP_CREATE_TIME: "CREATE_TIME", TIMESTAMP_LOG_APPEND_TIME: "LOG_APPEND_TIME"}


class Records:
    """`logger` hears of headers that cannot be had."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._partitions: dict[tuple[str, int], TopicPartition] = {}

    def of(self, message: Message) -> Record:
        """The record that a message without an error is."""
        # The client's stubs allow for messages that were never delivered, and for headers as they are produced.
        of: Any = message
        kind, timestamp = of.timestamp()
        where = of.topic(), of.partition()
        return _RECORD(
            Record,
            (
                self._partitions.get(where) or self.tp(*where),
                of.offset(),
                timestamp,
                _TIMESTAMP_TYPES.get(kind, "NOT_AVAILABLE"),
                of.key(),
                of.value(),
                self._headers(of),
            ),
        )

    def tp(self, topic: str, partition: int) -> TopicPartition:
        """The same object each time."""
        found = self._partitions.get((topic, partition))
        if found is None:
            found = self._partitions[topic, partition] = TopicPartition(topic, partition)
        return found

    def _headers(self, message: Any) -> Headers:
        try:
            headers = _HEADERS(message)
        except (SystemError, UnicodeError):
            where = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
            log_event(self._logger, logging.WARNING, "record goes on without its headers: a name is no text", **where)
            return ()
        return tuple(headers) if headers else ()
