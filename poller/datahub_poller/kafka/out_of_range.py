"""Partitions whose position is outside of their log: asked for the log's ends, told to the listener, and moved.

Reading a partition that is out of range stands still until it is assigned anew: it cannot be sought.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import Transient
from datahub_poller.kafka.begin import ASK_SECONDS
from datahub_poller.kafka.topic_ids import TopicIds
from datahub_poller.kafka.trouble import Trouble
from datahub_poller.kafka.words import says_missing, why
from datahub_poller.model import TopicPartition
from datahub_poller.source import Listener

AGAIN_SECONDS: Final = 2.0


class OutOfRange:
    """`read_from` assigns a partition anew. `alive` is told before each question."""

    def __init__(
        self,
        ids: TopicIds,
        trouble: Trouble,
        read_from: Callable[[Mapping[TopicPartition, int]], None],
        clock: Callable[[], float],
        alive: Callable[[], None],
    ) -> None:
        self._ids = ids
        self._trouble = trouble
        self._read_from = read_from
        self._clock = clock
        self._alive = alive
        self._found: dict[TopicPartition, int | None] = {}
        self._due = 0.0

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """These are out of range."""
        self._found |= dict.fromkeys(partitions)

    def add_at_once(self, tp: TopicPartition) -> None:
        """The client has just said so."""
        self._found[tp] = None
        self._due = 0.0

    def forget(self, tp: TopicPartition) -> None:
        """It is not ours any more."""
        self._found.pop(tp, None)

    def close(self, consumer: Consumer, listener: Listener, held: Container[TopicPartition]) -> None:
        """Move those that are due, of the ones that are `held`."""
        if not self._found or self._clock() < self._due or self._ids.waiting:
            return
        self._found = {tp: offset for tp, offset in self._found.items() if tp in held}
        until = self._clock() + ASK_SECONDS
        for tp in list(self._found):
            self._alive()
            if self._clock() >= until:  # the group waits for this thread: the others' turn comes
                return
            try:
                self._move(tp, consumer, listener)
            except (KafkaException, Transient) as error:
                if self._ids.is_new(tp) and says_missing(error):
                    del self._found[tp]  # the new topic has fewer; it is tried again with the next answer about the id
                    continue
                self._due = self._clock() + AGAIN_SECONDS
                self._found[tp] = self._found.pop(tp)  # behind those that may be answered
                self._trouble.found(f"{tp} is out of range and could not be moved: {why(error)}")

    def _move(self, tp: TopicPartition, consumer: Consumer, listener: Listener) -> None:
        offset = self._found[tp]
        if offset is None:  # the listener is asked once, however often it takes to get there
            ends = consumer.get_watermark_offsets(KafkaPartition(tp.topic, tp.partition), timeout=ASK_SECONDS)
            if ends is None:
                raise Transient("its ends were not told in time")
            if self._ids.is_new(tp):
                offset = listener.gap(tp, *ends, new_topic=True)
                self._ids.moved(tp)
            else:
                offset = listener.gap(tp, *ends)
            self._found[tp] = offset
        self._read_from({tp: offset})
        del self._found[tp]
