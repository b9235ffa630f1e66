"""Puts records into a topic as they were, with a header that says that they come again.

It must not know what is written down about it, nor the Kafka client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from datahub_poller.deadletter.redriven import HEADER, header
from datahub_poller.deadletter.store import Done
from datahub_poller.model import Message
from datahub_poller.redrive.copying import Ready
from datahub_poller.redrive.planning import NO_RECORD, Case
from datahub_poller.redrive.transform import Left


class Sends(Protocol):
    """Of a `Producer`, what is needed here."""

    def send(self, messages: Sequence[Message]) -> None:
        """Raises Transient unless all are acknowledged, TooLarge where all are but those."""


class Topic:
    """Produces the original key, value and headers. An older redrive's header goes: ours counts that one too."""

    done: Done = "produced"

    def __init__(self, producer: Sends, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    def ready(self, case: Case) -> Ready | Left:
        """The letter, if it has a record."""
        return Left(NO_RECORD) if case.letter.foreign else Ready(case.letter, None)

    def put(self, batch: Sequence[Ready]) -> None:
        """Raises Transient."""
        self._producer.send([self._message(each) for each in batch])

    def _message(self, ready: Ready) -> Message:
        record = ready.letter.record()
        headers = [each for each in record.headers if each[0] != HEADER]
        return Message(self._topic, record.key, record.value, (*headers, (HEADER, header(ready.letter.document))))
