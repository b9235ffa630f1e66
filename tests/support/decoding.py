"""What tests of decoding share: schemas that are there at once, records, and the project's own writer schemas."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fastavro

from datahub_poller.decode.framing import Framing
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.schemas import Schemas
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import PLATFORM_TOPIC, TIMESERIES_TOPIC, VERSIONED_TOPIC, schema_text
from datahub_poller.errors import SchemaNotFound
from datahub_poller.filters import compile_filters
from datahub_poller.intake import Intake
from datahub_poller.model import Awaiting, Headers, Record, SchemaKey, TopicPartition, Verdict
from datahub_poller.workers import Done

ROUTES = {VERSIONED_TOPIC: "mcl", TIMESERIES_TOPIC: "mcl_timeseries", PLATFORM_TOPIC: "pe"}
CHANGE_LOG_ID, PLATFORM_ID = 2, 4
CHANGE_LOG_GUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
CHANGE_LOG_UUID, PLATFORM_UUID = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63", "770e6f6c-2c5d-4e0c-9d41-4a2b3c4d5e6f"
STAMP = {"time": 1_772_000_000_000, "actor": "urn:li:corpuser:ana"}
ENTITY_CHANGE = {
    "entityType": "dataset",
    "entityUrn": "urn:li:dataset:(urn:li:dataPlatform:hive,orders,PROD)",
    "category": "TAG",
    "operation": "ADD",
    "modifier": "urn:li:tag:pii",
    "auditStamp": STAMP,
    "version": 0,
    "parameters": {"tagUrn": "urn:li:tag:pii"},
}
RELATIONSHIP_CHANGE = {
    "sourceUrn": "urn:li:dataset:a",
    "destinationUrn": "urn:li:dataset:b",
    "operation": "ADD",
    "relationshipType": "DownstreamOf",
    "auditStamp": STAMP,
}
CHANGE_LOG = {
    "entityType": "dataset",
    "entityUrn": "urn:li:dataset:a",
    "changeType": "UPSERT",
    "aspectName": "status",
    "aspect": {"value": b'{"removed":false}', "contentType": "application/json"},
    "created": STAMP,
}


class Shelf:
    """A registry that has these schemas and answers on the spot: `submit` does the work, `done` are the answers."""

    def __init__(self, texts: Mapping[SchemaKey, str]) -> None:
        self.texts = dict(texts)
        self.done: list[Done] = []

    def fetch(self, key: SchemaKey) -> FetchedSchema:
        if key not in self.texts:
            raise SchemaNotFound(f"{key} is not on the shelf")
        return FetchedSchema(self.texts[key])

    ask_again = fetch

    def reach(self) -> str:
        return "here"

    def submit(self, ticket: Any, work: Callable[[], Reader]) -> None:
        try:
            self.done.append(Done(ticket, work(), None))
        except Exception as error:
            self.done.append(Done(ticket, None, error))


def own_schemas() -> dict[SchemaKey, str]:
    """The project's two schemas, under every name that a registry has for them."""
    change_log, platform = schema_text("MetadataChangeLog"), schema_text("PlatformEvent")
    return {
        SchemaKey("confluent", CHANGE_LOG_ID): change_log,
        SchemaKey("confluent", PLATFORM_ID): platform,
        SchemaKey("confluent", CHANGE_LOG_GUID): change_log,
        SchemaKey("glue", CHANGE_LOG_UUID): change_log,
        SchemaKey("glue", PLATFORM_UUID): platform,
    }


def intake(
    texts: Mapping[SchemaKey, str] | None = None,
    *,
    framing: Framing = "auto",
    filters: Sequence[Mapping[str, Any]] = (),
    legacy: Mapping[str, Any] | None = None,
    now: float = 0.0,
) -> Intake:
    """An Intake that has all these schemas at hand, the project's own if none are given."""
    shelf = Shelf(own_schemas() if texts is None else texts)
    schemas = Schemas({"confluent": shelf, "glue": shelf}, shelf.submit)
    made = Intake(framing, ROUTES, schemas, compile_filters(filters, legacy), "test-cluster")
    for key in shelf.texts:
        schemas.get(key, now)
    for done in shelf.done:
        made.arrived(done, now)
    return made


def final(whole: Intake, each: Record, now: float = 1.0) -> Verdict:
    """What becomes of it when the registry has been asked again, where its bytes do not fit. It gives what it gave."""
    verdict = whole.read(each, now)
    if isinstance(verdict, Awaiting) and (schemas := whole._schemas).doubting():
        shelf = schemas._registries["confluent"]
        shelf.done.clear()
        later = max(question.due for question in schemas._doubted().values())
        whole.tick(later)
        for done in shelf.done:
            whole.arrived(done, later)
        verdict = whole.read(each, later)
    return verdict


def record(
    topic: str, value: bytes | None, *, key: bytes | None = b"k", offset: int = 7, headers: Headers = ()
) -> Record:
    """A record of partition 3."""
    return Record(TopicPartition(topic, 3), offset, 1_772_000_000_123, "create", key, value, headers)


def guid_name(guid: str) -> bytes:
    """A schema's GUID as Confluent writes it, before a value or in a header: magic byte 1 and the GUID's bytes."""
    return b"\x01" + uuid.UUID(guid).bytes


def avro(text: str, datum: Any) -> bytes:
    """Bare Avro bytes by this schema."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(text)), datum)
    return out.getvalue()


def change_log(**changes: Any) -> bytes:
    """The Avro bytes of CHANGE_LOG with these fields changed."""
    return avro(schema_text("MetadataChangeLog"), CHANGE_LOG | changes)


def platform_event(name: str, payload: Mapping[str, Any] | bytes) -> bytes:
    """The Avro bytes of a PlatformEvent."""
    value = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    content = {"value": value, "contentType": "application/json"}
    datum = {"header": {"timestampMillis": 1}, "name": name, "payload": content}
    return avro(schema_text("PlatformEvent"), datum)
