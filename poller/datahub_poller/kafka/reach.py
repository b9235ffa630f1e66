"""Whether the cluster answers, and what it says of the topics, before anything is subscribed to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import CannotStart
from datahub_poller.kafka.begin import ASK_SECONDS
from datahub_poller.kafka.trouble import Trouble
from datahub_poller.kafka.words import REFUSED, group_refused, settings_about, topic_refused, why

CONSUMER_CONFIG: Final = "source.config.connection.consumer_config"
THERE: Final = "exists"
MISSING: Final = "does not exist"
SHORTEST_ASK_SECONDS: Final = 0.25


class Reach:
    """Asks through the consumer that it shares with its owner. `servers` names the cluster in messages.

    `alive` is told before each question.
    """

    def __init__(
        self,
        consumer: Consumer,
        trouble: Trouble,
        servers: str,
        group: str,
        clock: Callable[[], float],
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._alive = alive
        self._consumer = consumer
        self._trouble = trouble
        self._servers = servers
        self._group = group
        self._clock = clock

    def missing(self, topics: Iterable[str], limit: float, waits: Callable[[str], None] = lambda _: None) -> set[str]:
        """Those topics that do not exist. Raises CannotStart when refused, or after `limit` s.

        `waits` hears why there is no answer yet, after each question.
        """
        found = self.ask(topics, limit, waits)
        refused = [state for state in found.values() if state not in (THERE, MISSING)]
        if (refusal := self.group_refusal(next(iter(found)))) is not None:
            refused.append(refusal)
        if refused:
            raise CannotStart("; ".join(refused))
        return {topic for topic, state in found.items() if state == MISSING}

    def ask(self, topics: Iterable[str], limit: float, waits: Callable[[str], None] = lambda _: None) -> dict[str, str]:
        """THERE or MISSING for each topic, or why it is refused. Raises CannotStart where no broker is reached."""
        end = self._clock() + limit
        return {topic: self._asked(topic, end, limit, waits) for topic in topics}

    def _asked(self, topic: str, end: float, limit: float, waits: Callable[[str], None]) -> str:
        patience = SHORTEST_ASK_SECONDS  # at first short: a refusal is only told between two questions
        while True:
            self._alive()
            try:
                found = self._consumer.list_topics(topic, timeout=max(0.1, min(patience, end - self._clock())))
                break
            except KafkaException as error:
                patience = min(2 * patience, ASK_SECONDS)
                self._consumer.poll(0)
                if self._trouble.refused is not None or self._clock() >= end:
                    raise CannotStart(self._no_answer(why(error), limit)) from None
                waits(f"{self._servers} does not answer: {self._trouble.reason or why(error)}")
        state = found.topics[topic].error
        if state is not None and state.code() in REFUSED:
            return topic_refused(topic, state.str())
        gone = (state is not None and not state.retriable()) or not found.topics[topic].partitions
        return MISSING if gone else THERE

    def group_refusal(self, topic: str) -> str | None:
        """Why the group may not be used. None where it may be, or where no coordinator answers yet: that is waited for.

        What it has committed for `topic` is asked for, without joining it.
        """
        end = self._clock() + ASK_SECONDS
        while True:
            self._alive()
            try:
                self._consumer.committed([KafkaPartition(topic, 0)], timeout=SHORTEST_ASK_SECONDS)
            except KafkaException as error:
                errors = [error.args[0]]
            else:
                return None
            # While the coordinator is not told, it is only said here that it never will be.
            if (message := self._consumer.poll(0)) is not None:
                errors.append(message.error())
            for each in errors:
                if each is not None and each.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                    return group_refused(self._group, each.str())
            if self._clock() >= end:
                return None

    def _no_answer(self, reason: str, limit: float) -> str:
        if (refused := self._trouble.refused) is not None:
            return f"{self._servers} refused the connection: {refused}. See {settings_about(refused, CONSUMER_CONFIG)}"
        found = reason if self._trouble.reason is None else self._trouble.reason
        see = f"See source.config.connection.bootstrap, and security.protocol in {CONSUMER_CONFIG}"
        return f"{self._servers} did not answer within {limit:g} s: {found}. {see}"

    def cluster_id(self, topic: str) -> str:
        """The cluster's id, asked for beside a topic that may be described; `unknown` where it has none.

        No answer is CannotStart: handlers are made idempotent with an id that must not change from run to run.
        """
        self._alive()
        try:
            found = self._consumer.list_topics(topic, timeout=ASK_SECONDS)
        except KafkaException as error:
            raise CannotStart(self._no_answer(why(error), ASK_SECONDS)) from None
        return found.cluster_id if found.cluster_id is not None else "unknown"
