"""A dead letter as it was read back: what of it is chosen by, counted and shown. Pure.

Reads our own lines, and those that DataHub Actions has left in the same kind of file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from datahub_poller.deadletter.letter import FORMAT, VERSION
from datahub_poller.deadletter.store import Stored
from datahub_poller.model import Record, TopicPartition


class NotALetter(Exception):
    """The line is not a dead letter. The text says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """A letter, its particulars taken from its document. `at` and `timestamp` are epoch seconds.

    `foreign`: DataHub Actions wrote it. It has an event and no record: no bytes, no coordinates but those it may hold.
    """

    stored: Stored
    document: Mapping[str, Any]
    id: str
    action: str
    redrives: int
    at: float | None
    stage: str
    kind: str
    message: str
    tp: TopicPartition | None
    offset: int | None
    key: str | None
    event_type: str | None
    entity: str | None
    aspect: str | None
    foreign: bool = False

    @property
    def name(self) -> tuple[str, str, int]:
        """What the ledger knows it by: action, id, redrives."""
        return self.action, self.id, self.redrives

    @property
    def error(self) -> str:
        """The error in a line."""
        return f"{self.kind}: {self.message}" if self.message else self.kind

    def record(self) -> Record:
        """The record, byte for byte. Raises NotALetter where the letter has none."""
        if self.tp is None or self.offset is None:
            raise NotALetter("it holds no record")
        about = self.document["meta"]
        try:
            raw, kafka = about["raw"], about["kafka"]
            headers = tuple((str(name), _bytes(value)) for name, value in raw["headers"])
            return Record(
                self.tp,
                self.offset,
                int(kafka["timestamp"]),
                str(kafka["timestamp_type"]),
                _bytes(raw["key"]),
                _bytes(raw["value"]),
                headers,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NotALetter(f"its record cannot be read: {type(error).__name__}: {error}") from None


def found(stored: Stored, action: str) -> Found:
    """What a stored line is. A line of DataHub Actions' says no action: it counts as `action`'s. Raises NotALetter."""
    try:
        document = json.loads(stored.line)  # not orjson: it refuses lone surrogates, which our letters may hold
    except (ValueError, RecursionError) as error:
        raise NotALetter(f"it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise NotALetter("it is not a JSON object")
    about = document.get("meta")
    if isinstance(about, dict) and about.get("format") == FORMAT:
        if about.get("version") != VERSION:
            raise NotALetter(f"its version is {about.get('version')!r}, and this poller reads {VERSION}")
        try:
            return _ours(stored, document, about)
        except (KeyError, TypeError, ValueError) as error:
            raise NotALetter(f"it is damaged: {type(error).__name__}: {error}") from None
    if isinstance(document.get("event_type"), str) and isinstance(document.get("event"), dict):
        return _theirs(stored, document, action)
    raise NotALetter("it has neither our form nor that of DataHub Actions")


def _ours(stored: Stored, document: dict[str, Any], about: dict[str, Any]) -> Found:
    failure, kafka = about["failure"], about["kafka"]
    event = document["event"]
    return Found(
        stored,
        document,
        id=str(about["id"]),
        action=str(about["action"]),
        redrives=int(about["redrives"]),
        at=datetime.fromisoformat(about["at"]).timestamp(),
        stage=str(failure["stage"]),
        kind=str(failure["kind"]),
        message=str(failure["message"]),
        tp=TopicPartition(str(kafka["topic"]), int(kafka["partition"])),
        offset=int(kafka["offset"]),
        key=kafka["key"],
        event_type=document["event_type"],
        entity=entity_of(event),
        aspect=aspect_of(event),
    )


def _theirs(stored: Stored, document: dict[str, Any], action: str) -> Found:
    event = document["event"]
    meta = document.get("meta")
    kafka = meta.get("kafka") if isinstance(meta, dict) else None
    place = _place(kafka) if isinstance(kafka, dict) else None
    return Found(
        stored,
        {**document, "meta": meta if isinstance(meta, dict) else {}},
        id=f"datahub-actions/{hashlib.blake2b(stored.line.strip(), digest_size=12).hexdigest()}",
        action=action,
        redrives=0,
        at=None,
        stage="handler",
        kind="unknown",
        message="DataHub Actions does not say why",
        tp=None if place is None else place[0],
        offset=None if place is None else place[1],
        key=None,
        event_type=document["event_type"],
        entity=entity_of(event),
        aspect=aspect_of(event),
        foreign=True,
    )


def _place(kafka: Mapping[str, Any]) -> tuple[TopicPartition, int] | None:
    topic, partition, offset = kafka.get("topic"), kafka.get("partition"), kafka.get("offset")
    if isinstance(topic, str) and isinstance(partition, int) and isinstance(offset, int):
        return TopicPartition(topic, partition), offset
    return None


def entity_of(event: Mapping[str, Any] | None) -> str | None:
    """The urn of the entity that an event is about, a relationship's source, where it says one."""
    return next(_texts(event, ("entityUrn", "sourceUrn")), None)


def aspect_of(event: Mapping[str, Any] | None) -> str | None:
    """The aspect that a change log is about; an entity change event's category."""
    return next(_texts(event, ("aspectName", "category")), None)


def _texts(event: Mapping[str, Any] | None, names: tuple[str, ...]) -> Iterator[str]:
    return (value for name in names if isinstance(value := (event or {}).get(name), str))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
