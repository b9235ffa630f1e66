"""Whether a topic can be written to, found out before anything is: it is there, and the principal may.

It must not make the topic, nor leave a trace in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, if not in so many words
    AclOperation,
    AdminClient,
    ConfigResource,
    ResourceType,
    TopicMetadata,
)

from datahub_poller.errors import CannotStart
from datahub_poller.kafka.begin import ASK_SECONDS
from datahub_poller.kafka.produce_client import TURN_SECONDS, Client
from datahub_poller.kafka.produce_settings import Settings
from datahub_poller.kafka.produce_words import NEVER_MADE, NOT_ALLOWED
from datahub_poller.kafka.reach import SHORTEST_ASK_SECONDS
from datahub_poller.kafka.topic_ids import connection_of
from datahub_poller.kafka.words import REFUSED, settings_about, why

TELL_SECONDS: Final = 2.0
"""How long is waited for what not every broker tells."""


class WriteReach:
    """Asks through the client that it shares with its owner. `servers` names the cluster in messages."""

    def __init__(self, client: Client, servers: str, settings: Settings, clock: Callable[[], float]) -> None:
        self._client = client
        self._servers = servers
        self._settings = settings
        self._clock = clock

    def ask(self, topic: str, limit: float, *, keeps_all: bool) -> None:
        """Raises CannotStart where the topic cannot be written to, or nobody says so within `limit` s."""
        found = self._found(topic, limit)
        where = f"topic {topic} on {self._servers}"
        if found.error is not None and found.error.code() in REFUSED:
            raise CannotStart(f"{where}: {found.error.str()}: {NOT_ALLOWED}")
        if found.error is not None or not found.partitions:
            raise CannotStart(f"{where} {NEVER_MADE}, or see {self._settings.topic}")
        rights, policy = self._told(topic)
        if rights and not {AclOperation.WRITE, AclOperation.ALL}.intersection(rights):
            raise CannotStart(f"{where}: it may not be written to: {NOT_ALLOWED}")
        if keeps_all and "compact" in policy:
            lost = "of each key only the newest record stays"
            raise CannotStart(
                f"{where}: its cleanup.policy is {policy}: {lost}. Make it delete: {self._settings.topic}"
            )

    def _found(self, topic: str, limit: float) -> TopicMetadata:
        end = self._clock() + limit
        patience = SHORTEST_ASK_SECONDS  # at first short: a refusal is only told between two questions
        while True:
            left = end - self._clock()
            reason = "it was described without partitions"
            try:
                asked = self._client.producer.list_topics(topic, timeout=max(0.1, min(patience, left)))
            except KafkaException as error:
                reason = why(error)
                self._client.producer.poll(0)
                if self._client.trouble.refused is not None:
                    raise CannotStart(self._refused(self._client.trouble.refused)) from None
            else:
                found: TopicMetadata = asked.topics[topic]
                if found.error is None or not found.error.retriable() or left <= 0:
                    return found
                self._client.producer.poll(TURN_SECONDS)
            patience = min(2 * patience, ASK_SECONDS)
            if self._clock() >= end:
                raise CannotStart(self._no_answer(reason, limit))

    def _told(self, topic: str) -> tuple[Collection[AclOperation], str]:
        """The principal's rights and the topic's cleanup.policy; what a broker does not tell, or not to all, is empty.

        Rights that are not told are believed to be there: a write will tell.
        """
        try:
            admin = AdminClient(connection_of(self._client.properties), logger=self._client.log)
            rights = admin.describe_topics(
                TopicCollection([topic]), include_authorized_operations=True, request_timeout=TELL_SECONDS
            )[topic]
            resource = ConfigResource(ResourceType.TOPIC, topic)
            settings = admin.describe_configs([resource], request_timeout=TELL_SECONDS)[resource]
        except KafkaException:
            return (), ""
        described, config = _answer(rights), _answer(settings)
        policy = None if config is None else config.get("cleanup.policy")
        return (() if described is None else described.authorized_operations or ()), getattr(policy, "value", "") or ""

    def _refused(self, reason: str) -> str:
        see = f"See {settings_about(reason, self._settings.properties)}"
        return f"the Kafka broker {self._servers} refused the connection: {reason}. {see}"

    def _no_answer(self, reason: str, limit: float) -> str:
        found = reason if self._client.trouble.reason is None else self._client.trouble.reason
        see = f"See {self._settings.bootstrap}, and security.protocol in {self._settings.properties}"
        return f"the Kafka broker {self._servers} did not answer within {limit:g} s: {found}. {see}"


def _answer(asked: Future[Any]) -> Any:
    try:
        return asked.result(TELL_SECONDS + 1)
    except (KafkaException, NoAnswer):
        return None
