"""Which topic is behind a name: one that was deleted and made again has another id, and nothing else tells.

A fetch and a commit go by the name: the new topic would be read, and committed, from the old one's offset.
The consumer cannot ask, so a client beside it does. Never waits; where no ids are told it has nothing to say.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.words import why
from datahub_poller.model import TopicPartition
from datahub_poller.observe.logs import log_event

EVERY_SECONDS: Final = 10.0
"""As often as the consumer looks for new partitions. Longer only makes more of a new topic come twice."""
RARELY_SECONDS: Final = 60.0
"""Where no id was ever told: brokers are upgraded, and rights are given."""
REQUEST_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 1.0
"""How long a beginning or a gap waits for an answer that usually takes milliseconds."""
_CONNECTION: Final = (
    *("bootstrap.servers", "metadata.broker.list", "client.id", "client.dns.lookup", "oauth_cb", "log_level", "debug"),
    *("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.", "socket.", "connections.", "reconnect."),
    *("retry.backoff.", "broker.", "api.version.", "metadata.recovery.", "log.connection.close", "log.thread.name"),
    *("enable.metrics.push", "receive.message.max.bytes"),
)
FAILURES: Final = (KafkaException, SystemError, ValueError, TypeError)


class TopicIds:
    """`read` is the id under which a partition is, or was last, read by this process; what is not known is left out.

    `missing` are the topics that do not exist, by the newest answer, or because `lack` said so since.
    """

    def __init__(self, properties: Mapping[str, Any], clock: Callable[[], float], logger: logging.Logger) -> None:
        self.read: dict[TopicPartition, str] = {}
        self.remade: set[str] = set()
        self.missing: set[str] = set()
        self._properties = connection_of(properties)
        self._clock = clock
        self._logger = logger
        self._client: Future[AdminClient] | None = None
        self._asked: dict[str, Future[Any]] = {}
        self._due = float("inf")
        self._patient_until = 0.0
        self._fresh: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._news = False
        self._said = False

    # -- what is known

    def began(self, tp: TopicPartition, marked: str) -> None:
        """The partition is read from a commit with this mark, or from none. Then what was read before counts."""
        if marked:
            self.read[tp] = marked
        self._news = True

    def replaced(self, owned: Collection[TopicPartition]) -> list[TopicPartition]:
        """Those of a topic that is not the one that they were read of. An id that is told first is taken as it is."""
        if not self._news:
            return []
        self._news = False
        for tp in owned:
            if tp.topic in self._fresh:
                self.read.setdefault(tp, self._fresh[tp.topic])
        return [tp for tp in owned if self.is_new(tp)]

    def is_new(self, tp: TopicPartition) -> bool:
        """Whether the topic is another than the partition was read of."""
        now = self._fresh.get(tp.topic)
        return now is not None and self.read.get(tp, now) != now

    def now(self, topic: str) -> str:
        """The id that the topic was last seen with; empty where none was told."""
        return self._fresh.get(topic, "")

    def moved(self, tp: TopicPartition) -> None:
        """The partition is read of the topic as it is now."""
        if tp.topic in self._fresh:
            self.read[tp] = self._fresh[tp.topic]

    @property
    def waiting(self) -> bool:
        """Whether an answer is worth a moment's waiting: it was asked for, and there were answers before."""
        return bool(self._last) and not self._fresh and self._clock() < self._patient_until

    # -- which topics exist

    def lack(self, topic: str) -> None:
        """The topic does not exist: look for it from now on."""
        self.missing.add(topic)
        self._due = min(self._due, self._clock() + EVERY_SECONDS)

    def exist(self, topics: Collection[str]) -> None:
        """These exist."""
        self.missing.difference_update(topics)

    # -- asking

    def doubt(self) -> None:
        """What was told until now counts no more: ask at once."""
        self._asked, self._fresh = {}, {}
        self._due = self._clock()
        self._patient_until = self._due + PATIENCE_SECONDS

    def look(self, topics: Sequence[str]) -> None:
        """Take an answer that came, or ask if it is time."""
        if self._asked:
            assert self._client is not None
            self._client.result().poll(0)
            if all(future.done() for future in self._asked.values()):
                self._take()
        elif self._clock() >= self._due:
            self._ask(topics)

    def close(self) -> None:
        """End the client, if there is one."""
        self._due, self._asked, self._client = float("inf"), {}, None

    def _ask(self, topics: Sequence[str]) -> None:
        if self._client is None:
            self._client = made_aside(self._properties, ClientLog(self._logger, self._clock), "topic-ids")
        if not self._client.done():
            return
        try:
            client = self._client.result()
            self._asked = client.describe_topics(TopicCollection(list(topics)), request_timeout=REQUEST_SECONDS)
        except FAILURES as error:
            self._client = None
            self._answered(why(error))

    def _take(self) -> None:
        asked, self._asked = self._asked, {}
        failure: str | None = None
        for topic, future in asked.items():
            try:
                found = _text(future.result().topic_id)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    self.missing.add(topic)
                else:
                    failure = why(error)
                continue
            self.missing.discard(topic)
            if not found:
                failure = "its brokers are older than 2.8"
                continue
            if self._last.get(topic, found) != found:
                self.remade.add(topic)
            self._fresh[topic] = self._last[topic] = found
        self._answered(failure)

    def _answered(self, failure: str | None) -> None:
        self._news = True
        self._patient_until = 0.0
        rarely = failure is not None and not self._last and not self.missing
        self._due = self._clock() + (RARELY_SECONDS if rarely else EVERY_SECONDS)
        if failure is not None and not self._last and not self._said:
            self._said = True
            event = "kafka tells no topic ids: that a topic is deleted and made again goes unnoticed"
            log_event(self._logger, logging.INFO, event, reason=failure)


def connection_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a consumer that are about its connections. It goes with the token that the consumer got."""
    found = {key: value for key, value in properties.items() if key.startswith(_CONNECTION)}
    if isinstance(token := found.get("oauth_cb"), TokenSource):
        found["oauth_cb"] = token.again
    return found


def made_aside(properties: Mapping[str, Any], log: ClientLog, name: str) -> Future[AdminClient]:
    """Made on a thread of its own: with oauth_cb it takes a second, or ten if there is no token."""
    future: Future[AdminClient] = Future()

    def make() -> None:
        try:
            future.set_result(AdminClient(dict(properties), logger=log))
        except FAILURES as error:
            future.set_exception(error)

    threading.Thread(target=make, name=name, daemon=True).start()
    return future


def _text(uuid: Any) -> str:
    """As Kafka's own tools write it; empty for none. Not as the client does: marks outlive its versions."""
    halves = (uuid.get_most_significant_bits(), uuid.get_least_significant_bits())
    if halves == (0, 0):
        return ""
    raw = b"".join(half.to_bytes(8, "big", signed=True) for half in halves)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
