"""DataHub's three event types as plain JSON values, as DataHub Actions shows them to an action.

Pure. Knows DataHub's field names and rules: null fields are left out, at every depth; keys stand in the order of
DataHub's schemas; fields that these do not have are dropped; `parameters` comes last, whatever is in it; the bytes
of an aspect become a string. Unlike DataHub Actions it passes unknown enum symbols on, and writes an audit header's
`messageId` (16 bytes) as 32 hexadecimal digits. It knows nothing of Kafka and Avro.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson

from datahub_poller.decode.shapes import (
    ASPECT,
    BYTES,
    HEXADECIMAL,
    TEXT,
    TEXTS,
    WHOLE,
    Field,
    RecordShape,
    Unfit,
    untagged,
)
from datahub_poller.decode.taking import Take, taker_of
from datahub_poller.errors import Poison
from datahub_poller.nesting import TOO_DEEP, is_deep, may_be_deep

EventType = Literal["EntityChangeEvent_v1", "RelationshipChangeEvent_v1", "MetadataChangeLogEvent_v1"]
ENTITY_CHANGE: Final = "EntityChangeEvent_v1"
RELATIONSHIP_CHANGE: Final = "RelationshipChangeEvent_v1"
METADATA_CHANGE_LOG: Final = "MetadataChangeLogEvent_v1"

_TYPES_BY_NAME: Final[Mapping[str, EventType]] = {
    "entityChangeEvent": ENTITY_CHANGE,
    "relationshipChangeEvent": RELATIONSHIP_CHANGE,
}
_PLAIN: Final = frozenset({str, int, bool, type(None)})

_OPTIONAL_TEXT = untagged("string", TEXT)
_OPTIONAL_TEXTS = untagged("map", TEXTS)
_AUDIT_STAMP = RecordShape(
    Field("time", WHOLE, required=True),
    Field("actor", TEXT, required=True),
    Field("impersonator", _OPTIONAL_TEXT),
    Field("message", _OPTIONAL_TEXT),
)
_AUDIT_HEADER = RecordShape(
    Field("time", WHOLE, required=True),
    Field("server", TEXT, required=True),
    Field("instance", TEXT),
    Field("appName", TEXT, required=True),
    Field("messageId", HEXADECIMAL, required=True),
    Field("auditVersion", WHOLE),
    Field("fabricUrn", TEXT),
    Field("clusterConnectionString", TEXT),
)
_GENERIC_ASPECT = RecordShape(
    Field("value", ASPECT, required=True),
    Field("contentType", TEXT, required=True),
)
_SYSTEM_METADATA = RecordShape(
    Field("lastObserved", WHOLE, default=0),
    Field("runId", TEXT, default="no-run-id-provided"),
    Field("lastRunId", TEXT, default="no-run-id-provided"),
    Field("pipelineName", TEXT),
    Field("registryName", TEXT),
    Field("registryVersion", TEXT),
    Field("properties", TEXTS),
    Field("version", TEXT),
    Field("schemaVersion", WHOLE),
    Field("aspectCreated", _AUDIT_STAMP),
    Field("aspectModified", _AUDIT_STAMP),
)
CHANGE_LOG: Final = RecordShape(
    Field("auditHeader", _AUDIT_HEADER),
    Field("entityType", TEXT, required=True),
    Field("entityUrn", TEXT),
    Field("entityKeyAspect", _GENERIC_ASPECT),
    Field("changeType", TEXT, required=True),
    Field("aspectName", TEXT),
    Field("aspect", _GENERIC_ASPECT),
    Field("systemMetadata", _SYSTEM_METADATA),
    Field("headers", TEXTS),
    Field("previousAspectValue", _GENERIC_ASPECT),
    Field("previousSystemMetadata", _SYSTEM_METADATA),
    Field("created", _AUDIT_STAMP),
)
"""What a MetadataChangeLog record becomes: its event."""
PLATFORM_EVENT: Final = RecordShape(
    Field("name", TEXT, required=True),
    Field("payload", RecordShape(Field("value", BYTES, required=True)), required=True),
)
"""What is looked at of a PlatformEvent record."""
_ENTITY_CHANGE = RecordShape(
    Field("entityType", TEXT, required=True),
    Field("entityUrn", TEXT, required=True),
    Field("category", TEXT, required=True),
    Field("operation", TEXT, required=True),
    Field("modifier", _OPTIONAL_TEXT),
    Field("auditStamp", _AUDIT_STAMP, required=True),
    Field("version", WHOLE, required=True),
)
_RELATIONSHIP_CHANGE = RecordShape(
    Field("auditHeader", _AUDIT_HEADER),
    Field("sourceUrn", TEXT, required=True),
    Field("destinationUrn", TEXT, required=True),
    Field("operation", TEXT, required=True),
    Field("relationshipType", TEXT, required=True),
    Field("lifecycleOwner", _OPTIONAL_TEXT),
    Field("via", _OPTIONAL_TEXT),
    Field("properties", _OPTIONAL_TEXTS),
    # Required by DataHub's class, and left out by its server where a change log has no `created`: still an event.
    Field("auditStamp", _AUDIT_STAMP),
)

_TAKERS: Final[Mapping[str, tuple[Take, RecordShape]]] = {
    ENTITY_CHANGE: (taker_of(_ENTITY_CHANGE), _ENTITY_CHANGE),
    RELATIONSHIP_CHANGE: (taker_of(_RELATIONSHIP_CHANGE), _RELATIONSHIP_CHANGE),
}


def metadata_change_log(datum: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a MetadataChangeLog record. Raises Poison: missing_field, wrong_type, aspect_not_utf8."""
    return _taken(CHANGE_LOG, datum)


def platform_event_type(datum: Mapping[str, Any]) -> EventType | None:
    """What a PlatformEvent record is; None where its name is none that is routed. Raises Poison."""
    name = datum.get("name")
    if not isinstance(name, str):
        raise Poison("missing_field" if name is None else "wrong_type", "PlatformEvent's name is no text")
    return _TYPES_BY_NAME.get(name)


def platform_event(event_type: EventType, datum: Mapping[str, Any]) -> dict[str, Any]:
    """The event in a PlatformEvent record's payload.

    Raises Poison: missing_field, wrong_type, payload_not_utf8, payload_not_json, payload_not_object.
    """
    payload = datum.get("payload")
    value = payload.get("value") if isinstance(payload, dict) else None
    if not isinstance(value, bytes):
        raise Poison("missing_field" if value is None else "wrong_type", "PlatformEvent's payload.value is no bytes")
    body = _body(value)
    take, shape = _TAKERS[event_type]
    try:
        event = take(body)
    except Exception:  # noqa: BLE001 - whatever it stumbles over, the shape says what is wrong
        event = _taken(shape, body)
    if event_type == ENTITY_CHANGE and (parameters := body.get("parameters")):
        event["parameters"] = parameters
    return event


def _taken(shape: RecordShape, value: Any) -> dict[str, Any]:
    try:
        return shape(value)
    except Unfit as unfit:
        raise Poison(unfit.kind, f"{unfit.path.lstrip('.')} {unfit.why}".lstrip()) from None


def _body(value: bytes) -> dict[str, Any]:
    """The JSON object in a payload, read by orjson where that gives what Python's own reader gives."""
    try:
        body = orjson.loads(value)
        if isinstance(body, dict) and not _plain(body.get("parameters")):
            body = _slowly(value)
    except orjson.JSONDecodeError:
        body = _slowly(value)
    if not isinstance(body, dict):
        raise Poison("payload_not_object", f"the payload's JSON is {type(body).__name__}, not an object")
    return body


def _plain(parameters: Any) -> bool:
    """No number in it that orjson may have rounded: it reads whole numbers beyond 64 bits as floats."""
    return parameters is None or (isinstance(parameters, dict) and all(type(v) in _PLAIN for v in parameters.values()))


def _slowly(value: bytes) -> Any:
    """As DataHub reads it: NaN, numbers of any size, a byte order mark and lone surrogates are accepted."""
    try:
        value.decode()
        body = json.loads(value)
    except UnicodeDecodeError as error:
        raise Poison("payload_not_utf8", f"the payload is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise Poison("payload_not_json", f"the payload is no JSON for the poller: {TOO_DEEP}") from None
    except ValueError as error:
        raise Poison("payload_not_json", f"the payload is no JSON: {error}") from None
    if may_be_deep(value) and is_deep(body):
        raise Poison("payload_not_json", f"the payload is no JSON for the poller: {TOO_DEEP}")
    return body
