"""Where assigned partitions begin, asked of the broker: commits, their metadata, the log's ends.

Only what the broker answered for is told: no answer is never "no offset".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import Transient
from datahub_poller.kafka.committing import Committing
from datahub_poller.kafka.memory import Memory
from datahub_poller.kafka.topic_ids import TopicIds
from datahub_poller.model import TopicPartition
from datahub_poller.observe.logs import log_event
from datahub_poller.source import Start
from datahub_poller.start import (
    Begin,
    Beginning,
    Committed,
    Earliest,
    End,
    Found,
    Since,
    StartAt,
    Topic,
    Wait,
    decide,
    known_topics,
    mark_in,
    partitions_at_first_start,
    short_name,
    topic_id_in,
)

ASK_SECONDS: Final = 5.0
TRUSTED_SECONDS: Final = 10.0
"""How long after it was read "no commits" is believed: a member that stood still for longer may not be one any more."""
SHOWN: Final = 10
"""How many partitions a log line names."""

Commits = dict[TopicPartition, Committed]


class Beginnings:
    """Asks through the consumer that it shares with its owner.

    `alive` is told before each question.
    """

    def __init__(
        self,
        consumer: Consumer,
        start_at: StartAt,
        clock: Callable[[], float],
        committing: Committing,
        memory: Memory,
        ids: TopicIds,
        logger: logging.Logger,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._topics: Sequence[str] = ()
        self._alive = alive
        self._consumer = consumer
        self._start_at = start_at
        self._clock = clock
        self._committing = committing
        self._memory = memory
        self._ids = ids
        self._logger = logger
        self._ends: dict[TopicPartition, int] = {}
        self._waiting_since: dict[str, float] = {}
        self._stored: dict[TopicPartition, str] = {}

    def use(self, consumer: Consumer) -> None:
        """Ask through this one from now on."""
        self._consumer = consumer

    def look(self, topics: Sequence[str]) -> None:
        """The group reads these topics. Notes where they end now: joining may take minutes, and `latest` is the start.

        What cannot be told now is asked when the partition comes.
        """
        self._topics = topics
        for topic in topics if self._start_at == "latest" else ():
            with suppress(KafkaException, Transient):
                self._ends |= self._offsets(self._existing(topic), OFFSET_END)

    def of(self, topic: str, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Start]:
        """Where these partitions of one topic begin, without those that wait for another member.

        Raises KafkaException or Transient where no answer came.
        """
        committed = self._committed(tps)
        if any(each.offset is None for each in committed.values()) or topic not in self._memory.partitions:
            starts = self._decided(topic, tps, committed)
        else:
            starts = _committed_starts(committed)
        if starts:
            self._memory.know(topic)
        for tp in starts:
            stored = committed[tp]
            self._stored[tp] = self._memory.beside(tp) if stored.offset is None else stored.metadata
            self._ids.began(tp, topic_id_in(committed[tp].metadata))
        return starts

    def renewed(self, starts: Mapping[TopicPartition, Start]) -> dict[TopicPartition, Start]:
        """The same, asked when all topics have been: what a commit remembers may have become more since it was read."""
        stored, self._stored = self._stored, {}
        return {tp: start._replace(renew=self._memory.outdates(stored[tp])) for tp, start in starts.items()}

    def reassigned(self) -> None:
        """Partitions have moved: whoever owns partition 0 now gets its time."""
        self._waiting_since = dict.fromkeys(self._waiting_since, self._clock())

    def _decided(self, topic: str, tps: Sequence[TopicPartition], mine: Commits) -> dict[TopicPartition, Start]:
        """Where these begin, from what the group has committed for the whole topic."""
        if all(each.offset is not None and mark_in(each.metadata) for each in mine.values()):
            self._memory.partitions[topic] = partitions_at_first_start(_numbered(mine))
            return _committed_starts(mine)
        known = self._memory.knows(topic) or self._known_by_others(topic)
        looked = self._clock()
        # All in one answer, and after the others': another member may have committed for everybody meanwhile.
        everybody = self._committed({*self._partitions(topic), *tps})
        mine.update((tp, everybody[tp]) for tp in tps)
        starts = _committed_starts(mine)
        new = [tp for tp in tps if tp not in starts]
        about = self._about(topic, new, everybody, known)
        self._memory.partitions[topic] = 0 if about.is_new else partitions_at_first_start(about.committed)
        for decision in decide(self._start_at, about) if new else ():
            match decision:
                case Begin(numbers, where, why):
                    offsets = self._ask([TopicPartition(topic, each) for each in numbers], where)
                    starts |= {tp: Start(offset, None) for tp, offset in offsets.items()}
                    self._tell(topic, numbers, why, about)
                case Found(numbers, where):
                    found = self._found(topic, numbers, where, looked + TRUSTED_SECONDS)
                    starts |= {tp: Start(found[tp], found[tp]) for tp in new}
                case Wait():
                    del self._memory.partitions[topic]  # the owner of partition 0 says how many there were
                    self._wait(topic, new)
        if starts:
            self._waiting_since.pop(topic, None)
        return starts

    def _about(self, topic: str, new: Sequence[TopicPartition], everybody: Commits, known: bool) -> Topic:
        is_new = topic in self._ids.remade or (known and not _any_commit(everybody))
        waited = self._clock() - self._waiting_since.get(topic, self._clock())
        return Topic({tp.partition for tp in new}, _numbered(everybody), is_new, waited)

    def _known_by_others(self, topic: str) -> bool:
        """Whether the group, when it committed for its other topics, had commits for this one or waited for it.

        Not asked where that makes no difference.
        """
        if self._start_at == "earliest":
            return False
        name = short_name(topic)
        others = (self._committed(self._existing(each)) for each in self._topics if each != topic)
        return any(name in known_topics(each.values()) for each in others)

    # -- the group's first start on a topic

    def _found(
        self, topic: str, numbers: Collection[int], where: Beginning, deadline: float
    ) -> dict[TopicPartition, int]:
        """Commit where the group begins. Nothing is read before that is stored: a start that is killed never was."""
        tps = [TopicPartition(topic, each) for each in numbers]
        offsets = self._ask(tps, where)
        if isinstance(where, End):
            offsets = {tp: min(end, self._ends.get(tp, end)) for tp, end in offsets.items()}
        if self._clock() > deadline:
            raise Transient("the brokers took too long to say where it ends")
        self._alive()
        self._committing.begin_group(self._consumer, offsets, self._ids.now(topic))
        start = "latest" if isinstance(where, End) else self._start_at
        log_event(
            self._logger,
            logging.WARNING,
            "the group has no committed offset for this topic: its start positions are committed now",
            topic=topic,
            partitions=len(tps),
            start=str(start),
            meaning="records before these positions are not delivered",
        )
        return offsets

    def _wait(self, topic: str, new: Sequence[TopicPartition]) -> None:
        if topic not in self._waiting_since:
            self._waiting_since[topic] = self._clock()
            event = "waiting for the group's start positions: the owner of partition 0 commits them"
            log_event(self._logger, logging.INFO, event, topic=topic)
        self._ends |= self._offsets([tp for tp in new if tp not in self._ends], OFFSET_END)

    def _tell(self, topic: str, numbers: Sequence[int], why: str, about: Topic) -> None:
        if why == "as configured" or not about.committed:
            return
        event, level = "new partitions: reading them from their beginning", logging.INFO
        remedy = None
        if why == "no commit":
            event, level = "partitions without a committed offset, in a group that has others", logging.WARNING
            where = "their beginning" if self._start_at == "latest" else f"start: {self._start_at}"
            remedy = f"reading them from {where}: records may come that were handled before"
        shown = [*map(str, numbers[:SHOWN]), *(["..."] if len(numbers) > SHOWN else [])]
        log_event(self._logger, level, event, topic=topic, partitions=",".join(shown), meaning=remedy)

    # -- questions

    def _committed(self, tps: Collection[TopicPartition]) -> Commits:
        if not tps:
            return {}
        self._alive()
        asked = [KafkaPartition(tp.topic, tp.partition) for tp in tps]
        found: Commits = {}
        for each in self._consumer.committed(asked, timeout=ASK_SECONDS):
            if each.error is not None:
                raise Transient(each.error.str())
            offset = each.offset if each.offset >= 0 else None
            found[TopicPartition(each.topic, each.partition)] = Committed(offset, each.metadata or "")
        return found

    def _partitions(self, topic: str) -> list[TopicPartition]:
        found = self._existing(topic)
        if not found:  # a broker may not know the topic for a moment: that is no answer
            raise Transient(f"{topic} was described without partitions")
        return found

    def _existing(self, topic: str) -> list[TopicPartition]:
        self._alive()
        found = self._consumer.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
        return [TopicPartition(topic, number) for number in sorted(found.partitions)]

    def _ask(self, tps: Sequence[TopicPartition], where: Beginning) -> dict[TopicPartition, int]:
        match where:
            case Earliest():
                return self._offsets(tps, OFFSET_BEGINNING)
            case End():
                return self._offsets(tps, OFFSET_END)
            case Since(at):
                # The ends are read before the time is looked up: what comes in between is delivered, not lost.
                ends = self._offsets(tps, OFFSET_END)
                return {tp: offset if offset >= 0 else ends[tp] for tp, offset in self._offsets(tps, at).items()}

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


def _committed_starts(committed: Commits) -> dict[TopicPartition, Start]:
    return {tp: Start(each.offset, each.offset) for tp, each in committed.items() if each.offset is not None}


def _numbered(committed: Commits) -> dict[int, Committed]:
    return {tp.partition: each for tp, each in committed.items()}


def _any_commit(committed: Commits) -> bool:
    return any(each.offset is not None for each in committed.values())
