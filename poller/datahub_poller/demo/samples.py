"""Sample events as bytes on the wire: this project's own Avro schemas, and the two registries' framings.

The schemas carry DataHub's names and field order, so that every reader of DataHub's topics reads what is
written here. What happens to whom is told in `story`; this module knows only how an event is written.
"""

from __future__ import annotations

import io
import json
import struct
import uuid
import zlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, NamedTuple

import fastavro

SchemaName = Literal["MetadataChangeLog", "PlatformEvent"]

VERSIONED_TOPIC: Final = "MetadataChangeLog_Versioned_v1"
TIMESERIES_TOPIC: Final = "MetadataChangeLog_Timeseries_v1"
PLATFORM_TOPIC: Final = "PlatformEvent_v1"

_CONFLUENT_MAGIC = 0
_GLUE_VERSION = 3
_GLUE_PLAIN, _GLUE_ZLIB = 0, 5
_ASPECTS = ("previousAspectValue", "entityKeyAspect")


class Sample(NamedTuple):
    """One event before it is encoded: `datum` fits the schema, `key` is the record's key as DataHub sets it."""

    event_type: str
    topic: str
    key: bytes
    schema: SchemaName
    datum: dict[str, Any]

    @property
    def body(self) -> bytes:
        """The bare Avro record, without any framing."""
        written = io.BytesIO()
        fastavro.schemaless_writer(written, _parsed(self.schema), self.datum)
        return written.getvalue()


def schema_text(name: SchemaName) -> str:
    """A writer schema as a registry holds it."""
    return (resources.files(__package__) / "schemas" / f"{name}.avsc").read_text("utf-8")


@cache
def _parsed(name: SchemaName) -> Any:
    return fastavro.parse_schema(json.loads(schema_text(name)))


def confluent_frame(schema_id: int, body: bytes) -> bytes:
    """Magic byte 0, the id in four bytes, the body."""
    return struct.pack(">BI", _CONFLUENT_MAGIC, schema_id) + body


def glue_frame(version_id: str, body: bytes, compress: bool = False) -> bytes:
    """Header version 3, the compression, the version's UUID, the body (deflated whole if `compress`)."""
    head = bytes((_GLUE_VERSION, _GLUE_ZLIB if compress else _GLUE_PLAIN)) + uuid.UUID(version_id).bytes
    return head + (zlib.compress(body) if compress else body)


def metadata_change_log(
    urn: str,
    aspect: str,
    value: Mapping[str, Any] | None,
    *,
    change: str = "UPSERT",
    topic: str = VERSIONED_TOPIC,
    **others: Any,
) -> Sample:
    """An aspect of an entity was written, or deleted where `value` is None.

    `others` are further fields of the record as they stand in the schema (systemMetadata, created, ...);
    of previousAspectValue and entityKeyAspect the content alone.
    """
    datum = {
        "entityType": urn.split(":")[2],
        "entityUrn": urn,
        "changeType": change,
        "aspectName": aspect,
        "aspect": _content(value),
        **{name: _content(it) if name in _ASPECTS else it for name, it in others.items()},
    }
    return Sample("MetadataChangeLogEvent_v1", topic, urn.encode(), "MetadataChangeLog", datum)


def entity_change(event: Mapping[str, Any]) -> Sample:
    """What people care about has changed: `event` holds the fields of an EntityChangeEvent_v1."""
    return _platform("EntityChangeEvent_v1", "entityChangeEvent", event["entityUrn"], event)


def relationship_change(event: Mapping[str, Any]) -> Sample:
    """An edge of the graph came or went: `event` holds the fields of a RelationshipChangeEvent_v1."""
    return _platform("RelationshipChangeEvent_v1", "relationshipChangeEvent", event["sourceUrn"], event)


def _platform(event_type: str, name: str, urn: str, event: Mapping[str, Any]) -> Sample:
    header = {"timestampMillis": event["auditStamp"]["time"]}
    datum = {"header": header, "name": name, "payload": _content(event)}
    return Sample(event_type, PLATFORM_TOPIC, f"{name}-{urn}".encode(), "PlatformEvent", datum)


def _content(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An aspect or payload as both schemas carry it: JSON in bytes."""
    if value is None:
        return None
    return {"value": json.dumps(value, separators=(",", ":")).encode(), "contentType": "application/json"}
