"""Where assigned partitions begin, asked of the broker: commits, their metadata, the log's ends and times.

Only what the broker answered for is told: no answer is never "no offset".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import Transient
from datahub_poller.kafka.topic_ids import TopicIds
from datahub_poller.model import TopicPartition
from datahub_poller.source import Start
from datahub_poller.start import Beginning, Committed, Earliest, StartAt, beginning, first_start, topic_id_in

ASK_SECONDS: Final = 5.0


class Beginnings:
    """Asks through the consumer that it shares with its owner. `first_starts` is by topic, in ms, and grows.

    `alive` is told before each question.
    """

    def __init__(
        self,
        consumer: Consumer,
        start_at: StartAt,
        wall_ms: Callable[[], int],
        first_starts: dict[str, int],
        logger: logging.Logger,
        ids: TopicIds,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._alive = alive
        self._consumer = consumer
        self._start_at = start_at
        # Not when partitions come: joining takes seconds, and a topic may be made while this runs.
        self._now = wall_ms()
        self._logger = logger
        self._first_starts = first_starts
        self._old_group = False
        self._ids = ids

    def of(self, topic: str, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Start]:
        """Where these partitions of one topic begin. Raises KafkaException or Transient where no answer came."""
        committed = self._committed(tps)
        new = [tp for tp in tps if committed[tp].offset is None]
        known = first_start(committed.values())
        if new:
            others = self._committed_of_topic(topic)
            known = first_start(others.values())
            if self._old_group and topic not in self._first_starts and not _any_commit(others):
                self._logger.warning("topic %s is new to the group: it begins by `start`", topic)
        self._old_group = self._old_group or known is not None
        # What is new in a topic that was made anew while we ran is new to us, whatever its records' times.
        begin = Earliest() if topic in self._ids.remade else beginning(self._start_at, known, self._now)
        starts = {tp: Start(offset, offset) for tp in tps if (offset := committed[tp].offset) is not None}
        starts |= {tp: Start(offset, None) for tp, offset in self._ask(new, begin).items()}
        for tp in tps:
            self._ids.began(tp, topic_id_in(committed[tp].metadata))
        self._first_starts.setdefault(topic, self._now if known is None else known)
        return starts

    def _committed(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        self._alive()
        asked = [KafkaPartition(tp.topic, tp.partition) for tp in tps]
        found: dict[TopicPartition, Committed] = {}
        for each in self._consumer.committed(asked, timeout=ASK_SECONDS):
            if each.error is not None:
                raise Transient(each.error.str())
            offset = each.offset if each.offset >= 0 else None
            found[TopicPartition(each.topic, each.partition)] = Committed(offset, each.metadata or "")
        return found

    def _committed_of_topic(self, topic: str) -> dict[TopicPartition, Committed]:
        self._alive()
        found = self._consumer.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
        if not found.partitions:  # a broker may not know the topic for a moment: that is no answer
            raise Transient(f"{topic} was described without partitions: {found.error}")
        return self._committed([TopicPartition(topic, number) for number in found.partitions])

    def _ask(self, tps: Sequence[TopicPartition], begin: Beginning) -> dict[TopicPartition, int]:
        if isinstance(begin, Earliest):
            return self._offsets(tps, OFFSET_BEGINNING)
        # The ends are read before the time is looked up: what comes in between is delivered, not lost.
        ends = self._offsets(tps, OFFSET_END)
        found = self._offsets(tps, begin.at)
        return {tp: offset if offset >= 0 else ends[tp] for tp, offset in found.items()}

    def _offsets(self, tps: Sequence[TopicPartition], at: int) -> dict[TopicPartition, int]:
        """Of all partitions in one question: each waits behind the fetch that its broker holds open."""
        if not tps:
            return {}
        self._alive()
        asked = [KafkaPartition(tp.topic, tp.partition, at) for tp in tps]
        found: dict[TopicPartition, int] = {}
        for each in self._consumer.offsets_for_times(asked, timeout=ASK_SECONDS):
            if each.error is not None:
                raise Transient(each.error.str())
            found[TopicPartition(each.topic, each.partition)] = each.offset
        return found


def _any_commit(committed: dict[TopicPartition, Committed]) -> bool:
    return any(each.offset is not None for each in committed.values())
