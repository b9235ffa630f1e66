"""Which assignors the brokers have for groups of the consumer protocol. Only joining, or this, tells."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, if not in so many words
    AdminClient,
    ConfigResource,
    ResourceType,
)

from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.topic_ids import connection_of

KEY: Final = "group.remote.assignor"
USUAL: Final = frozenset({"uniform", "range"})
"""What brokers have unless they are configured otherwise."""


def known_assignors(
    properties: Mapping[str, Any], clock: Callable[[], float], logger: logging.Logger, limit: float
) -> frozenset[str] | None:
    """As a broker's `group.consumer.assignors` has them; None where that is not told (no right, an older broker)."""
    try:
        admin = AdminClient(connection_of(properties), logger=ClientLog(logger, clock))
        broker = ConfigResource(ResourceType.BROKER, str(next(iter(admin.list_topics(timeout=limit).brokers))))
        config = admin.describe_configs([broker], request_timeout=limit)[broker].result(limit + 1.0)
    except (KafkaException, TimeoutError, StopIteration):
        return None
    entry = config.get("group.consumer.assignors")
    return None if entry is None or not entry.value else frozenset(map(_name, entry.value.split(",")))


def doubt(name: str, known: frozenset[str] | None) -> str | None:
    """What is wrong with the assignor's name, in words; None where nothing is known to be."""
    if name in (USUAL if known is None else known):
        return None
    if known is None:
        return f"{name!r} is neither uniform nor range: `run` ends with exit code 1 where the brokers do not have it"
    return f"the brokers have no assignor {name!r}: use one of {', '.join(sorted(known))}"


def _name(text: str) -> str:
    """Apache Kafka's own may be configured by their classes."""
    last = text.strip().rpartition(".")[2]
    return last.removesuffix("Assignor").lower() if last.endswith("Assignor") else last
