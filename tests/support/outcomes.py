"""The table "record -> outcome" as data: the tests run it, and the README shows it.

Every row holds a record as it stands in the log, and what the poller makes of it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from datahub_poller.decode.framing import SCHEMA_HEADER
from datahub_poller.demo.samples import PLATFORM_TOPIC, VERSIONED_TOPIC, confluent_frame, glue_frame, schema_text
from datahub_poller.model import Headers
from support.decoding import (
    CHANGE_LOG,
    CHANGE_LOG_GUID,
    CHANGE_LOG_ID,
    CHANGE_LOG_UUID,
    ENTITY_CHANGE,
    PLATFORM_ID,
    RELATIONSHIP_CHANGE,
    avro,
    change_log,
    guid_name,
    platform_event,
)

NEWER_ID, OTHER_ID, UNION_ID = 18, 99, 97
AUDIT_HEADER = {"time": 1, "server": "gms-0", "appName": "gms", "messageId": bytes(range(16))}


class Row(NamedTuple):
    """`outcome` is "event", "skipped: <reason>", "waits" or "dead letter: <kind>"; `note` is for people."""

    what: str
    outcome: str
    note: str
    topic: str
    value: bytes | None
    headers: Headers = ()


def newer_schema() -> str:
    """The change log's schema with a field and an enum symbol that nobody knows today."""
    schema = json.loads(schema_text("MetadataChangeLog"))
    schema["fields"].append({"name": "somethingNew", "type": ["null", "string"], "default": None})
    next(field for field in schema["fields"] if field["name"] == "changeType")["type"]["symbols"].append("MERGE")
    return json.dumps(schema)


UNION_SCHEMA = f'["null", {schema_text("MetadataChangeLog")}]'
OTHER_SCHEMA = json.dumps({"type": "record", "name": "Other", "fields": [{"name": "id", "type": "long"}]})
DEEP = b'{"parameters":' + b"[" * 200 + b"]" * 200 + b"}"
LONG = b'{"version":' + b"9" * 4301 + b"}"
_ASKED = "of Confluent's ids when the registry, asked anew, names no schema that reads them"


def _log(what: str, outcome: str, note: str, value: bytes | None) -> Row:
    return Row(what, outcome, note, VERSIONED_TOPIC, value)


def _platform(what: str, outcome: str, note: str, name: str, payload: Mapping[str, Any] | bytes) -> Row:
    body = confluent_frame(PLATFORM_ID, platform_event(name, payload))
    return Row(what, outcome, note, PLATFORM_TOPIC, body)


def _without(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def _framed(**changes: Any) -> bytes:
    return confluent_frame(CHANGE_LOG_ID, change_log(**changes))


def rows() -> list[Row]:
    """Every row of the table."""
    good = change_log()
    newer = avro(newer_schema(), CHANGE_LOG | {"changeType": "MERGE", "somethingNew": "x"})
    entity, edge = "entityChangeEvent", "relationshipChangeEvent"
    not_utf8 = {"value": b'{"a":"\xff"}', "contentType": "application/json"}
    return [
        _log("a metadata change log", "event", "", _framed()),
        _platform("an entity change event", "event", "", entity, ENTITY_CHANGE),
        _platform("a relationship change event", "event", "", edge, RELATIONSHIP_CHANGE),
        _log("Confluent's framing by the schema's GUID", "event", "", guid_name(CHANGE_LOG_GUID) + good),
        Row(
            "Confluent's header `__value_schema_id`, by GUID or id",
            "event",
            "goes before what the value begins with",
            VERSIONED_TOPIC,
            good,
            ((SCHEMA_HEADER, guid_name(CHANGE_LOG_GUID)),),
        ),
        _log("Glue framing, plain", "event", "", glue_frame(CHANGE_LOG_UUID, good)),
        _log("Glue framing, zlib", "event", "", glue_frame(CHANGE_LOG_UUID, good, compress=True)),
        _log("an unknown enum symbol (a newer `changeType`)", "event", "as it is", confluent_frame(NEWER_ID, newer)),
        _log("an Avro field that DataHub Actions does not know", "event", "dropped", confluent_frame(NEWER_ID, newer)),
        _log("a record in a union that is the writer schema", "event", "", confluent_frame(UNION_ID, b"\x02" + good)),
        _platform("an extra field in the JSON", "event", "dropped", entity, ENTITY_CHANGE | {"somethingNew": 1}),
        _platform("an unknown `operation`", "event", "as it is", edge, RELATIONSHIP_CHANGE | {"operation": "MERGE"}),
        _log("`auditHeader` present", "event", "`messageId` in hexadecimal", _framed(auditHeader=AUDIT_HEADER)),
        _log("an aspect that is not JSON", "event", "a string", _framed(aspect={"value": b"x", "contentType": "t"})),
        _log("a tombstone (null value)", "skipped: tombstone", "settled", None),
        _platform(
            "a PlatformEvent of another name", "skipped: not_routed", "settled", "notificationRequestEvent", b"{"
        ),
        _log(
            "an unknown schema id",
            "waits",
            'a dead letter (`unknown_schema_id`) after 30 s of "not found" from a registry that knows another id',
            confluent_frame(12345, good),
        ),
        _log(
            "an empty value",
            "dead letter: empty_value",
            "unless Confluent's header names a schema without fields",
            b"",
        ),
        _log("another first byte (JSON)", "dead letter: unknown_framing", "", b'{"a":1}'),
        _log("the other registry's framing", "dead letter: wrong_framing", "unless `type: auto`", b""),
        _log("framing cut short", "dead letter: truncated_frame", "", b"\x00\x00\x00"),
        Row(
            "Confluent's header cut short, or beginning with another byte",
            "dead letter: truncated_frame",
            "or `unknown_framing`",
            VERSIONED_TOPIC,
            good,
            ((SCHEMA_HEADER, b"\x01"),),
        ),
        _log("Glue: unknown compression", "dead letter: unknown_compression", "", _glue(7, good)),
        _log("Glue: zlib damaged, cut short, or with bytes after it", "dead letter: bad_zlib", "", _glue(5, good)),
        _log("Glue: inflates to more than 64 MiB", "dead letter: too_large_inflated", "", _bomb()),
        _log("bytes that are not what the schema says", "dead letter: not_avro", _ASKED, _framed()[:-9]),
        _log("bytes left over after the record", "dead letter: left_over_bytes", _ASKED, _framed() + b"\x00"),
        _log(
            "another branch of a union that is the writer schema",
            "dead letter: not_a_record",
            "null",
            confluent_frame(UNION_ID, b"\x00"),
        ),
        _log("a schema that is no Avro record", "dead letter: unusable_schema", "Protobuf, JSON Schema", b""),
        _log("a record of something else", "dead letter: missing_field", "", confluent_frame(OTHER_ID, b"\x02")),
        _log("an aspect that is not UTF-8", "dead letter: aspect_not_utf8", "", _framed(aspect=not_utf8)),
        _platform("a payload that is not UTF-8", "dead letter: payload_not_utf8", "", entity, b'{"a":"\xff"}'),
        _platform("a payload that is not JSON", "dead letter: payload_not_json", "", entity, b'{"a":'),
        _platform(
            "a payload whose `parameters` nest deeper than 200 values",
            "dead letter: payload_not_json",
            "",
            entity,
            DEEP,
        ),
        _platform(
            "a payload with a whole number of more than 4,300 digits", "dead letter: payload_not_json", "", entity, LONG
        ),
        _platform("a payload that is no JSON object", "dead letter: payload_not_object", "", entity, b"[1]"),
        _platform("`version` missing", "dead letter: missing_field", "", entity, _without(ENTITY_CHANGE, "version")),
        _platform(
            "a relationship event without `auditStamp`",
            "event",
            "without it, as DataHub's server writes it where a change log has no `created`",
            edge,
            _without(RELATIONSHIP_CHANGE, "auditStamp"),
        ),
        _platform(
            "null in a required field",
            "dead letter: missing_field",
            "DataHub Actions puts an empty string or 0 there",
            entity,
            ENTITY_CHANGE | {"entityUrn": None},
        ),
        _platform("a field of the wrong type", "dead letter: wrong_type", "", entity, ENTITY_CHANGE | {"version": "0"}),
    ]


def _glue(compression: int, body: bytes) -> bytes:
    return bytes((3, compression)) + bytes(16) + body


def _bomb() -> bytes:
    return _glue(5, zlib.compress(bytes(65 * 1024 * 1024), 9))


def markdown() -> str:
    """The table for the README."""
    lines = ["| a record | outcome | |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {row.what} | {_shown(row.outcome)} | {row.note} |" for row in rows())])


def _shown(outcome: str) -> str:
    kind, colon, word = outcome.partition(": ")
    return f"{kind}: `{word}`" if colon else kind
