"""Topics that nothing is ever redriven to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from datahub_poller.config.values import DATAHUB_TOPICS

_INSTEAD = (
    "every other consumer of it would see the events again. "
    "Use --to handler, or name a topic that only those read who are to see them"
)


def topic_problem(topic: str, routes: Collection[str], letters_topic: str | None, origins: Iterable[str]) -> str | None:
    """Why nothing may be produced to the topic, and what to do instead; None where it may.

    `routes` are the topics that the action reads, `letters_topic` that of its dead letters, `origins` those that the
    chosen letters came from.
    """
    if topic in routes:
        return f"--to topic {topic}: the action reads it (source.config.topic_routes), and {_INSTEAD}"
    if topic in DATAHUB_TOPICS:
        return f"--to topic {topic}: it is DataHub's own, and {_INSTEAD}"
    if topic == letters_topic:
        return f"--to topic {topic}: it holds the dead letters (dead_letter.config.topic). Name another topic"
    if topic in set(origins):
        return f"--to topic {topic}: chosen letters came from it, and {_INSTEAD}"
    return None
