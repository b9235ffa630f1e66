"""A source over librdkafka's consumer.

Owned by one thread. It begins partitions where the group's commits say, keeps the desired pauses across
rebalances, and sorts Kafka's errors into: tell the listener and go on, or `Fatal`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import CannotStart, Fatal, Transient
from datahub_poller.kafka.begin import Beginnings
from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.committing import Committing
from datahub_poller.kafka.fatal import outcome
from datahub_poller.kafka.membership import Membership
from datahub_poller.kafka.memory import Memory
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.out_of_range import AGAIN_SECONDS, OutOfRange
from datahub_poller.kafka.reach import CONSUMER_CONFIG, Reach
from datahub_poller.kafka.records import Records
from datahub_poller.kafka.topic_ids import TopicIds
from datahub_poller.kafka.trouble import Trouble
from datahub_poller.kafka.words import OUT_OF_RANGE, group_refused, topic_refused, why
from datahub_poller.model import Record, TopicPartition
from datahub_poller.source import Listener, Start
from datahub_poller.start import StartAt

REJOIN_SECONDS: Final = 2.0
"""Between two tries to join under a name that a dead member's session still holds."""
LOOK_SECONDS: Final = 0.2
"""How often a member looks whether another has committed the group's start positions."""


class KafkaSource:
    """`Source` over librdkafka. `properties` are its own, oauth_cb a callable; times are in seconds unless named ms.

    `alive` is told between questions to a broker, each of which may take seconds.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        start_at: StartAt,
        clock: Callable[[], float],
        logger: logging.Logger,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._alive = alive
        self._logger = logger
        self.properties = properties
        self.servers = f"the Kafka broker {properties.get('bootstrap.servers')}"
        self._incremental = (
            "cooperative" in str(properties.get("partition.assignment.strategy", ""))
            or str(properties.get("group.protocol", "")).lower() == "consumer"
        )
        self._listener: Listener | None = None
        self._records = Records(logger)
        self._tp = self._records.tp
        self._starts: dict[TopicPartition, int] = {}
        self._unresolved: set[TopicPartition] = set()
        self._resolve_at = 0.0
        self._paused: frozenset[TopicPartition] = frozenset()
        self._topics: Sequence[str] = ()
        self._group = str(properties.get("group.id"))
        self._trouble = Trouble(clock)
        if isinstance(token := properties.get("oauth_cb"), TokenSource):
            self._trouble.cause = token.why_refused
        self._ids = TopicIds(properties, clock, logger)
        self._out_of_range = OutOfRange(self._ids, self._trouble, self._read_from, clock, alive)
        self._membership = Membership(properties, self._group, clock, logger)
        self._memory = Memory(self._ids.read)
        self._committing = Committing(self._group, self._memory)
        self._config = {**properties, "error_cb": self._trouble.on_error, "on_commit": self._committing.on_commit}
        self._client_log = ClientLog(logger, clock, self._trouble.heard)
        self._rejoin_at: float | None = None
        self._consumer = self._made()
        self._beginnings = Beginnings(
            self._consumer, start_at, clock, self._committing, self._memory, self._ids, logger, alive
        )
        self.reach = Reach(self._consumer, self._trouble, self.servers, self._group, clock, alive)

    def _made(self) -> Consumer:
        try:
            return Consumer(self._config, logger=self._client_log)
        except (KafkaException, SystemError, ValueError, TypeError) as error:
            raise CannotStart(f"{CONSUMER_CONFIG}: the Kafka client does not take it: {why(error)}") from error

    # -- the group

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        """Join the group."""
        self._listener = listener
        self._trouble.tell = listener.trouble
        self._committing.answer = listener.committed
        self._topics = topics
        self._beginnings.look(topics)
        self._join()

    def _join(self) -> None:
        self._membership.joining()
        self._consumer.subscribe(
            list(self._topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _rejoin(self) -> None:
        """Join with a new consumer, if it is time: the old one will never work again."""
        if self._rejoin_at is None or self._clock() < self._rejoin_at:
            return
        self._alive()
        self._rejoin_at = None
        self._consumer.close()
        self._consumer = self._made()
        self._beginnings.use(self._consumer)
        self._join()

    def _out_of_the_group(self, error: KafkaError) -> bool:
        """Whether the error keeps this member out. Raises Fatal where waiting does not help."""
        match outcome(error):
            case None:
                return False
            case ("fatal", reason):
                raise Fatal(f"Kafka client: {reason}")
            case ("rejoin", reason):
                assert self._listener is not None
                if gone := self._starts.keys() | self._unresolved:
                    self._unresolved, self._starts, self._paused = set(), {}, frozenset()
                    self._listener.lost(gone)
                self._rejoin_at = self._clock() + REJOIN_SECONDS
                self._trouble.refuse(None, reason)
            case (_, reason):
                self._trouble.refuse(None, reason)
        return True

    def close(self) -> None:
        """Leave the group and end."""
        try:
            self._consumer.close()
        finally:
            self._ids.close()
            self._membership.close()

    def _on_assign(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        # Where they begin is asked for once `consume` has returned: confluent-kafka aborts the process at the next
        # callback of a call within which metadata was asked for.
        assert self._listener is not None
        tps = {self._tp(each.topic, each.partition) for each in partitions}
        self._ids.exist({tp.topic for tp in tps})
        self._resolve_at = self._clock()
        self._beginnings.reassigned()
        self._membership.assigned()
        if tps:
            self._ids.doubt()
        self._trouble.assigned({tp.topic for tp in tps})
        if self._incremental:
            self._consumer.incremental_assign([])
            self._unresolved |= tps
        else:
            self._consumer.assign([])
            self._unresolved, self._starts = tps, {}
        if not tps:
            self._listener.assigned({})

    def _on_revoke(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        assert self._listener is not None
        held = self._held(partitions)
        try:
            self._listener.revoked(self._forget(partitions))
        finally:
            self._give_back(held)

    def _on_lost(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        assert self._listener is not None
        held = self._held(partitions)
        self._listener.lost(self._forget(partitions))
        self._give_back(held)

    def _held(self, partitions: list[KafkaPartition]) -> list[KafkaPartition]:
        """Those whose reading has begun: the client refuses to give back what it was not assigned."""
        return [each for each in partitions if self._tp(each.topic, each.partition) in self._starts]

    def _give_back(self, held: list[KafkaPartition]) -> None:
        if self._incremental:
            self._consumer.incremental_unassign(held)

    def _forget(self, partitions: list[KafkaPartition]) -> list[TopicPartition]:
        gone = [self._tp(each.topic, each.partition) for each in partitions]
        self._unresolved -= set(gone)
        for tp in gone:
            self._starts.pop(tp, None)
            self._out_of_range.forget(tp)
        return gone

    # -- where partitions begin

    def _resolve(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Start]:
        """Only what the broker answered for: no answer is never "no offset"."""
        self._resolve_at = self._clock() + LOOK_SECONDS
        starts: dict[TopicPartition, Start] = {}
        by_topic: dict[str, list[TopicPartition]] = {}
        for tp in tps:
            by_topic.setdefault(tp.topic, []).append(tp)
        for topic, mine in by_topic.items():
            try:
                starts |= self._beginnings.of(topic, mine)
            except (KafkaException, Transient) as error:
                self._resolve_at = self._clock() + AGAIN_SECONDS
                self._trouble.found(f"where to begin topic {topic} could not be asked: {why(error)}")
        return starts

    def _begin(self) -> None:
        """Read what was assigned, as soon as it is known from where."""
        assert self._listener is not None
        if not self._unresolved or self._clock() < self._resolve_at or self._ids.waiting:
            return
        starts = self._resolve(sorted(self._unresolved))
        if not starts:
            return
        self._unresolved -= set(starts)
        # A pause outlives a revocation in librdkafka: what is assigned begins unpaused.
        self._paused -= frozenset(starts)
        self._read_from({tp: start.offset for tp, start in starts.items()})
        self._listener.assigned(self._beginnings.renewed(starts))

    def _read_from(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Assign these, anew if they are assigned already. All others go on where they are; pauses stay."""
        new = [KafkaPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        if self._incremental:
            if again := [each for each in new if self._tp(each.topic, each.partition) in self._starts]:
                self._consumer.incremental_unassign(again)
            self._consumer.incremental_assign(new)
        else:
            # The eager protocol knows only whole assignments.
            held = self.positions(self._starts.keys() - offsets.keys())
            new += [KafkaPartition(tp.topic, tp.partition, offset) for tp, offset in held.items()]
            self._consumer.assign(new)
        self._starts |= offsets
        self._consumer.resume(new)
        paused = self._paused
        self._paused -= {self._tp(each.topic, each.partition) for each in new}
        self.set_paused(paused)

    # -- records

    def poll(self, limit: int, timeout: float) -> list[Record]:
        """Records, with the listener called for all else that came.

        What moves a position waits for the next call: until then the listener has not seen the records of this one.
        """
        self._rejoin()
        self._ids.look(self._topics)
        self._membership.look(self._consumer.memberid)
        self._begin()
        self._out_of_range.add(self._ids.replaced(self._starts))
        if self._listener is not None:
            self._out_of_range.close(self._consumer, self._listener, self._starts)
        records = self._records.read(self._consumer, limit, timeout, self._on_message_error)
        if self._trouble.reason is not None and not self._unresolved and not self._out_of_range:
            held, read = {tp.topic for tp in self._starts}, {record.tp.topic for record in records}
            self._trouble.look_for_recovery(self._consumer, self._topics, held, read)
        return records

    def set_paused(self, partitions: frozenset[TopicPartition]) -> None:
        """Apply the difference to what is paused now."""
        wanted = frozenset(tp for tp in partitions if tp in self._starts)
        if pause := wanted - self._paused:
            self._consumer.pause([KafkaPartition(tp.topic, tp.partition) for tp in pause])
        if resume := (self._paused - wanted) & self._starts.keys():
            self._consumer.resume([KafkaPartition(tp.topic, tp.partition) for tp in resume])
        self._paused = wanted

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The client's position; where nothing was read yet, where reading begins."""
        mine = [tp for tp in partitions if tp in self._starts]
        if not mine:
            return {}
        found = self._consumer.position([KafkaPartition(tp.topic, tp.partition) for tp in mine])
        return {
            tp: max(each.offset, self._starts[tp]) if each.error is None else self._starts[tp]
            for tp, each in zip(mine, found, strict=True)
        }

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """High watermarks as the last fetches told them."""
        ends: dict[TopicPartition, int] = {}
        for tp in partitions:
            with suppress(KafkaException):
                _, high = self._consumer.get_watermark_offsets(KafkaPartition(tp.topic, tp.partition), cached=True)
                if high >= 0:
                    ends[tp] = high
        return ends

    # -- commits

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Send a commit; at most one is on its way."""
        self._committing.send(self._consumer, offsets)

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit and wait."""
        self._committing.send_and_wait(self._consumer, offsets)

    # -- errors

    def _on_message_error(self, message: Message, error: KafkaError) -> None:
        if self._out_of_the_group(error):
            return
        topic, partition = message.topic(), message.partition()
        if error.code() in OUT_OF_RANGE and topic is not None and partition is not None:
            self._out_of_range.add_at_once(self._tp(topic, partition))
            self._ids.doubt()
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and topic:
            self.wait_for(topic)
        elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self._trouble.refuse(None, group_refused(self._group, error.str()))
        elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._trouble.refuse(topic, topic_refused(str(topic), error.str()))
        else:
            self._trouble.found(error.str())

    def wait_for(self, topic: str) -> None:
        """Count the topic as missing, until it is there. Then it is newer than the group."""
        self._ids.lack(topic)
        self._memory.know(topic)

    @property
    def joined(self) -> bool:
        """As an assignment or the brokers said."""
        return self._membership.joined and not self._unresolved

    @property
    def missing(self) -> frozenset[str]:
        """As the brokers said last: those that the client beside the consumer looks for."""
        return frozenset(self._ids.missing)
