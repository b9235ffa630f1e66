"""Reads partitions beside the group: assigned by hand, from where it is told, and nothing is joined or committed.

Owned by one thread. librdkafka wants a group's name all the same, and looks for its coordinator: whether that is
allowed is of no concern. On a cluster that never had a group, that question alone makes it keep `__consumer_offsets`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import CannotStart, Fatal, Transient
from datahub_poller.gaps import READ_PAST_END, RETENTION
from datahub_poller.kafka.begin import ASK_SECONDS
from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.fatal import is_fatal, remedied
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.reach import CONSUMER_CONFIG, Reach
from datahub_poller.kafka.records import Records
from datahub_poller.kafka.trouble import Trouble
from datahub_poller.kafka.words import OUT_OF_RANGE, topic_refused, why
from datahub_poller.model import Record, TopicPartition
from datahub_poller.start import Earliest, Since

END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's own name for it, and public
OF_A_GROUP: Final = ("group.instance.id", "group.protocol", "group.remote.assignor")
OWN: Final[Mapping[str, str]] = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "enable.partition.eof": "true",
    "allow.auto.create.topics": "false",
}

Answer = TypeVar("Answer")


class Last(NamedTuple):
    """Begin so many records before the end of each partition."""

    records: int


Begin = Earliest | Since | Last


class Span(NamedTuple):
    """What is to be read of a partition: from `begin` up to the end that it had when that was asked for."""

    begin: int
    end: int


class Read(NamedTuple):
    """What one look brought: records, and how far the partitions go that were read to their ends."""

    records: Sequence[Record]
    ends: Mapping[TopicPartition, int]


class Browser:
    """`properties` are the action's consumer's, oauth_cb a callable. `tell` hears what a person should know."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        clock: Callable[[], float],
        tell: Callable[[str], None],
        logger: logging.Logger,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._records = Records(logger)
        self._topics: Sequence[str] = ()
        self._missing: set[str] = set()
        self._lost: set[TopicPartition] = set()
        self._lost_at = 0.0
        self._in_trouble = False
        self.trouble = Trouble(clock)
        if isinstance(token := properties.get("oauth_cb"), TokenSource):
            self.trouble.cause = token.why_refused
        group = f"{properties['group.id']}-tail"
        config = {key: value for key, value in properties.items() if key not in OF_A_GROUP}
        config |= {**OWN, "group.id": group, "error_cb": self._on_client_error}
        self.servers = f"the Kafka broker {properties.get('bootstrap.servers')}"
        try:
            self._consumer = Consumer(config, logger=ClientLog(logger, clock, self.trouble.heard))
        except (KafkaException, SystemError, ValueError, TypeError) as error:
            raise CannotStart(f"{CONSUMER_CONFIG}: the Kafka client does not take it: {why(error)}") from error
        self.reach = Reach(self._consumer, self.trouble, self.servers, group, clock)

    def begin(self, topics: Sequence[str], begin: Begin, limit: float) -> dict[TopicPartition, Span]:
        """Every partition of these topics, and what of it is to be read. Raises CannotStart, after `limit` s too."""
        deadline = self._clock() + limit
        spans: dict[TopicPartition, Span] = {}
        for topic in topics:
            numbers = self._ask(partial(self._partitions, topic), deadline)
            tps = [self._records.tp(topic, number) for number in numbers]
            ends = {tp: self._ask(partial(self._ends, tp), deadline) for tp in tps}
            # The ends were read before the time is looked up: nothing can fall between the two.
            spans |= self._ask(partial(self._spans, ends, begin), deadline)
        self._topics = topics
        self.trouble.tell = self._on_trouble
        return spans

    def assign(self, begins: Mapping[TopicPartition, int]) -> None:
        """Read these, from these offsets."""
        self._consumer.incremental_assign([KafkaPartition(*tp, offset) for tp, offset in begins.items()])

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these no more."""
        gone = [KafkaPartition(*tp) for tp in partitions]
        self._lost -= {self._records.tp(each.topic, each.partition) for each in gone}
        self._consumer.incremental_unassign(gone)

    def pause(self, tp: TopicPartition) -> None:
        """Bring nothing more of this one for now."""
        self._consumer.pause([KafkaPartition(*tp)])

    def resume(self, tp: TopicPartition) -> None:
        """Go on with it."""
        self._consumer.resume([KafkaPartition(*tp)])

    def read(self, limit: int, timeout: float) -> Read:
        """What is there within `timeout` s. Raises Fatal."""
        self._find_again()
        ends: dict[TopicPartition, int] = {}

        def refused(message: Message, error: KafkaError) -> None:
            if error.code() == END:
                ends[self._tp(message)] = message.offset() or 0
            else:
                self._on_message_error(message, error)

        records = self._records.read(self._consumer, limit, timeout, refused)
        if self.trouble.reason is not None:
            read = {record.tp.topic for record in records}
            self.trouble.look_for_recovery(self._consumer, self._topics, self._topics, read)
        return Read(records, ends)

    def close(self) -> None:
        """End. There is no group to leave."""
        self._consumer.close()

    # -- where to begin

    def _ask(self, question: Callable[[], Answer], deadline: float) -> Answer:
        """The answer, asked for until the deadline."""
        while True:
            try:
                return question()
            except (KafkaException, Transient) as error:
                self._consumer.poll(0.1)
                if self._clock() >= deadline:
                    raise CannotStart(f"{self.servers} does not say where to begin: {why(error)}") from None

    def _partitions(self, topic: str) -> list[int]:
        found = self._consumer.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
        if not found.partitions:  # a broker may not know the topic for a moment
            raise Transient(f"{topic} was described without partitions: {found.error}")
        return sorted(found.partitions)

    def _ends(self, tp: TopicPartition) -> Span:
        ends = self._consumer.get_watermark_offsets(KafkaPartition(*tp), timeout=ASK_SECONDS)
        if ends is None:
            raise Transient(f"the ends of {tp} were not told in time")
        return Span(*ends)

    def _spans(self, ends: Mapping[TopicPartition, Span], begin: Begin) -> dict[TopicPartition, Span]:
        match begin:
            case Earliest():
                return dict(ends)
            case Last(count):
                return {tp: Span(max(low, high - count), high) for tp, (low, high) in ends.items()}
            case Since(at):
                asked = [KafkaPartition(*tp, at) for tp in ends]
                found = self._consumer.offsets_for_times(asked, timeout=ASK_SECONDS)
                return {
                    tp: Span(_first(each, ends[tp].end), ends[tp].end) for tp, each in zip(ends, found, strict=True)
                }

    # -- errors

    def _on_client_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # the group is not used
            self.trouble.on_error(error)

    def _on_trouble(self, reason: str | None) -> None:
        """Said when it begins and when it ends: in between, the reason changes with every broker that is tried."""
        if reason is not None and not self._in_trouble:
            self._tell(f"{self.servers}: {reason}")
        elif reason is None and self._in_trouble:
            self._tell(f"{self.servers} answers again")
        self._in_trouble = reason is not None

    def _on_message_error(self, message: Message, error: KafkaError) -> None:
        topic = message.topic()
        if is_fatal(error):
            raise Fatal(f"Kafka client: {remedied(error)}")
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise Fatal(topic_refused(str(topic), error.str()))
        if error.code() in OUT_OF_RANGE and topic is not None:
            self._lost.add(self._tp(message))
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and topic is not None:
            if topic not in self._missing:
                self._missing.add(topic)
                self._tell(f"topic {topic} does not exist any more")
        elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
            self.trouble.found(error.str())

    def _find_again(self) -> None:
        """What is out of range stands still until it is assigned anew: at the beginning of what is left."""
        if not self._lost or self._clock() < self._lost_at:
            return
        for tp in sorted(self._lost):
            try:
                low, high = self._ends(tp)
            except (KafkaException, Transient) as error:
                self._lost_at = self._clock() + 1.0
                self.trouble.found(f"{tp} is out of range and could not be moved: {why(error)}")
                continue
            self._lost.discard(tp)
            where = [KafkaPartition(*tp, low)]
            past_end = self._consumer.position(where)[0].offset > high
            self._tell(f"{tp}: {READ_PAST_END if past_end else RETENTION}: going on at {low}")
            self._consumer.incremental_unassign(where)
            self._consumer.incremental_assign(where)

    def _tp(self, message: Message) -> TopicPartition:
        return self._records.tp(str(message.topic()), int(message.partition() or 0))


def _first(found: KafkaPartition, end: int) -> int:
    """The first record of a time or later; the end where there is none."""
    if found.error is not None:
        raise Transient(found.error.str())
    return found.offset if found.offset >= 0 else end
