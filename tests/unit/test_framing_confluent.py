"""Bytes that Confluent's own serializer wrote, in each of its framings, and what becomes of them here."""

from __future__ import annotations

import json

import pytest
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from datahub_poller.decode.confluent import ConfluentRegistry
from datahub_poller.decode.framing import INFLATED_LIMIT, SCHEMA_HEADER, split
from datahub_poller.decode.reader import Reader
from datahub_poller.demo.registry import Interference, RegistryServer
from datahub_poller.demo.samples import schema_text
from datahub_poller.model import SchemaKey
from support.decoding import CHANGE_LOG, CHANGE_LOG_GUID, CHANGE_LOG_ID

TOPIC = "t"
NOTHING = json.dumps({"type": "record", "name": "Nothing", "fields": []})


def id_in_the_header(payload, context, schema_id):
    context.headers.append((SCHEMA_HEADER, schema_id.id_to_bytes()))
    return payload


def guid_before_the_value(payload, context, schema_id):
    return schema_id.guid_to_bytes() + payload


BY_ID, BY_GUID = SchemaKey("confluent", CHANGE_LOG_ID), SchemaKey("confluent", CHANGE_LOG_GUID)
WAYS = pytest.mark.parametrize(
    ("way", "key"),
    [
        (prefix_schema_id_serializer, BY_ID),
        (guid_before_the_value, BY_GUID),
        (header_schema_id_serializer, BY_GUID),
        (id_in_the_header, BY_ID),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)


@pytest.fixture
def server():
    """A registry that has been told of a schema and answers a writer who registers it anew."""
    with RegistryServer() as running:
        yield running


def registered(server: RegistryServer, text: str) -> None:
    server.put(CHANGE_LOG_ID, text, guid=CHANGE_LOG_GUID)
    answer = json.dumps({"id": CHANGE_LOG_ID, "guid": CHANGE_LOG_GUID, "version": 1, "schema": text}).encode()
    server.interfere = lambda request: Interference(200, body=answer) if request.startswith("POST ") else None


def context(*headers: tuple[str, bytes]) -> SerializationContext:
    return SerializationContext(TOPIC, MessageField.VALUE, list(headers))


def written(server: RegistryServer, text: str, datum, way) -> tuple[bytes, SerializationContext]:
    place = context(("trace", b"1"))
    with SchemaRegistryClient({"url": server.url}) as client:
        value = AvroSerializer(client, text, conf={"schema.id.serializer": way})(datum, place)
    return value, place


@WAYS
def test_what_the_serializer_writes_is_read_here_as_its_own_deserializer_reads_it(server, way, key):
    text = schema_text("MetadataChangeLog")
    registered(server, text)
    value, place = written(server, text, CHANGE_LOG, way)
    frame = split(value, "auto", INFLATED_LIMIT, tuple(place.headers))
    assert frame.key == key
    ours = Reader(ConfluentRegistry(server.url, {}).fetch(frame.key)).read(frame.payload)
    with SchemaRegistryClient({"url": server.url}) as client:
        assert ours == AvroDeserializer(client)(value, place)
    assert ours["aspectName"] == CHANGE_LOG["aspectName"]
    assert ("GET /schemas/guids/" + CHANGE_LOG_GUID in server.requests) == (key == BY_GUID)


@WAYS
def test_a_record_without_fields_is_nothing_but_its_schemas_name(server, way, key):
    registered(server, NOTHING)
    value, place = written(server, NOTHING, {}, way)
    frame = split(value, "confluent", INFLATED_LIMIT, tuple(place.headers))
    assert (frame.key, frame.payload) == (key, b"")
    assert Reader(ConfluentRegistry(server.url, {}).fetch(frame.key)).read(frame.payload) == {}


def test_a_record_forwarded_with_its_header_and_written_anew_is_read_by_the_new_one(server):
    text = schema_text("MetadataChangeLog")
    registered(server, text)
    place = context((SCHEMA_HEADER, b"\x01" + bytes(16)))
    with SchemaRegistryClient({"url": server.url}) as client:
        serializer = AvroSerializer(client, text, conf={"schema.id.serializer": header_schema_id_serializer})
        value = serializer(CHANGE_LOG, place)
    assert [name for name, _ in place.headers] == [SCHEMA_HEADER] * 2
    assert split(value, "auto", INFLATED_LIMIT, tuple(place.headers)).key == BY_GUID
