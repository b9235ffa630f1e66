"""What a poller waits for, as its status says it, and the lines about it.

Partitions that wait for the same thing are one wait. Where something is told at its beginning and its end by who
found it, only that it lasts is told here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from datahub_poller.observe.logs import log_event
from datahub_poller.observe.status import PollerStatus, SchemaWait
from datahub_poller.observe.waits import Wait, Waits, Words

UNANSWERED_SECONDS: Final = 10.0
"""A registry that has not answered yet has given no reason. By then a question has run out of time."""
JOINING_SECONDS: Final = 15.0
"""A group waits some seconds for its members."""
ASKED: Final = "asked for"
"""A schema's reason before the first answer."""
NAMED: Final = 10
"""Schemas that are named in a line."""

SCHEMA: Final = Words("waiting for a schema", "still waiting for a schema", "no longer waiting for a schema")
TOPIC: Final = Words("topic does not exist yet: waiting for it", "topic still does not exist", "topic exists now")
SINK: Final = Words(
    "dead letters could not be written, will be tried again",
    "dead letters still cannot be written",
    "no dead letter waits any more",
    "error",
)
KAFKA: Final = Words("kafka is in trouble", "kafka is still in trouble", "kafka answers again")
COMMITS: Final = Words("commit failed, will be tried again", "commits still fail", "no commit fails any more")
GROUP: Final = Words("waiting to join the group", "still waiting to join the group", "no longer waiting for the group")
BREAKER: Final = Words(None, "breaker is still open", None, "error")
HANDLER: Final = Words(
    None, "handler still runs past its timeout", "no handler runs past its timeout any more", "error"
)

REGISTRY_KEYS: Final = {
    "confluent": "source.config.connection.schema_registry_url",
    "glue": "source.config.schema_registry",
}
_REASONS: Final = (("kafka: ", KAFKA), ("commits fail: ", COMMITS), ("breaker open: ", BREAKER))
_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class WaitWatch:
    """Looks at each snapshot, and tells the log."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._waits = Waits()

    def look(self, status: PollerStatus, now: float) -> None:
        """Tell what has begun, lasts, or is over; not that a wait is over because the poller stops."""
        if status.state == "stopping":
            return
        for line in self._waits.look(waits_of(status), now):
            log_event(self._logger, _LEVELS[line.level], line.event, **line.fields)


def waits_of(status: PollerStatus) -> dict[str, Wait]:
    """By a key that stays the same while it lasts."""
    waits = {f"topic {topic}": _topic(topic) for topic in status.missing_topics}
    for reason in status.reasons:
        for prefix, words in _REASONS:
            if reason.startswith(prefix):
                waits[prefix] = Wait(words, reason.removeprefix(prefix), {})
        if reason.startswith("handler past its timeout"):
            waits["handler"] = Wait(HANDLER, reason, {})
    if status.state == "starting" and status.counters:  # without any, the loop has not begun
        waits["group"] = Wait(GROUP, "it has assigned no partition yet", {}, JOINING_SECONDS)
    waits |= _schemas(status)
    waits |= _sink(status)
    return waits


def _topic(topic: str) -> Wait:
    return Wait(TOPIC, "the brokers know no such topic", {"topic": topic, "see": "source.config.topic_routes"}, 0.0)


def _schemas(status: PollerStatus) -> Iterator[tuple[str, Wait]]:
    """One for each registry: where it is away, every schema that it has waits."""
    standing = Counter(each.reason.partition(": ")[0] for each in status.partitions if each.state == "waiting_schema")
    by_registry: dict[str, list[SchemaWait]] = {}
    for each in status.schemas:
        if standing[each.schema]:
            by_registry.setdefault(each.schema.partition(" ")[0], []).append(each)
    for registry, waiting in by_registry.items():
        oldest = min(waiting, key=lambda each: each.since)
        about = {
            "schemas": sorted(each.schema for each in waiting)[:NAMED],
            "see": REGISTRY_KEYS.get(registry),
            "partitions": sum(standing[each.schema] for each in waiting),
        }
        if oldest.reason == ASKED:
            yield f"schemas {registry}", Wait(SCHEMA, "the registry has not answered yet", about, UNANSWERED_SECONDS)
        else:
            yield f"schemas {registry}", Wait(SCHEMA, oldest.reason, about)


def _sink(status: PollerStatus) -> Iterator[tuple[str, Wait]]:
    """That its letters cannot be written, or that writing them takes long."""
    waiting = [each for each in status.partitions if each.state == "waiting_sink"]
    hanging = [each for each in status.partitions if each.state == "writing_letters" and each.reason]
    about: dict[str, Any] = {"see": "dead_letter", "partitions": len(waiting) + len(hanging)}
    if waiting:
        yield "sink", Wait(SINK, waiting[0].reason or "it has not said why", about)
    elif hanging:
        yield "sink", Wait(SINK, f"letters are being written {hanging[0].reason}", about)
