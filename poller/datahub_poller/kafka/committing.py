"""Sending commits, with the group's first start in their metadata, and reading the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import Transient
from datahub_poller.kafka.words import NO_OFFSET, real, why
from datahub_poller.model import TopicPartition
from datahub_poller.start import mark

Answer = Callable[[Mapping[TopicPartition, int], str | None], None]


class Committing:
    """One asynchronous commit at a time. `first_starts` is by topic, and may grow; `answer` hears what became of it."""

    def __init__(self, first_starts: Mapping[str, int]) -> None:
        self.answer: Answer = lambda _, __: None
        self._first_starts = first_starts
        self._sent: dict[TopicPartition, int] | None = None

    def send(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit without waiting."""
        assert self._sent is None
        self._sent = dict(offsets)
        try:
            consumer.commit(offsets=self._marked(offsets), asynchronous=True)
        except KafkaException as error:
            self._answered(why(error))

    def send_and_wait(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit and wait, as long as librdkafka does. Raises Transient."""
        try:
            answered = consumer.commit(offsets=self._marked(offsets), asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != NO_OFFSET:
                raise Transient(why(error)) from error
            return
        if (found := real([each.error for each in answered])) is not None:
            raise Transient(found.str())

    def on_commit(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        """From librdkafka, within poll. Each partition has an answer of its own, unless there was none at all."""
        refused = {(each.topic, each.partition): found for each in partitions if (found := real([each.error]))}
        whole = real([error])
        if whole is not None:
            self._answered(whole.str(), lambda _: False)
        elif refused:
            self._answered(next(iter(refused.values())).str(), lambda tp: tp not in refused)
        else:
            self._answered(None, lambda _: True)

    def _answered(self, error: str | None, stored: Callable[[TopicPartition], bool] = lambda _: False) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:  # a commit that was waited for is answered here as well
            self.answer({tp: offset for tp, offset in sent.items() if stored(tp)}, error)

    def _marked(self, offsets: Mapping[TopicPartition, int]) -> list[KafkaPartition]:
        first = self._first_starts
        return [
            KafkaPartition(tp.topic, tp.partition, offset, metadata=mark(first[tp.topic]) if tp.topic in first else "")
            for tp, offset in offsets.items()
        ]
