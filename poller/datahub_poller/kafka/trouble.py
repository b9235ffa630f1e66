"""What the client cannot do at the moment, from the first sign of it until a question is answered again.

librdkafka tells when brokers go, not when they are back: that has to be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from datahub_poller.errors import Fatal
from datahub_poller.kafka.fatal import is_fatal, remedied
from datahub_poller.kafka.words import ALL_DOWN, REFUSED, plain, refuses

RECOVERY_CHECK_SECONDS: Final = 5.0


class Trouble:
    """`reason` is what is wrong, `refused` why somebody has to act; `tell` hears each change of the reason.

    `cause` may know better than the client why it is refused.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.reason: str | None = None
        self.refused: str | None = None
        self.tell: Callable[[str | None], None] = lambda _: None
        self.cause: Callable[[str], str] = lambda refusal: refusal
        self._clock = clock
        self._check_at = 0.0
        self._refusals: set[str | None] = set()
        self._heard: str | None = None

    def on_error(self, error: KafkaError) -> None:
        """From librdkafka, within poll: what it could not do in the background. Raises Fatal."""
        text = plain(error.str())
        if is_fatal(error):
            raise Fatal(f"Kafka client: {remedied(error)}")
        if refuses(error):
            text = self.refused = self.cause(text)
        if error.code() != ALL_DOWN:
            self.found(text)
        elif self.reason is None:  # it never says why
            self.found(self._heard or text)

    def heard(self, failure: str) -> None:
        """What the client has logged of a connection: that one was closed it tells in no other way."""
        self._heard = failure

    def found(self, reason: str) -> None:
        """Something does not work."""
        if self.reason is None:
            self._check_at = self._clock() + RECOVERY_CHECK_SECONDS
        if reason != self.reason:
            self.tell(reason)
        self.reason = reason

    def refuse(self, what: str | None, reason: str) -> None:
        """Reading this topic, or being in the group (`None`), is not allowed. It is said once, and asking is no use."""
        self._refusals.add(what)
        self.refused = reason
        self.found(reason)

    def assigned(self, topics: Collection[str]) -> None:
        """The group has let us in; what is still refused of these topics will be said anew."""
        self._refusals.difference_update((None, *topics))

    def look_for_recovery(
        self, consumer: Consumer, topics: Sequence[str], held: Collection[str], read: Collection[str]
    ) -> None:
        """Records are proof that all is well again, but for a refusal; without any, ask, briefly and not often.

        `held` are the topics with partitions that are ours, `read` those that records came from.
        """
        self._refusals.difference_update(read)
        if self.reason is None or not self._refusals.isdisjoint((None, *held)):
            return
        if (read and self.refused is None) or self._answered(consumer, topics):
            self.reason = self.refused = None
            self.tell(None)

    def _answered(self, consumer: Consumer, topics: Sequence[str]) -> bool:
        if self._clock() < self._check_at:
            return False
        self._check_at = self._clock() + RECOVERY_CHECK_SECONDS
        try:
            states = [consumer.list_topics(topic, timeout=1.0).topics[topic].error for topic in topics]
        except KafkaException:
            return False
        return not any(state is not None and state.code() in REFUSED for state in states)
