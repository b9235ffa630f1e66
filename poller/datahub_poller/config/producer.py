"""The librdkafka properties that dead letters in a topic are written and read with, and where each comes from.

Must not import the Kafka client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from datahub_poller.config.librdkafka import property_text, with_whole_paths
from datahub_poller.config.models import ActionFile
from datahub_poller.config.properties import consumer_properties
from datahub_poller.msk import with_region

OURS: Final[Mapping[str, str]] = {"acks": "all", "enable.idempotence": "true", "allow.auto.create.topics": "false"}
"""What makes a letter that is acknowledged one that is there, once, and in a topic that somebody meant to be there."""

DEFAULTS: Final[Mapping[str, str]] = {
    "client.id": "datahub-poller",
    "partitioner": "murmur2_random",  # as Java's, so that a key's letters stay in order whoever writes them
    # A broker refuses a whole request that is too large: of one message, so that the others are not refused with it.
    "batch.num.messages": "1",
    "linger.ms": "0",
    # The topic says what is too large, not the client; brokers take requests of up to 100 MiB.
    "message.max.bytes": str(64 * 2**20),
    "reconnect.backoff.max.ms": "1000",
    "topic.metadata.propagation.max.ms": "5000",
}

_OF_A_CONNECTION: Final = (
    "api.version.",
    "broker.address.",
    "client.",
    "connections.",
    "debug",
    "enable.metrics.",
    "enable.sasl.",
    "enable.ssl.",
    "https.ca.",
    "log",
    "metadata.recovery.",
    "oauth_cb",
    "reconnect.backoff.",
    "retry.backoff.",
    "sasl.",
    "security.",
    "socket.",
    "ssl.",
)
_OF_CONSUMERS: Final = ("client.rack",)
_SAME: Final[Mapping[str, str]] = {
    "sasl.mechanism": "sasl.mechanisms",
    "sasl.mechanisms": "sasl.mechanism",
    "queue.buffering.max.ms": "linger.ms",
}
"""A property that is given, and the one that it is another name for."""


def producer_properties(action: ActionFile, environ: Mapping[str, str]) -> dict[str, Any]:
    """The producer's properties, as texts (`oauth_cb` still as `module:function`).

    To the source's cluster it goes as the consumer does; to another one with `producer_config` alone.
    """
    given = {key: property_text(value) for key, value in action.dead_letter.config.producer_config.items()}
    properties = {**DEFAULTS, **_connection(action, environ)}
    for key in given:
        properties.pop(_SAME.get(key, ""), None)
    return with_whole_paths(with_region({**properties, **given, **OURS}), action.working_directory)


def letters_consumer_properties(action: ActionFile, environ: Mapping[str, str]) -> dict[str, Any]:
    """What reads the topic: the producer's connection, and only records of transactions that were committed."""
    properties = producer_properties(action, environ)
    connection = {key: value for key, value in properties.items() if key.startswith(_OF_A_CONNECTION)}
    return {
        **connection,
        "bootstrap.servers": properties["bootstrap.servers"],
        "group.id": action.name,
        "isolation.level": "read_committed",
        # As the action's own consumer, and for the same reason.
        "queued.max.messages.kbytes": "8192",
        "fetch.queue.backoff.ms": "10",
    }


def _connection(action: ActionFile, environ: Mapping[str, str]) -> dict[str, Any]:
    own = action.dead_letter.config.bootstrap
    if own is not None:
        return {"bootstrap.servers": own}
    consumer, _ = consumer_properties(action, environ)
    return {
        key: value
        for key, value in consumer.items()
        if key == "bootstrap.servers" or (key.startswith(_OF_A_CONNECTION) and key not in _OF_CONSUMERS)
    }
