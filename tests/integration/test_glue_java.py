"""What AWS's own serializer writes, read by the poller: not our own reading of the framing and the registry."""

from __future__ import annotations

import io
import json
import uuid
import zlib
from importlib.resources import files

import boto3
import fastavro
import pytest
from datahub.metadata.schema_classes import (
    AuditStampClass,
    ChangeTypeClass,
    GenericAspectClass,
    GenericPayloadClass,
    MetadataChangeLogClass,
    PlatformEventClass,
    PlatformEventHeaderClass,
    SystemMetadataClass,
)

from support.moto_server import REGION, REGISTRY

SCHEMAS = files("datahub.metadata") / "schemas"
COMPRESSION_BYTE = {"NONE": 0, "ZLIB": 5}


def aspect(value):
    return GenericAspectClass(value=json.dumps(value).encode(), contentType="application/json")


def change_log(number):
    """Every field is absent in some of the events."""
    event = MetadataChangeLogClass(
        entityType="dataset",
        changeType=[ChangeTypeClass.UPSERT, ChangeTypeClass.DELETE, ChangeTypeClass.CREATE][number % 3],
        entityUrn=f"urn:li:dataset:(urn:li:dataPlatform:hive,größe_{number}.人,PROD)" if number % 5 else None,
        aspectName="globalTags" if number % 2 else None,
        aspect=aspect({"tags": ["x" * number, "ü"]}) if number % 3 else None,
        previousAspectValue=aspect({"tags": []}) if number % 4 else None,
        created=AuditStampClass(time=1_700_000_000_000 + number, actor="urn:li:corpuser:a") if number % 7 else None,
    )
    if number % 2:
        event.systemMetadata = SystemMetadataClass(lastObserved=number, runId="r", properties={"k": "v" * number})
    return event


def platform_event(number):
    payload = {"entityUrn": f"urn:li:dataset:{number}", "category": "TAG", "operation": "ADD", "version": 0}
    return PlatformEventClass(
        header=PlatformEventHeaderClass(timestampMillis=number),
        name="entityChangeEvent" if number % 2 else "relationshipChangeEvent",
        payload=GenericPayloadClass(value=json.dumps(payload).encode(), contentType="application/json"),
    )


KINDS = {
    "MetadataChangeLog": change_log,
    "PlatformEvent": platform_event,
}


def binary(schema, datum):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, datum)
    return out.getvalue()


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return request.param


@pytest.fixture(params=sorted(COMPRESSION_BYTE))
def compression(request):
    return request.param


@pytest.fixture
def written(kind):
    """The schema as DataHub ships it, and 60 records written with it."""
    text = (SCHEMAS / f"{kind}.avsc").read_text(encoding="utf-8")
    schema = fastavro.parse_schema(json.loads(text))
    return text, [binary(schema, KINDS[kind](number).to_obj(tuples=True)) for number in range(60)]


@pytest.fixture
def framed(glue_java, unique, written, compression):
    text, bodies = written
    return glue_java.frame(text, bodies, unique("topic"), compression)


@pytest.fixture
def credentials(monkeypatch, glue_java):
    for key, value in glue_java.server.environment().items():
        if key.startswith("AWS_"):
            monkeypatch.setenv(key, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def test_the_serializer_writes_a_header_a_registered_version_and_the_body(
    glue_java, written, framed, compression, credentials
):
    glue = boto3.client("glue", region_name=REGION, endpoint_url=glue_java.server.url)
    _, bodies = written
    assert len(framed) == len(bodies)
    for value, body in zip(framed, bodies, strict=True):
        assert value[:2] == bytes([3, COMPRESSION_BYTE[compression]])
        assert (zlib.decompress(value[18:]) if compression == "ZLIB" else value[18:]) == body
    (version,) = {str(uuid.UUID(bytes=value[2:18])) for value in framed}
    found = glue.get_schema_version(SchemaVersionId=version)
    assert json.loads(found["SchemaDefinition"])["name"] == json.loads(written[0])["name"]
    assert found["SchemaArn"].split("/")[-2] == REGISTRY


@pytest.mark.parametrize("framing", ["glue", "auto"])
def test_the_poller_reads_what_the_serializer_wrote(glue_java, written, framed, framing, credentials):
    from datahub_poller.decode.framing import split
    from datahub_poller.decode.glue import GlueRegistry
    from datahub_poller.decode.reader import Reader

    text, bodies = written
    schema = fastavro.parse_schema(json.loads(text))
    frames = [split(value, framing, 10_000_000) for value in framed]
    assert [frame.payload for frame in frames] == bodies
    (key,) = {frame.key for frame in frames}
    fetched = GlueRegistry(region=REGION, endpoint=glue_java.server.url, timeout=10.0).fetch(key)
    reader = Reader(fetched)
    for frame, body in zip(frames, bodies, strict=True):
        assert reader.read(frame.payload) == fastavro.schemaless_reader(io.BytesIO(body), schema, None)
