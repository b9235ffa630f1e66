"""Dead letters read back from their Kafka topic, and the ledger of them, which lies in the same topic.

It must not know Kafka's client, nor how a topic is read or written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, get_args

import orjson

from datahub_poller.deadletter.kafka import Sends
from datahub_poller.deadletter.kafka_headers import LEDGER, is_ledger, line_of
from datahub_poller.deadletter.plain_json import in_json
from datahub_poller.deadletter.store import Done, Mark, Stored
from datahub_poller.errors import Transient
from datahub_poller.model import Message, Record, TopicPartition

_VERSION: Final = b"1"
_ERROR_LIMIT: Final = 2_000


class Reads(Protocol):
    """Of a topic's log, what the store needs."""

    def records(self, begins: Mapping[TopicPartition, int]) -> Iterator[Record]:
        """Every record from `begins` on, as far as there are any now. Raises CannotStart."""


class KafkaStore:
    """A Store of one topic. Of the ledger, what one look has passed is not read again."""

    def __init__(self, reads: Reads, sends: Sends, topic: str) -> None:
        self._reads = reads
        self._sends = sends
        self._topic = topic
        self._marks: list[Mark] = []
        self._read_to: dict[TopicPartition, int] = {}

    @property
    def place(self) -> str:
        """The topic and the cluster's addresses."""
        return f"topic {self._topic} on {self._sends.servers}"

    @property
    def caution(self) -> str:
        """What cannot be done in a topic."""
        return "no letter can be deleted from a topic: what is dropped is marked so, and lies there until retention"

    def scan(self) -> Iterator[Stored]:
        """Every message that is not the ledger's; where one was not written by a poller, a line that is no letter."""
        for record in self._reads.records({}):
            self._passed(record)
            if not is_ledger(record.headers):
                yield Stored(line_of(record), str(record))

    def marks(self) -> Iterator[Mark]:
        """The ledger as it is now, by the time of its lines."""
        for record in self._reads.records(dict(self._read_to)):
            self._passed(record)
        yield from sorted(self._marks, key=lambda mark: mark.at)

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        """Add a message to the topic for each."""
        if not marks:
            return
        messages = [
            Message(self._topic, mark.letter.encode("utf-8", "replace"), _value(mark), ((LEDGER, _VERSION),))
            for _, mark in marks
        ]
        try:
            self._sends.send(messages)
        except Transient as error:
            raise Transient(f"what was done with dead letters cannot be written down: {error}") from None

    def remove(self, _: Sequence[Stored]) -> int:
        """Nothing can be."""
        return 0

    def close(self) -> None:
        """End the producer."""
        self._sends.close()

    def _passed(self, record: Record) -> None:
        """Take in what is a line of the ledger, each once, whatever is read how often."""
        if record.offset < self._read_to.get(record.tp, 0):
            return
        self._read_to[record.tp] = record.offset + 1
        if is_ledger(record.headers) and (mark := _mark(record.value)) is not None:
            self._marks.append(mark)


def _value(mark: Mark) -> bytes:
    return in_json(mark._replace(error=mark.error[:_ERROR_LIMIT])._asdict())


def _mark(value: bytes | None) -> Mark | None:
    """None for what nobody can read."""
    try:
        told = orjson.loads(value or b"")
        mark = Mark(**{name: told[name] for name in Mark._fields})
    except (ValueError, KeyError, TypeError):
        return None
    texts = (mark.action, mark.letter, mark.who, mark.run, mark.to, mark.error)
    numbers = type(mark.redrives) is int and isinstance(mark.at, int | float)
    known = mark.done in get_args(Done) and numbers and all(isinstance(text, str) for text in texts)
    return mark if known else None
