"""A letter's record and its event, as a handler gets them again. It must not know who asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from datahub_poller.deadletter.found import Found
from datahub_poller.deadletter.redriven import redrive_meta
from datahub_poller.model import Envelope, Record, TopicPartition
from datahub_poller.record_readers import coordinates_of

NOWHERE: Final = "letters of DataHub Actions"
"""Stands for the topic of a letter that says none; no topic's name has spaces."""


def record_of(letter: Found, number: int) -> Record:
    """The record. A letter without one stands for a record without bytes, at the offset `number` if it says none."""
    if not letter.foreign:
        return letter.record()
    if letter.tp is None or letter.offset is None:
        return Record(TopicPartition(NOWHERE, 0), number, -1, "NOT_AVAILABLE", None, None, ())
    return Record(letter.tp, letter.offset, -1, "NOT_AVAILABLE", None, None, ())


def envelope_of(letter: Found, event_type: str, event: Mapping[str, Any]) -> Envelope:
    """The envelope of this event: `meta.kafka` as it was, and `meta.redrive`, which says that the event is old."""
    meta: dict[str, Any] = {} if (kafka := _kafka(letter)) is None else {"kafka": kafka}
    return {"event_type": event_type, "event": event, "meta": {**meta, "redrive": redrive_about(letter)}}


def redrive_about(letter: Found) -> dict[str, Any]:
    """What `meta.redrive` says."""
    if not letter.foreign:
        return redrive_meta(letter.document)
    topic, partition = letter.tp or (None, None)
    origin = {"cluster": None, "topic": topic, "partition": partition, "offset": letter.offset}
    return {"count": 1, "letter": letter.id, "failed_at": None, "error": letter.error, "origin": origin}


def cluster_of(letter: Found) -> str:
    """The cluster that the record was read from."""
    return str(letter.document["meta"]["kafka"].get("cluster") or "unknown")


def _kafka(letter: Found) -> Any:
    if letter.foreign:
        return letter.document["meta"].get("kafka")
    record = letter.record()
    return coordinates_of(record.tp, cluster_of(letter))(record)
