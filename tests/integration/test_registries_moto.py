"""The Glue registry against moto's server: another implementation of AWS's API than our own stand-in."""

from __future__ import annotations

import time
import uuid

import pytest

from datahub_poller.decode.glue import GlueRegistry
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import schema_text
from datahub_poller.errors import SchemaNotFound, Transient
from datahub_poller.model import SchemaKey
from kafka.msk import Person
from support.aws_identity import AwsIdentity
from support.glue_schemas import register
from support.moto_server import REGION


@pytest.fixture
def endpoint(moto_server, monkeypatch):
    for name, value in moto_server.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return moto_server.url


def test_a_registered_version_is_fetched_and_an_unknown_one_not_found(endpoint):
    version = register(endpoint, "MetadataChangeLog")
    registry = GlueRegistry(REGION, endpoint)
    fetched = registry.fetch(SchemaKey("glue", version))
    assert fetched == FetchedSchema(schema_text("MetadataChangeLog"))
    assert Reader(fetched)
    with pytest.raises(SchemaNotFound):
        registry.fetch(SchemaKey("glue", str(uuid.uuid4())))
    assert "answers" in registry.reach()


OTHER = "210987654321"
ROLE = f"arn:aws:iam::{OTHER}:role/reader"


def test_a_registry_of_another_account_is_read_by_assuming_a_role_there(endpoint, monkeypatch):
    """moto keeps accounts apart by the credentials that it gave for the role."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint)
    key = SchemaKey("glue", register(endpoint, "MetadataChangeLog", role=ROLE))
    with pytest.raises(SchemaNotFound):
        GlueRegistry(REGION, endpoint).fetch(key)
    assert GlueRegistry(REGION, endpoint, role=ROLE, external_id="t7").fetch(key).text == schema_text(
        "MetadataChangeLog"
    )


def test_the_role_is_asked_for_once_with_its_external_id(endpoint, monkeypatch):
    with AwsIdentity(lambda: Person("ASIAX", "secret", "token", int(time.time()) + 3600)) as identity:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", identity.url)
        registry = GlueRegistry(REGION, endpoint, role=ROLE, external_id="t7")
        for _ in range(3):
            with pytest.raises(SchemaNotFound):
                registry.fetch(SchemaKey("glue", str(uuid.uuid4())))
        (asked,) = identity.actions("AssumeRole")
    assert (asked["RoleArn"], asked["ExternalId"], asked["RoleSessionName"]) == (ROLE, "t7", "datahub-poller")


@pytest.mark.parametrize("external_id", [None, "t7"])
def test_a_role_that_may_not_be_assumed_is_told_with_the_remedy(external_id, endpoint, monkeypatch):
    def nobody():
        raise AssertionError("no credentials are given")

    with AwsIdentity(nobody) as identity:
        identity.refusal = ("AccessDenied", "is not authorized to perform: sts:AssumeRole")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", identity.url)
        with pytest.raises(Transient) as caught:
            GlueRegistry(REGION, endpoint, role=ROLE, external_id=external_id).reach()
    said = str(caught.value)
    assert f"{ROLE} cannot be assumed" in said
    assert "trust policy" in said
    assert ("with the external id t7" in said) is (external_id is not None)
