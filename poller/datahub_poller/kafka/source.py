"""A source over librdkafka's consumer.

Owned by one thread. It begins partitions where the group's commits say, keeps the desired pauses across
rebalances, and sorts Kafka's errors into: tell the listener and go on, or `Fatal`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
)
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import CannotStart, Fatal, Transient
from datahub_poller.kafka.begin import ASK_SECONDS, Beginnings
from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.words import ALL_DOWN, NO_OFFSET, OUT_OF_RANGE, REFUSED, plain, real, why
from datahub_poller.model import Record, TopicPartition
from datahub_poller.source import Listener, Start
from datahub_poller.start import StartAt, mark

CONSUMER_CONFIG: Final = "source.config.connection.consumer_config"
THERE: Final = "exists"
MISSING: Final = "does not exist"
SHORTEST_ASK_SECONDS: Final = 0.25
RESOLVE_AGAIN_SECONDS: Final = 2.0
RECOVERY_CHECK_SECONDS: Final = 5.0
_TIMESTAMP_TYPES: Final = {TIMESTAMP_CREATE_TIME: "CREATE_TIME", TIMESTAMP_LOG_APPEND_TIME: "LOG_APPEND_TIME"}


class KafkaSource:
    """`Source` over librdkafka. `properties` are its own, oauth_cb a callable; times are in seconds unless named ms."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        start_at: StartAt,
        clock: Callable[[], float],
        wall_ms: Callable[[], int],
        logger: logging.Logger,
    ) -> None:
        self._clock = clock
        self._logger = logger
        self.servers = f"the Kafka broker {properties.get('bootstrap.servers')}"
        self._incremental = (
            "cooperative" in str(properties.get("partition.assignment.strategy", ""))
            or properties.get("group.protocol") == "consumer"
        )
        self._listener: Listener | None = None
        self._partitions: dict[tuple[str, int], TopicPartition] = {}
        self._starts: dict[TopicPartition, int] = {}
        self._unresolved: set[TopicPartition] = set()
        self._resolve_at = 0.0
        self._paused: frozenset[TopicPartition] = frozenset()
        self._trouble: str | None = None
        self._refused: str | None = None
        self._recovery_at = 0.0
        self._missing: set[str] = set()
        self._topics: Sequence[str] = ()
        self._committing: dict[TopicPartition, int] | None = None
        config = {**properties, "error_cb": self._on_error, "on_commit": self._on_commit}
        try:
            self._consumer = Consumer(config, logger=ClientLog(logger, clock))
        except (KafkaException, SystemError, ValueError, TypeError) as error:
            raise CannotStart(f"{CONSUMER_CONFIG}: the Kafka client does not take it: {why(error)}") from error
        self._beginnings = Beginnings(self._consumer, start_at, wall_ms, logger)

    # -- reaching the cluster

    def reach(self, topics: Iterable[str], limit: float) -> set[str]:
        """Ask for each topic; returns those that do not exist. Raises CannotStart when refused, or after `limit` s."""
        found = self.ask(topics, limit)
        if refused := [f"topic {topic}: {state}" for topic, state in found.items() if state not in (THERE, MISSING)]:
            raise CannotStart("; ".join(refused))
        missing = {topic for topic, state in found.items() if state == MISSING}
        self._missing |= missing  # whoever asks is told, and will say so
        return missing

    def ask(self, topics: Iterable[str], limit: float) -> dict[str, str]:
        """THERE or MISSING for each topic, or why it is refused. Raises CannotStart where no broker is reached."""
        end = self._clock() + limit
        return {topic: self._asked(topic, end, limit) for topic in topics}

    def _asked(self, topic: str, end: float, limit: float) -> str:
        patience = SHORTEST_ASK_SECONDS  # at first short: a refusal is only told between two questions
        while True:
            try:
                found = self._consumer.list_topics(topic, timeout=max(0.1, min(patience, end - self._clock())))
                break
            except KafkaException as error:
                patience = min(2 * patience, ASK_SECONDS)
                self._consumer.poll(0)
                if self._refused is not None or self._clock() >= end:
                    raise CannotStart(self._no_answer(why(error), limit)) from None
        state = found.topics[topic].error
        if state is not None and state.code() in REFUSED:
            return f"{state.str()}: the principal needs READ and DESCRIBE on it"
        gone = (state is not None and not state.retriable()) or not found.topics[topic].partitions
        return MISSING if gone else THERE

    def _no_answer(self, reason: str, limit: float) -> str:
        if self._refused is not None:
            return f"{self.servers} refused the connection: {self._refused}. See sasl.* and ssl.* in {CONSUMER_CONFIG}"
        found = reason if self._trouble is None else self._trouble
        see = f"See source.config.connection.bootstrap, and security.protocol in {CONSUMER_CONFIG}"
        return f"{self.servers} did not answer within {limit:g} s: {found}. {see}"

    def cluster_id(self, topic: str) -> str:
        """The cluster's id, asked for beside a topic that may be described; `unknown` where it gives none."""
        try:
            found = self._consumer.list_topics(topic, timeout=ASK_SECONDS)
        except KafkaException:
            return "unknown"
        return found.cluster_id if found.cluster_id is not None else "unknown"

    # -- the group

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        """Join the group."""
        self._listener = listener
        self._topics = topics
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def close(self) -> None:
        """Leave the group and end."""
        self._consumer.close()

    def _on_assign(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        tps = [self._tp(each.topic, each.partition) for each in partitions]
        self._missing -= {tp.topic for tp in tps}
        starts = self._resolve(tps)
        self._unresolved = {tp for tp in tps if tp not in starts} | (self._unresolved if self._incremental else set())
        self._take(starts, replace=not self._incremental)

    def _take(self, starts: Mapping[TopicPartition, Start], replace: bool) -> None:
        assert self._listener is not None
        new = [KafkaPartition(tp.topic, tp.partition, start.offset) for tp, start in starts.items()]
        if replace:
            self._starts = {}
            self._consumer.assign(new)
        elif new:
            self._consumer.incremental_assign(new)
        self._starts |= {tp: start.offset for tp, start in starts.items()}
        if new:
            # A pause outlives a revocation in librdkafka: what is assigned begins unpaused.
            self._consumer.resume(new)
        self._paused -= frozenset(starts)
        self._listener.assigned(starts)

    def _on_revoke(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        assert self._listener is not None
        gone = self._forget(partitions)
        self._listener.revoked(gone)

    def _on_lost(self, _: Consumer, partitions: list[KafkaPartition]) -> None:
        assert self._listener is not None
        self._listener.lost(self._forget(partitions))

    def _forget(self, partitions: list[KafkaPartition]) -> list[TopicPartition]:
        gone = [self._tp(each.topic, each.partition) for each in partitions]
        self._unresolved -= set(gone)
        for tp in gone:
            self._starts.pop(tp, None)
        return gone

    # -- where partitions begin

    def _resolve(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, Start]:
        """Only what the broker answered for: no answer is never "no offset"."""
        starts: dict[TopicPartition, Start] = {}
        by_topic: dict[str, list[TopicPartition]] = {}
        for tp in tps:
            by_topic.setdefault(tp.topic, []).append(tp)
        for topic, mine in by_topic.items():
            try:
                starts |= self._beginnings.of(topic, mine)
            except (KafkaException, Transient) as error:
                self._resolve_at = self._clock() + RESOLVE_AGAIN_SECONDS
                self._tell(f"where to begin topic {topic} could not be asked: {why(error)}")
        return starts

    def _resolve_again(self) -> None:
        if not self._unresolved or self._clock() < self._resolve_at:
            return
        starts = self._resolve(sorted(self._unresolved))
        if not starts:
            return
        self._unresolved -= set(starts)
        if self._incremental:
            self._take(starts, replace=False)
            return
        # The eager protocol knows only whole assignments: what is read already goes on where it is.
        held = self.positions(self._starts)
        whole = [KafkaPartition(tp.topic, tp.partition, offset) for tp, offset in held.items()]
        whole += [KafkaPartition(tp.topic, tp.partition, start.offset) for tp, start in starts.items()]
        self._consumer.assign(whole)
        self._consumer.resume(whole)
        self._starts |= {tp: start.offset for tp, start in starts.items()}
        paused, self._paused = self._paused, frozenset()
        self.set_paused(paused)
        assert self._listener is not None
        self._listener.assigned(starts)

    # -- records

    def poll(self, limit: int, timeout: float) -> list[Record]:
        """Records, with the listener called for all else that came."""
        self._resolve_again()
        records: list[Record] = []
        for message in self._consumer.consume(limit, timeout):
            error = message.error()
            if error is not None:
                self._on_message_error(message, error)
            else:
                records.append(self._record(message))
        if self._trouble is not None:
            self._look_for_recovery(bool(records))
        return records

    def _record(self, message: Message) -> Record:
        # The client's stubs allow for messages that were never delivered, and for headers as they are produced.
        of: Any = message
        kind, timestamp = of.timestamp()
        headers = of.headers()
        return Record(
            self._tp(of.topic(), of.partition()),
            of.offset(),
            timestamp,
            _TIMESTAMP_TYPES.get(kind, "NOT_AVAILABLE"),
            of.key(),
            of.value(),
            tuple(headers) if headers else (),
        )

    def _tp(self, topic: str, partition: int) -> TopicPartition:
        found = self._partitions.get((topic, partition))
        if found is None:
            found = self._partitions[topic, partition] = TopicPartition(topic, partition)
        return found

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
            try:
                _, high = self._consumer.get_watermark_offsets(KafkaPartition(tp.topic, tp.partition), cached=True)
            except KafkaException:
                continue
            if high >= 0:
                ends[tp] = high
        return ends

    # -- commits

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Send a commit; at most one is on its way."""
        assert self._committing is None
        self._committing = dict(offsets)
        try:
            self._consumer.commit(offsets=self._marked(offsets), asynchronous=True)
        except KafkaException as error:
            self._answered(why(error))

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit and wait, as long as librdkafka does."""
        try:
            answered = self._consumer.commit(offsets=self._marked(offsets), asynchronous=False) or []
        except KafkaException as error:
            if error.args[0].code() != NO_OFFSET:
                raise Transient(why(error)) from error
            return
        if (found := real([each.error for each in answered])) is not None:
            raise Transient(found.str())

    def _marked(self, offsets: Mapping[TopicPartition, int]) -> list[KafkaPartition]:
        first = self._beginnings.first_starts
        return [
            KafkaPartition(tp.topic, tp.partition, offset, metadata=mark(first[tp.topic]) if tp.topic in first else "")
            for tp, offset in offsets.items()
        ]

    def _on_commit(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        if self._committing is None:
            return
        found = real([error, *(each.error for each in partitions)])
        self._answered(None if found is None else found.str())

    def _answered(self, error: str | None) -> None:
        assert self._listener is not None
        offsets, self._committing = self._committing, None
        if offsets is not None:
            self._listener.committed(offsets, error)

    # -- errors

    def _on_error(self, error: KafkaError) -> None:
        """From librdkafka, within poll: what it could not do in the background."""
        text = plain(error.str())
        if error.fatal():
            raise Fatal(f"Kafka client: {text}")
        if error.code() in REFUSED:
            self._refused = text
        if error.code() != ALL_DOWN or self._trouble is None:  # it never says why
            self._tell(text)

    def _on_message_error(self, message: Message, error: KafkaError) -> None:
        if error.fatal():
            raise Fatal(f"Kafka client: {error.str()}")
        topic, partition = message.topic(), message.partition()
        if error.code() in OUT_OF_RANGE and topic is not None and partition is not None:
            self._on_gap(self._tp(topic, partition))
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and topic:
            if topic not in self._missing:
                self._missing.add(topic)
                self._logger.warning("topic %s does not exist yet: waiting for it", topic)
        else:
            self._tell(error.str())

    def _on_gap(self, tp: TopicPartition) -> None:
        assert self._listener is not None
        if tp not in self._starts:
            return
        asked = KafkaPartition(tp.topic, tp.partition)
        try:
            low, high = self._consumer.get_watermark_offsets(asked, timeout=ASK_SECONDS)
            asked.offset = self._listener.gap(tp, low, high)
            self._starts[tp] = min(self._starts[tp], asked.offset)
            self._consumer.seek(asked)
        except KafkaException as error:
            # Reading stands still until it is sought: have it assigned anew.
            self._tell(f"{tp} is out of range and could not be moved: {why(error)}")
            self._starts.pop(tp, None)
            self._unresolved.add(tp)
            self._resolve_at = self._clock() + RESOLVE_AGAIN_SECONDS

    def _tell(self, reason: str) -> None:
        if reason != self._trouble and self._listener is not None:
            self._listener.trouble(reason)
        if self._trouble is None:
            self._recovery_at = self._clock() + RECOVERY_CHECK_SECONDS
        self._trouble = reason

    def _look_for_recovery(self, records: bool) -> None:
        # librdkafka tells when brokers go, not when they are back: ask, briefly and not often.
        if not records:
            if self._clock() < self._recovery_at or self._unresolved:
                return
            self._recovery_at = self._clock() + RECOVERY_CHECK_SECONDS
            try:
                topic = self._topics[0]
                state = self._consumer.list_topics(topic, timeout=1.0).topics[topic].error
            except KafkaException:
                return
            if state is not None and state.code() in REFUSED:
                return
        self._trouble = self._refused = None
        assert self._listener is not None
        self._listener.trouble(None)
