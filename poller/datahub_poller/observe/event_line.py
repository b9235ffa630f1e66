"""One event as one line for a person: when, where, what happened to which entity.

Pure. Knows DataHub's field names and no colours: `paint` gets each part with its role. Whatever is in a record, it
can neither end the line nor steer the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from datahub_poller.model import Envelope, Failure, Record
from datahub_poller.observe.scrub import as_text, one_line

Role = Literal["time", "place", "type", "entity", "change", "bad", "aside"]
Paint = Callable[[str, Role], str]
Part = tuple[Role, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME = "-"
_DROPPED = "(dropped by the filters)"


def plain(text: str, _: Role) -> str:
    """Without colour."""
    return text


def event_line(envelope: Envelope, paint: Paint = plain, *, dropped: bool = False) -> str:
    """`2026-01-31T08:00:00.000Z PlatformEvent_v1-1@72 EntityChangeEvent_v1 urn:li:... TAG ADD urn:li:tag:gold`.

    `dropped` marks what the action's filters do not let through.
    """
    kafka = envelope["meta"]["kafka"]
    place = f"{kafka['topic']}-{kafka['partition']}@{kafka['offset']}"
    head = _head(kafka["timestamp"], place)
    parts: list[Part] = [*head, ("type", envelope["event_type"]), *_said(envelope["event"])]
    if dropped:
        parts.append(("aside", _DROPPED))
    return _joined(parts, paint)


def undecodable_line(record: Record, failure: Failure, paint: Paint = plain) -> str:
    """`2026-01-31T08:00:00.000Z PlatformEvent_v1-1@72 UNDECODABLE not_avro: ... (17 bytes)`."""
    size = f"({len(record.value or b'')} bytes)"
    said: list[Part] = [("bad", "UNDECODABLE"), ("bad", str(failure)), ("aside", size)]
    return _joined([*_head(record.timestamp, str(record)), *said], paint)


def time_text(milliseconds: int) -> str:
    """The time in ISO 8601, UTC; a dash where a record has none; the number where no calendar has it."""
    if milliseconds < 0:
        return _NO_TIME
    try:
        at = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds}ms"
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _head(timestamp: int, place: str) -> list[Part]:
    return [("time", time_text(timestamp)), ("place", place)]


def _said(event: Mapping[str, Any]) -> Iterator[Part]:
    if "sourceUrn" in event:
        yield "entity", event["sourceUrn"]
        yield "aside", "->"
        yield "entity", event.get("destinationUrn")
        names: tuple[str, ...] = ("operation", "relationshipType")
    elif "category" in event:
        yield "entity", event.get("entityUrn")
        names = ("category", "operation", "modifier")
    else:  # a change log may name its entity by a key aspect alone
        yield "entity", event.get("entityUrn", event.get("entityType"))
        names = ("aspectName", "changeType")
    for name in names:
        if event.get(name) is not None:
            yield "change", event[name]


def _joined(parts: list[Part], paint: Paint) -> str:
    return " ".join(paint(one_line(as_text(text)), role) for role, text in parts)
