"""What the client cannot do at the moment, from the first sign of it until a question is answered again.

librdkafka tells when brokers go, not when they are back: that has to be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from datahub_poller.errors import Fatal
from datahub_poller.kafka.words import ALL_DOWN, REFUSED, plain

RECOVERY_CHECK_SECONDS: Final = 5.0


class Trouble:
    """`reason` is what is wrong, `refused` why somebody has to act; `tell` hears each change of the reason."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.reason: str | None = None
        self.refused: str | None = None
        self.tell: Callable[[str | None], None] = lambda _: None
        self._clock = clock
        self._check_at = 0.0

    def on_error(self, error: KafkaError) -> None:
        """From librdkafka, within poll: what it could not do in the background. Raises Fatal."""
        text = plain(error.str())
        if error.fatal():
            raise Fatal(f"Kafka client: {text}")
        if error.code() in REFUSED:
            self.refused = text
        if error.code() != ALL_DOWN or self.reason is None:  # it never says why
            self.found(text)

    def found(self, reason: str) -> None:
        """Something does not work."""
        if self.reason is None:
            self._check_at = self._clock() + RECOVERY_CHECK_SECONDS
        if reason != self.reason:
            self.tell(reason)
        self.reason = reason

    def look_for_recovery(self, consumer: Consumer, topic: str, records: bool) -> None:
        """Records are proof that all is well again; without any, ask, briefly and not often."""
        if self.reason is None or not (records or self._answered(consumer, topic)):
            return
        self.reason = self.refused = None
        self.tell(None)

    def _answered(self, consumer: Consumer, topic: str) -> bool:
        if self._clock() < self._check_at:
            return False
        self._check_at = self._clock() + RECOVERY_CHECK_SECONDS
        try:
            state = consumer.list_topics(topic, timeout=1.0).topics[topic].error
        except KafkaException:
            return False
        return state is None or state.code() not in REFUSED
