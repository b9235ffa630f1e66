"""One librdkafka producer, used by several threads at once: who waits serves the delivery reports of all.

It must not know what is produced, nor what becomes of it when the client has failed for good.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as KafkaProducer

from datahub_poller.errors import CannotStart
from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.fatal import is_fatal
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.produce_settings import Settings
from datahub_poller.kafka.trouble import Trouble
from datahub_poller.kafka.words import plain, why
from datahub_poller.model import Message

TURN_SECONDS: Final = 0.02
"""As long as one thread serves before the next may."""


class Reports:
    """What was heard of the messages of one write, by their numbers: None where it is acknowledged."""

    def __init__(self) -> None:
        self.of: dict[int, KafkaError | None] = {}
        self.news = threading.Event()

    def callback(self, number: int) -> Callable[[KafkaError | None, object], None]:
        """What the client calls with the report of this message."""

        def reported(error: KafkaError | None, _: object) -> None:
            self.of[number] = error
            self.news.set()

        return reported


class Client:
    """`spoilt` says why it will never deliver again, if so. Raises CannotStart where the properties are no good.

    `trouble` knows what is wrong with the connections. With `oauth_cb`, making one takes a second, or ten.
    """

    def __init__(
        self, properties: Mapping[str, Any], settings: Settings, clock: Callable[[], float], logger: logging.Logger
    ) -> None:
        self.spoilt: str | None = None
        self.trouble = Trouble(clock)
        self.properties = dict(properties)
        self.log = ClientLog(logger, clock, self.trouble.heard)
        self._serving = threading.Lock()
        if (callback := properties.get("oauth_cb")) is not None:
            token = token_source(str(callback), properties, settings)
            self.properties["oauth_cb"] = token
            self.trouble.cause = token.why_refused
        config = {**self.properties, "error_cb": self._on_error}
        try:
            self.producer = KafkaProducer(config, logger=self.log)
        except (KafkaException, SystemError, ValueError, TypeError) as error:
            raise CannotStart(f"{settings.properties}: the Kafka client does not take it: {why(error)}") from error

    def produce(self, message: Message, reported: Callable[[KafkaError | None, object], None]) -> None:
        """Put it into the client's queue. Raises BufferError where that is full, KafkaException."""
        topic, key, value, headers = message
        self.producer.produce(topic, value, key, on_delivery=reported, headers=list(headers))

    def wait(self, reports: Reports) -> None:
        """Until there may be news: serve everybody's reports for a moment, or let another thread do it."""
        if not self._serving.acquire(blocking=False):
            reports.news.wait(TURN_SECONDS)
        else:
            try:
                self.producer.poll(TURN_SECONDS)
            except (KafkaException, SystemError) as error:
                # Reports that came in the same turn are lost with it: whoever waits goes by `spoilt`.
                self.spoil(why(error))
            finally:
                self._serving.release()
        reports.news.clear()

    def spoil(self, reason: str) -> None:
        """Nothing will be delivered any more; the first reason counts."""
        self.spoilt = self.spoilt or plain(reason)

    def end(self) -> None:
        """Forget what was not delivered. The client is gone with the last thread that uses it."""
        self.producer.purge()

    def _on_error(self, error: KafkaError) -> None:
        if is_fatal(error):
            self.spoil(error.str())
        else:
            self.trouble.on_error(error)


def token_source(name: str, properties: Mapping[str, Any], settings: Settings) -> TokenSource:
    """The user's function for tokens, asked for a first one. Raises CannotStart."""
    try:
        return TokenSource(name, str(properties.get("sasl.oauthbearer.config", "")))
    except CannotStart as error:
        raise CannotStart(settings.in_words(str(error))) from error
