"""DataHub's three event types as plain JSON values, as DataHub Actions shows them to an action.

Pure. Knows DataHub's field names and rules: null fields are left out, at every depth; keys stand in the order of
DataHub's schemas; fields that these do not have are dropped; `parameters` comes last, whatever is in it; the bytes
of an aspect become a string. Unlike DataHub Actions it passes unknown enum symbols on, and writes an audit header's
`messageId` (16 bytes) as 32 hexadecimal digits. It knows nothing of Kafka and Avro.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import orjson

from datahub_poller.errors import Poison

EventType = Literal["EntityChangeEvent_v1", "RelationshipChangeEvent_v1", "MetadataChangeLogEvent_v1"]
ENTITY_CHANGE: Final = "EntityChangeEvent_v1"
RELATIONSHIP_CHANGE: Final = "RelationshipChangeEvent_v1"
METADATA_CHANGE_LOG: Final = "MetadataChangeLogEvent_v1"

_TYPES_BY_NAME: Final[Mapping[str, EventType]] = {
    "entityChangeEvent": ENTITY_CHANGE,
    "relationshipChangeEvent": RELATIONSHIP_CHANGE,
}
_PLAIN: Final = frozenset({str, int, bool, type(None)})


class _Unfit(Exception):
    """A value that does not fit; `path` grows on the way out."""

    def __init__(self, kind: str, path: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.path = path
        self.why = why


Shape = Callable[[Any], Any]
"""Takes a value over into the event, or raises _Unfit."""


class Field(NamedTuple):
    """A field of an event. Where it is null or absent: an error, the default, or nothing."""

    name: str
    shape: Shape
    required: bool = False
    default: Any = None


def _wrong(value: Any, wanted: str) -> _Unfit:
    return _Unfit("wrong_type", "", f"is {type(value).__name__}, not {wanted}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _wrong(value, "text")


def _whole(value: Any) -> int:
    if isinstance(value, int):
        return value
    raise _wrong(value, "a whole number")


def _aspect_text(value: Any) -> str:
    """JSON in a string, as DataHub has it; whether it is JSON is the handler's business."""
    if not isinstance(value, bytes):
        raise _wrong(value, "bytes")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _Unfit("aspect_not_utf8", "", f"is not UTF-8: {error.reason} at byte {error.start}") from None


def _hexadecimal(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else _text(value)


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _wrong(value, "a map")
    for key, each in value.items():
        if not isinstance(each, str):
            raise _Unfit("wrong_type", f".{key}", f"is {type(each).__name__}, not text")
    return value


def _untagged(tag: str, shape: Shape) -> Shape:
    """DataHub also reads an optional value in Avro's own JSON, where the type's name stands around it."""

    def take(value: Any) -> Any:
        return shape(value[tag] if type(value) is dict and value.keys() == {tag} else value)

    return take


def _record(*fields: Field) -> Callable[[Any], dict[str, Any]]:
    def take(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(value, "an object")
        taken = {}
        for name, shape, required, default in fields:
            found = value.get(name)
            if found is not None:
                try:
                    taken[name] = shape(found)
                except _Unfit as unfit:
                    unfit.path = f".{name}{unfit.path}"
                    raise
            elif required:
                raise _Unfit("missing_field", f".{name}", "is missing")
            elif default is not None:
                taken[name] = default
        return taken

    return take


_OPTIONAL_TEXT = _untagged("string", _text)
_OPTIONAL_TEXTS = _untagged("map", _texts)
_AUDIT_STAMP = _record(
    Field("time", _whole, required=True),
    Field("actor", _text, required=True),
    Field("impersonator", _OPTIONAL_TEXT),
    Field("message", _OPTIONAL_TEXT),
)
_AUDIT_HEADER = _record(
    Field("time", _whole, required=True),
    Field("server", _text, required=True),
    Field("instance", _text),
    Field("appName", _text, required=True),
    Field("messageId", _hexadecimal, required=True),
    Field("auditVersion", _whole),
    Field("fabricUrn", _text),
    Field("clusterConnectionString", _text),
)
_GENERIC_ASPECT = _record(
    Field("value", _aspect_text, required=True),
    Field("contentType", _text, required=True),
)
_SYSTEM_METADATA = _record(
    Field("lastObserved", _whole, default=0),
    Field("runId", _text, default="no-run-id-provided"),
    Field("lastRunId", _text, default="no-run-id-provided"),
    Field("pipelineName", _text),
    Field("registryName", _text),
    Field("registryVersion", _text),
    Field("properties", _texts),
    Field("version", _text),
    Field("schemaVersion", _whole),
    Field("aspectCreated", _AUDIT_STAMP),
    Field("aspectModified", _AUDIT_STAMP),
)
_METADATA_CHANGE_LOG = _record(
    Field("auditHeader", _AUDIT_HEADER),
    Field("entityType", _text, required=True),
    Field("entityUrn", _text),
    Field("entityKeyAspect", _GENERIC_ASPECT),
    Field("changeType", _text, required=True),
    Field("aspectName", _text),
    Field("aspect", _GENERIC_ASPECT),
    Field("systemMetadata", _SYSTEM_METADATA),
    Field("headers", _texts),
    Field("previousAspectValue", _GENERIC_ASPECT),
    Field("previousSystemMetadata", _SYSTEM_METADATA),
    Field("created", _AUDIT_STAMP),
)
_ENTITY_CHANGE = _record(
    Field("entityType", _text, required=True),
    Field("entityUrn", _text, required=True),
    Field("category", _text, required=True),
    Field("operation", _text, required=True),
    Field("modifier", _OPTIONAL_TEXT),
    Field("auditStamp", _AUDIT_STAMP, required=True),
    Field("version", _whole, required=True),
)
_RELATIONSHIP_CHANGE = _record(
    Field("auditHeader", _AUDIT_HEADER),
    Field("sourceUrn", _text, required=True),
    Field("destinationUrn", _text, required=True),
    Field("operation", _text, required=True),
    Field("relationshipType", _text, required=True),
    Field("lifecycleOwner", _OPTIONAL_TEXT),
    Field("via", _OPTIONAL_TEXT),
    Field("properties", _OPTIONAL_TEXTS),
    # Required by DataHub's class, and left out by its server where a change log has no `created`: still an event.
    Field("auditStamp", _AUDIT_STAMP),
)


def metadata_change_log(datum: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a MetadataChangeLog record. Raises Poison: missing_field, wrong_type, aspect_not_utf8."""
    return _taken(_METADATA_CHANGE_LOG, datum)


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
    if event_type == RELATIONSHIP_CHANGE:
        return _taken(_RELATIONSHIP_CHANGE, body)
    event = _taken(_ENTITY_CHANGE, body)
    parameters = body.get("parameters")
    if parameters:
        event["parameters"] = parameters
    return event


def _taken(shape: Callable[[Any], dict[str, Any]], value: Any) -> dict[str, Any]:
    try:
        return shape(value)
    except _Unfit as unfit:
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
        return json.loads(value)
    except UnicodeDecodeError as error:
        raise Poison("payload_not_utf8", f"the payload is not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise Poison("payload_not_json", f"the payload is no JSON: {error}") from None
