"""The client's messages as records, with one object for each partition. Knows nothing of groups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from operator import methodcaller
from typing import Any, Final

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, Message

from datahub_poller.model import Headers, Record, TopicPartition
from datahub_poller.observe.logs import log_event

# Where a name is not UTF-8, confluent-kafka answers and raises at once; an ordinary call may overlook that and crash.
_HEADERS: Final = methodcaller("headers")
_RECORD: Final = tuple.__new__  # half the time of the class' own, for every record
_TIMESTAMP_TYPES: Final = {TIMESTAMP_CREATE_TIME: "CREATE_TIME", TIMESTAMP_LOG_APPEND_TIME: "LOG_APPEND_TIME"}


Refused = Callable[[Message, KafkaError], None]


class Records:
    """`logger` hears of headers that cannot be had."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._partitions: dict[tuple[str, int], TopicPartition] = {}

    def read(self, consumer: Consumer, limit: int, timeout: float, refused: Refused) -> list[Record]:
        """What the client has, up to `limit`; else the first that comes within `timeout` seconds, and what is with it.

        A message with an error is `refused`.
        """
        # Asked for several at once, the client waits for all of them or until the time is over.
        messages = consumer.consume(limit, 0.0)
        if not messages and timeout > 0.0:
            messages = consumer.consume(1, timeout)
            if messages and limit > 1:
                messages += consumer.consume(limit - 1, 0.0)
        return self._of(messages, refused)

    def _of(self, messages: Iterable[Message], refused: Refused) -> list[Record]:
        records: list[Record] = []
        partitions, types = self._partitions, _TIMESTAMP_TYPES
        # The client's stubs allow for messages that were never delivered, and for headers as they are produced.
        message: Any
        for message in messages:
            if (error := message.error()) is not None:
                refused(message, error)
                continue
            try:
                headers = _HEADERS(message)
            except (SystemError, UnicodeError):
                headers = self._without_headers(message)
            kind, timestamp = message.timestamp()
            where = message.topic(), message.partition()
            fields = (
                partitions.get(where) or self.tp(*where),
                message.offset(),
                timestamp,
                types.get(kind, "NOT_AVAILABLE"),
                message.key(),
                message.value(),
                tuple(headers) if headers else (),
            )
            records.append(_RECORD(Record, fields))
        return records

    def tp(self, topic: str, partition: int) -> TopicPartition:
        """The same object each time."""
        found = self._partitions.get((topic, partition))
        if found is None:
            found = self._partitions[topic, partition] = TopicPartition(topic, partition)
        return found

    def _without_headers(self, message: Any) -> Headers:
        where = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
        log_event(self._logger, logging.WARNING, "record goes on without its headers: a name is no text", **where)
        return ()
