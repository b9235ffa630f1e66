"""The Glue registry against moto's server: another implementation of AWS's API than our own stand-in."""

from __future__ import annotations

import uuid

import boto3
import pytest

from datahub_poller.decode.glue import GlueRegistry
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import schema_text
from datahub_poller.errors import SchemaNotFound
from datahub_poller.model import SchemaKey
from support.moto_server import REGION


@pytest.fixture
def endpoint(moto_server, monkeypatch):
    for name, value in moto_server.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return moto_server.url


def test_a_registered_version_is_fetched_and_an_unknown_one_not_found(endpoint):
    glue = boto3.client("glue", region_name=REGION, endpoint_url=endpoint)
    name = f"events-{uuid.uuid4().hex}"
    glue.create_registry(RegistryName=name)
    created = glue.create_schema(
        RegistryId={"RegistryName": name},
        SchemaName="MetadataChangeLog",
        DataFormat="AVRO",
        Compatibility="NONE",
        SchemaDefinition=schema_text("MetadataChangeLog"),
    )
    registry = GlueRegistry(REGION, endpoint)
    fetched = registry.fetch(SchemaKey("glue", created["SchemaVersionId"]))
    assert fetched == FetchedSchema(schema_text("MetadataChangeLog"))
    assert Reader(fetched)
    with pytest.raises(SchemaNotFound):
        registry.fetch(SchemaKey("glue", str(uuid.uuid4())))
    assert "answers" in registry.reach()
