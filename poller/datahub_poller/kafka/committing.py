"""Sending commits, with what is remembered of the group's first start in their metadata, and reading the answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import Transient
from datahub_poller.kafka.memory import Memory
from datahub_poller.kafka.words import NO_OFFSET, group_refused, real, topic_refused, why
from datahub_poller.model import TopicPartition

Answer = Callable[[Mapping[TopicPartition, int], str | None], None]


class Committing:
    """One asynchronous commit at a time. `answer` hears what became of it."""

    def __init__(self, group: str, memory: Memory) -> None:
        self.answer: Answer = lambda _, __: None
        self._group = group
        self._memory = memory
        self._sent: dict[TopicPartition, int] | None = None

    def send(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit without waiting."""
        assert self._sent is None
        self._sent = dict(offsets)
        try:
            consumer.commit(offsets=self._marked(offsets), asynchronous=True)
        except KafkaException as error:
            self._answered(self._said(error, offsets))

    def send_and_wait(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit and wait, as long as librdkafka does. Raises Transient."""
        self._send_and_wait(consumer, self._marked(offsets), offsets)

    def begin_group(self, consumer: Consumer, offsets: Mapping[TopicPartition, int], topic_id: str) -> None:
        """Commit where the group begins on a topic, of partitions that others may own too. Raises Transient.

        One request: the broker stores all of it or nothing.
        """
        self._send_and_wait(consumer, self._marked(offsets, topic_id), offsets)

    def _send_and_wait(
        self, consumer: Consumer, marked: list[KafkaPartition], offsets: Collection[TopicPartition]
    ) -> None:
        try:
            answered = consumer.commit(offsets=marked, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != NO_OFFSET:
                raise Transient(self._said(error, offsets)) from error
            return
        for each in answered:
            if (found := real([each.error])) is not None:
                raise Transient(self._why(found, each.topic))

    def on_commit(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        """From librdkafka, within poll. Each partition has an answer of its own, unless there was none at all."""
        refused = {
            TopicPartition(each.topic, each.partition): found for each in partitions if (found := real([each.error]))
        }
        whole = real([error])
        if whole is not None:
            self._answered(self._why(whole, _only_topic(refused)), lambda _: False)
        elif refused:
            tp, found = next(iter(refused.items()))
            self._answered(self._why(found, tp.topic), lambda tp: tp not in refused)
        else:
            self._answered(None, lambda _: True)

    def _answered(self, error: str | None, stored: Callable[[TopicPartition], bool] = lambda _: False) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:  # a commit that was waited for is not told to on_commit
            self.answer({tp: offset for tp, offset in sent.items() if stored(tp)}, error)

    def _said(self, error: KafkaException, offsets: Collection[TopicPartition]) -> str:
        first = error.args[0]
        return self._why(first, _only_topic(offsets)) if isinstance(first, KafkaError) else why(error)

    def _why(self, error: KafkaError, topic: str | None) -> str:
        """With what is missing, where it is a right."""
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return group_refused(self._group, error.str())
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED and topic is not None:
            return topic_refused(topic, error.str())
        return error.str()

    def _marked(self, offsets: Mapping[TopicPartition, int], topic_id: str = "") -> list[KafkaPartition]:
        return [
            KafkaPartition(tp.topic, tp.partition, at, metadata=self._memory.beside(tp, topic_id))
            for tp, at in offsets.items()
        ]


def _only_topic(partitions: Collection[TopicPartition]) -> str | None:
    """The topic that an answer without partitions is about, if there is no other."""
    topics = {tp.topic for tp in partitions}
    return topics.pop() if len(topics) == 1 else None
