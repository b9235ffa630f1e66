"""Writes messages to topics, and returns when every in-sync replica has them; several threads may write at once.

One idempotent librdkafka producer is behind it, made when it is first needed and anew when it has failed for good.
It must not know what a message means.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from datahub_poller.errors import CannotStart, TooLarge, Transient
from datahub_poller.kafka.fatal import is_fatal
from datahub_poller.kafka.produce_client import Client, Reports
from datahub_poller.kafka.produce_reach import WriteReach
from datahub_poller.kafka.produce_settings import Settings
from datahub_poller.kafka.produce_words import failure, in_the_way, spoilt
from datahub_poller.kafka.words import why
from datahub_poller.model import Message

SHARE_OF_THE_TIMEOUT: Final = 0.8
"""The client gives up a message before we do, so that nothing of a failed write comes much later, out of order."""
SLOW: Final = "the brokers are slow, or its queue is full"
CLOSED: Final = "the producer is closed"
ASK_SECONDS: Final = 1.0
SHORTEST_ASK_SECONDS: Final = 0.1


class Producer:
    """`properties` are librdkafka's, oauth_cb as `module:function`; `timeout` is in seconds, for one `send`."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        timeout: float,
        clock: Callable[[], float],
        logger: logging.Logger,
        settings: Settings = Settings(),  # noqa: B008 - a value
    ) -> None:
        own = {"message.timeout.ms": str(max(1, int(timeout * SHARE_OF_THE_TIMEOUT * 1000)))}
        self._properties = {**properties, **own}
        self._timeout = timeout
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._making = threading.Lock()
        self._client: Client | None = None
        self._closed = False

    @property
    def servers(self) -> str:
        """The cluster, for people."""
        return str(self._properties.get("bootstrap.servers"))

    def ask(self, topic: str, limit: float, *, keeps_all: bool = False) -> None:
        """Whether the topic can be written to. Raises CannotStart, after `limit` seconds at the latest or little more.

        A topic that does not exist is not made. With `keeps_all` one that is compacted is refused.
        """
        WriteReach(self._made(), self.servers, self._settings, self._clock).ask(topic, limit, keeps_all=keeps_all)

    def send(self, messages: Sequence[Message]) -> None:
        """Return when all are acknowledged. Raises Transient, or TooLarge where that is all that is wrong.

        Those of one key come in their order. After an error some may be there all the same.
        """
        deadline = self._clock() + self._timeout
        try:
            client = self._made()
        except CannotStart as error:
            raise Transient(str(error)) from None
        reports = Reports()
        full = self._enqueue(client, reports, messages, deadline)
        while client.spoilt is None and len(reports.of) < len(messages) - full and self._clock() < deadline:
            client.wait(reports)
        if client.spoilt is not None:
            client.end()
        self._judge(client, reports, messages, deadline)

    def close(self) -> None:
        """End, at once: what is still being written fails."""
        with self._making:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.spoil(CLOSED)
            client.end()

    # -- the client

    def _made(self) -> Client:
        with self._making:
            if self._closed:
                raise CannotStart(CLOSED)
            if self._client is None or self._client.spoilt is not None:
                self._client = Client(self._properties, self._settings, self._clock, self._logger)
            return self._client

    # -- one write

    def _enqueue(self, client: Client, reports: Reports, messages: Sequence[Message], deadline: float) -> int:
        """How many were not taken, because the queue is full or the client has failed."""
        for number, message in enumerate(messages):
            while not self._taken(client, reports, number, message, deadline):
                if client.spoilt is not None or self._clock() >= deadline:
                    return len(messages) - number
                client.wait(reports)
        return 0

    def _taken(self, client: Client, reports: Reports, number: int, message: Message, deadline: float) -> bool:
        """False: there is no room for it now. What is refused at once is reported at once."""
        for last in (False, True):
            try:
                client.produce(message, reports.callback(number))
            except BufferError:
                return False
            except KafkaException as error:
                code = error.args[0].code()
                if is_fatal(error.args[0]):
                    client.spoil(why(error))
                    return False
                if not last and code != KafkaError.MSG_SIZE_TOO_LARGE:
                    self._look_again(client, message.topic, deadline)
                    continue
                reports.of[number] = error.args[0]
            break
        return True

    def _look_again(self, client: Client, topic: str, deadline: float) -> None:
        """The client goes by what it was last told of a topic: a refusal may be over."""
        try:
            client.producer.list_topics(topic, timeout=self._patience(deadline))
        except KafkaException:
            return

    def _judge(self, client: Client, reports: Reports, messages: Sequence[Message], deadline: float) -> None:
        heard = dict(reports.of)
        failed = {number: error for number, error in heard.items() if error is not None}
        if (fatal := next(filter(is_fatal, failed.values()), None)) is not None:
            client.spoil(fatal.str())
        if not failed and len(heard) == len(messages):
            client.trouble.reason = client.trouble.refused = None
            return
        large = tuple(sorted(n for n, error in failed.items() if error.code() == KafkaError.MSG_SIZE_TOO_LARGE))
        if large and len(large) == len(failed) and len(heard) == len(messages):
            topic = messages[large[0]].topic
            what = f"{len(large)} of {len(messages)} messages are larger than its max.message.bytes"
            raise TooLarge(f"topic {topic} on {self.servers}: {what}", large)
        raise Transient(self._words(client, failed, heard.keys(), messages, deadline))

    def _words(
        self,
        client: Client,
        failed: Mapping[int, KafkaError],
        heard: Collection[int],
        messages: Sequence[Message],
        deadline: float,
    ) -> str:
        first = next((n for n in sorted(failed) if failed[n].code() != KafkaError.MSG_SIZE_TOO_LARGE), None)
        if client.spoilt is not None:
            first = 0 if first is None else first
            reason = CLOSED if self._closed else spoilt(client.spoilt)
        elif first is not None:
            reason = failure(client, messages[first].topic, failed[first], self._patience(deadline))
        else:
            first = next(n for n in range(len(messages)) if n not in heard)
            known = in_the_way(client, messages[first].topic, self._patience(deadline))
            reason = f"not acknowledged within {self._timeout:g} s: {known or SLOW}"
        return f"topic {messages[first].topic} on {self.servers}: {reason}"

    def _patience(self, deadline: float) -> float:
        return max(SHORTEST_ASK_SECONDS, min(ASK_SECONDS, deadline - self._clock()))
