"""Dead letters in a Kafka topic: each is its record again, byte for byte, with everything known of it in headers.

It must not know Kafka's client, nor how a topic is written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from datahub_poller.deadletter.kafka_headers import Dialect, headers_of
from datahub_poller.deadletter.letter import Letter
from datahub_poller.errors import CannotStart, TooLarge, Transient
from datahub_poller.model import Message


class Sends(Protocol):
    """Of a producer, what letters need. It may be used from several threads at once."""

    @property
    def servers(self) -> str:
        """The cluster, for people."""

    def ask(self, topic: str, limit: float, *, keeps_all: bool = False) -> None:
        """Whether the topic can be written to, and keeps every record. Raises CannotStart, after `limit` seconds."""

    def send(self, messages: Sequence[Message]) -> None:
        """Return when all are acknowledged. Raises Transient, TooLarge."""

    def close(self) -> None:
        """End, within a few seconds."""


class KafkaSink:
    """A Sink of one topic, which must exist. `limit`: the seconds that `check` gives the brokers to answer."""

    def __init__(self, sends: Sends, topic: str, dialect: Dialect, limit: float) -> None:
        self._sends = sends
        self._topic = topic
        self._dialect = dialect
        self._limit = limit

    @property
    def place(self) -> str:
        """The topic and the cluster's addresses."""
        return f"topic {self._topic} on {self._sends.servers}"

    def check(self) -> None:
        """Whether the topic is there and may be written to."""
        try:
            self._sends.ask(self._topic, self._limit, keeps_all=True)
        except CannotStart as error:
            raise CannotStart(f"dead letters cannot be written to {self.place}: {error}") from None

    def write(self, letters: Sequence[Letter]) -> None:
        """Return when the brokers have all of them. What is too large for the topic goes with less about it."""
        short: set[int] = set()
        first = 0
        while True:
            messages = [self._message(letter, number in short) for number, letter in enumerate(letters)]
            try:
                self._sends.send(messages[first:])
            except TooLarge as error:
                refused = {first + number for number in error.which}
            except Transient as error:
                raise Transient(f"dead letters cannot be written: {error}") from None
            else:
                return
            if hopeless := sorted(refused & short):
                raise Transient(self._too_large(letters[hopeless[0]], messages[hopeless[0]]))
            short |= refused
            # What came behind it goes again too: a key's letters end up in their order.
            first = min(refused)

    def close(self) -> None:
        """End the producer."""
        self._sends.close()

    def _message(self, letter: Letter, short: bool) -> Message:
        # Its time is now: by the record's own, retention might take the letter at once.
        headers = headers_of(letter, self._dialect, short=short)
        return Message(self._topic, letter.record.key, letter.record.value, headers)

    def _too_large(self, letter: Letter, message: Message) -> str:
        headers = sum(len(name) + len(value or b"") for name, value in message.headers)
        size = len(message.key or b"") + len(message.value or b"") + headers
        return (
            f"the dead letter of {letter.record} is too large for {self.place}, even without its event: {size} bytes. "
            f"Raise the topic's max.message.bytes (its brokers' message.max.bytes where it has none of its own), "
            f"and, if it is set, message.max.bytes in dead_letter.config.producer_config"
        )
