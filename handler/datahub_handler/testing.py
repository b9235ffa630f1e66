"""For a handler's tests: events as the poller hands them out, a call as the poller makes it, and what came of it.

Standard library only, and of no test framework: works with unittest, pytest and by itself. It must not know the
poller; that the events look like the poller's is a test of this project's.
"""

from __future__ import annotations

import asyncio
import copy
import difflib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from datahub_handler.contract import Context, Coordinates, Envelope, Event, EventType, KafkaMeta, failed_of
from datahub_handler.runtime import Calls, fault_of

__all__ = ["Result", "call", "entity_change_event", "metadata_change_log", "relationship_change_event"]

PLATFORM_TOPIC: Final = "PlatformEvent_v1"
VERSIONED_TOPIC: Final = "MetadataChangeLog_Versioned_v1"
TIMESERIES_TOPIC: Final = "MetadataChangeLog_Timeseries_v1"

DATASET: Final = "urn:li:dataset:(urn:li:dataPlatform:hive,orders,PROD)"
ACTOR: Final = "urn:li:corpuser:jdoe"
TIME: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z

# DataHub's fields in DataHub's order, which is the order in a decoded event.
_ENTITY_CHANGE: Final = "entityType entityUrn category operation modifier auditStamp version parameters"
_RELATIONSHIP_CHANGE: Final = (
    "auditHeader sourceUrn destinationUrn operation relationshipType lifecycleOwner via properties auditStamp"
)
_CHANGE_LOG: Final = (
    "auditHeader entityType entityUrn entityKeyAspect changeType aspectName aspect systemMetadata headers "
    "previousAspectValue previousSystemMetadata created"
)


def entity_change_event(
    urn: str = DATASET,
    category: str = "TAG",
    operation: str = "ADD",
    modifier: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    actor: str = ACTOR,
    time: int = TIME,
    partition: int = 0,
    offset: int = 0,
    topic: str = PLATFORM_TOPIC,
    **fields: Any,
) -> Envelope:
    """Something that people care about has changed: a tag, a term, an owner, a domain, a column, ...

    `fields` are DataHub's own, and win: `auditStamp`, `version`, `entityType`. None leaves a field out.
    """
    event = {
        "entityType": _entity_type(urn, fields),
        "entityUrn": urn,
        "category": category,
        "operation": operation,
        "modifier": modifier,
        "auditStamp": {"time": time, "actor": actor},
        "version": 0,
        "parameters": dict(parameters) if parameters else None,
    }
    body = _ordered(event | fields, _ENTITY_CHANGE)
    return _envelope("EntityChangeEvent_v1", body, f"entityChangeEvent-{urn}", (topic, partition, offset), time)


def relationship_change_event(
    source: str = DATASET,
    destination: str = "urn:li:tag:pii",
    relationship: str = "TaggedWith",
    operation: str = "ADD",
    *,
    actor: str = ACTOR,
    time: int = TIME,
    partition: int = 0,
    offset: int = 0,
    topic: str = PLATFORM_TOPIC,
    **fields: Any,
) -> Envelope:
    """An edge of the graph came (`ADD`) or went (`REMOVE`).

    `fields` are DataHub's own, and win: `properties`, `lifecycleOwner`, `via`, `auditStamp`, ... None leaves one out.
    """
    event = {
        "sourceUrn": source,
        "destinationUrn": destination,
        "operation": operation,
        "relationshipType": relationship,
        "auditStamp": {"time": time, "actor": actor},
    }
    body = _ordered(event | fields, _RELATIONSHIP_CHANGE)
    key = f"relationshipChangeEvent-{source}"
    return _envelope("RelationshipChangeEvent_v1", body, key, (topic, partition, offset), time)


def metadata_change_log(
    urn: str = DATASET,
    aspect: str = "globalTags",
    value: Mapping[str, Any] | str | None = None,
    previous: Mapping[str, Any] | str | None = None,
    change: str = "UPSERT",
    *,
    actor: str = ACTOR,
    time: int = TIME,
    partition: int = 0,
    offset: int = 0,
    topic: str = VERSIONED_TOPIC,
    **fields: Any,
) -> Envelope:
    """An aspect was written: `value` is its new content, `previous` its old one; both become texts that hold JSON.

    `fields` are DataHub's own, and win: `systemMetadata`, `entityKeyAspect`, `created`, ... None leaves one out.
    `topic=TIMESERIES_TOPIC` is where profiles and runs come from.
    """
    event = {
        "entityType": _entity_type(urn, fields),
        "entityUrn": urn,
        "changeType": change,
        "aspectName": aspect,
        "aspect": _content(value),
        "previousAspectValue": _content(previous),
        "created": {"time": time, "actor": actor},
    }
    body = _ordered(event | fields, _CHANGE_LOG)
    return _envelope("MetadataChangeLogEvent_v1", body, urn, (topic, partition, offset), time)


@dataclass(frozen=True, eq=False)
class Result:
    """What a call came to: `event` is what the handler got, `response` what it returned.

    `error` is why the whole batch failed: what the handler raised, or a MalformedResponse.
    """

    given: tuple[Envelope, ...]
    event: Event
    response: Any
    error: BaseException | None
    failed_places: frozenset[Coordinates]

    @property
    def delivered(self) -> list[Envelope]:
        """Of the events that were given to `call`, those that succeeded."""
        return [given for given, place in self._places() if place not in self.failed_places]

    @property
    def failed(self) -> list[Envelope]:
        """Of the events that were given to `call`, those that would be tried again, and become dead letters then."""
        return [given for given, place in self._places() if place in self.failed_places]

    def assert_delivered(self) -> None:
        """All events succeeded. Raises AssertionError, with the handler's own error as its cause."""
        if self.failed_places:
            raise AssertionError(f"{self._what_failed()}{self._why()}") from self.error

    def assert_failed(self, *events: Envelope) -> None:
        """These events failed and no others; without events: all of them. Raises AssertionError."""
        wanted = {place for each in events for place in self._places_of(each)} or {place for _, place in self._places()}
        if wanted != self.failed_places:
            what = f"expected {_told(wanted)} to fail, but {self._what_failed()}"
            raise AssertionError(f"{what}{self._why()}") from self.error

    def _places(self) -> list[tuple[Envelope, Coordinates]]:
        return [(given, _coordinates(sent)) for given, sent in zip(self.given, self.event["events"], strict=True)]

    def _places_of(self, event: Envelope) -> list[Coordinates]:
        """By identity first: two events may be built alike."""
        places = self._places()
        found = [at for given, at in places if given is event] or [at for given, at in places if given == event]
        if not found:
            raise ValueError(f"{_told([_coordinates(event)])} was not in this call: name events that were given to it")
        return found

    def _what_failed(self) -> str:
        count = f"{len(self.failed_places)} of {len(self.given)} failed"
        return f"{count}: {_told(self.failed_places)}" if self.failed_places else "none failed"

    def _why(self) -> str:
        if self.error is None:
            return ""
        fault = fault_of(self.error, own_files=(__file__,))
        return f"\n{fault.kind}: {fault.message}\n{fault.stack}".rstrip()


def call(
    handler: Callable[[Any, Any], Any],
    events: Sequence[Envelope],
    *,
    action: str = "test",
    batch_id: str = "test-batch",
    attempt: int = 1,
    timeout: float = 60.0,
    context: Any = None,
) -> Result:
    """Call the handler, `def` or `async def`, with one batch, and judge its response as the poller does.

    The handler gets a copy of the events, in which offsets rise: an event that does not stand behind the one before
    it in its partition is moved to the next offset. Whatever the handler raises is in the result; Ctrl-C goes through.
    """
    if isinstance(events, Mapping):
        raise TypeError("events is one event: give a list, such as [entity_change_event()]")
    if not events:
        raise ValueError("a batch is never empty: give one event or more")
    _refuse_running_loop()
    sent = _in_offset_order(events)
    event: Event = {"action": action, "batch_id": batch_id, "attempt": attempt, "events": copy.deepcopy(sent)}
    if context is None:
        context = Context(action, f"{batch_id}/{attempt}", time.monotonic() + timeout)
    places = [_coordinates(each) for each in sent]
    response, error, failed = _judged(handler, event, context, places)
    # What a handler has changed in its copy is not shown.
    return Result(tuple(events), {**event, "events": sent}, response, error, failed)


def _judged(
    handler: Callable[[Any, Any], Any], event: Event, context: Any, places: list[Coordinates]
) -> tuple[Any, BaseException | None, frozenset[Coordinates]]:
    """Response, error, and the places that failed: all of them with an error."""
    calls, response = Calls(handler), None
    try:
        response = calls.call(dict(event), context)
        return response, None, failed_of(response, places)
    except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - it is the handler's
        return response, error, frozenset(places)
    finally:
        calls.close()


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("call() waits for the handler: in an async test write `await asyncio.to_thread(call, ...)`")


def _in_offset_order(events: Sequence[Envelope]) -> list[Envelope]:
    """Copies that each have a place of their own, as in a batch of the poller's."""
    free: dict[tuple[str, int], int] = {}
    placed = [copy.deepcopy(each) for each in events]  # one by one: an event that is given twice becomes two
    for kafka in (envelope["meta"]["kafka"] for envelope in placed):
        at = kafka["topic"], kafka["partition"]
        if kafka["offset"] < free.get(at, 0):
            kafka["offset"] = free[at]
            kafka["id"] = _id(*at, free[at])
        free[at] = kafka["offset"] + 1
    return placed


def _envelope(event_type: EventType, event: dict[str, Any], key: str, place: Coordinates, timestamp: int) -> Envelope:
    topic, partition, offset = place
    kafka: KafkaMeta = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "timestamp_type": "create",
        "key": key,
        "headers": [],
        "id": _id(topic, partition, offset),
    }
    return {"event_type": event_type, "event": event, "meta": {"kafka": kafka}}


def _id(topic: str, partition: int, offset: int) -> str:
    return f"test-cluster/{topic}/{partition}/{offset}"


def _coordinates(envelope: Envelope) -> Coordinates:
    kafka = envelope["meta"]["kafka"]
    return kafka["topic"], kafka["partition"], kafka["offset"]


def _told(places: Iterable[Coordinates]) -> str:
    return ", ".join(f"{topic}-{partition}@{offset}" for topic, partition, offset in sorted(places))


def _ordered(fields: Mapping[str, Any], names: str) -> dict[str, Any]:
    """The fields that have a value, in DataHub's order; one that DataHub does not have is a slip of the pen."""
    order = names.split()
    for name in fields:
        if name not in order:
            near = difflib.get_close_matches(name, order, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(order)}"
            raise TypeError(f"{name!r} is no field of this event; {hint}")
    return {name: fields[name] for name in order if fields.get(name) is not None}


def _content(value: Mapping[str, Any] | str | None) -> dict[str, str] | None:
    """An aspect as an event carries it."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return {"value": text, "contentType": "application/json"}


def _entity_type(urn: str, fields: Mapping[str, Any]) -> str | None:
    """`dataset` of `urn:li:dataset:...`, unless it is given by itself."""
    found = re.match(r"urn:li:(\w+):", urn)
    if found is None and "entityType" not in fields:
        raise ValueError(f"{urn!r} is no URN: write it as urn:li:TYPE:NAME, or give entityType=")
    return found and found[1]
