"""The AWS Glue registry through real boto3 and HTTP: what every answer, and every lack of one, becomes."""

from __future__ import annotations

import time

import pytest

from datahub_poller.decode.glue import GlueRegistry
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.registry import Interference, RegistryServer
from datahub_poller.errors import Poison, SchemaNotFound, Transient
from datahub_poller.model import SchemaKey

TEXT = '{"type": "record", "name": "R", "fields": []}'
VERSION = "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63"
KEY = SchemaKey("glue", VERSION)
QUESTION = f"GetSchemaVersion {VERSION}"


@pytest.fixture(autouse=True)
def aws(monkeypatch, tmp_path):
    """Nobody's credentials, and no file or metadata service to look for others."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def server():
    with RegistryServer() as running:
        running.put_version(VERSION, TEXT)
        yield running


def registry(url: str, timeout: float = 5.0) -> GlueRegistry:
    return GlueRegistry("eu-west-1", url, None, timeout)


def fails(kind, work, *args) -> str:
    with pytest.raises(kind) as caught:
        work(*args)
    assert type(caught.value) is kind
    return str(caught.value)


def test_a_version_is_fetched_by_its_uuid_and_every_question_reaches_the_registry(server):
    asked = registry(server.url)
    for ask in (asked.fetch, asked.ask_again, asked.fetch):
        assert ask(KEY) == FetchedSchema(TEXT)
    assert server.requests == [QUESTION] * 3


def test_an_unknown_version_is_not_found(server):
    missing = SchemaKey("glue", "00000000-0000-4000-8000-000000000001")
    assert missing.id in fails(SchemaNotFound, registry(server.url).fetch, missing)


def test_a_version_that_is_being_deleted_is_still_handed_out(server):
    server.put_version(VERSION, TEXT, "DELETING")
    assert registry(server.url).fetch(KEY) == FetchedSchema(TEXT)


@pytest.mark.parametrize("status", ["PENDING", "FAILURE"])
def test_a_version_that_is_not_ready_is_waited_for(server, status):
    server.put_version(VERSION, TEXT, status)
    assert status in fails(Transient, registry(server.url).fetch, KEY)


def error(kind: str) -> Interference:
    return Interference(status=400, body=f'{{"__type": "{kind}", "Message": "because"}}'.encode())


@pytest.mark.parametrize(
    ("interference", "word"),
    [
        (error("ThrottlingException"), "ThrottlingException"),
        (error("AccessDeniedException"), "glue:GetSchemaVersion"),
        (error("UnrecognizedClientException"), "credentials"),
        (error("ExpiredTokenException"), "credentials"),
        (error("InvalidInputException"), "InvalidInputException"),
        (error("InternalServiceException"), "InternalServiceException"),
        (Interference(status=500), "500"),
        (Interference(status=503), "503"),
        (Interference(drop=True), "ConnectionClosedError"),
        (Interference(status=200, body=b"<html>"), "cannot be asked"),
        (Interference(status=200, body=b"{}"), "cannot be asked"),
    ],
    ids=str,
)
def test_every_other_answer_is_transient_with_its_code(server, interference, word):
    server.interfere = lambda request: interference
    asked = registry(server.url)
    for ask in (lambda: asked.fetch(KEY), lambda: asked.ask_again(KEY), asked.reach):
        assert word in fails(Transient, ask)
    assert len(server.requests) == 3
    server.interfere = None
    assert asked.fetch(KEY).text == TEXT


def test_a_registry_that_hangs_is_left_after_the_timeout(server):
    server.interfere = lambda request: Interference(delay=30)
    begun = time.monotonic()
    assert "ReadTimeoutError" in fails(Transient, registry(server.url, 0.5).fetch, KEY)
    assert 0.4 < time.monotonic() - begun < 20


def test_a_refused_connection_is_transient():
    with RegistryServer() as server:
        url = server.url
    assert "EndpointConnectionError" in fails(Transient, registry(url, 0.5).fetch, KEY)


def test_reach_asks_for_a_version_that_nobody_has(server):
    assert "answers" in registry(server.url).reach()
    assert server.requests == ["GetSchemaVersion 00000000-0000-0000-0000-000000000000"]


def test_a_bad_endpoint_or_profile_or_no_region_is_transient_with_the_reason(monkeypatch):
    assert "nonsense" in fails(Transient, registry("nonsense").reach)
    assert "region" in fails(Transient, GlueRegistry().reach)
    assert "nobody" in fails(Transient, GlueRegistry("eu-west-1", None, "nobody").reach)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "credentials" in fails(Transient, registry("http://127.0.0.1:1").fetch, KEY)


def test_the_environments_region_is_taken_where_none_is_given(server, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert GlueRegistry(None, server.url).fetch(KEY).text == TEXT


def test_a_version_that_is_not_avro_is_poison(server):
    body = (
        f'{{"SchemaVersionId": "{VERSION}", "Status": "AVAILABLE", "DataFormat": "PROTOBUF", "SchemaDefinition": "x",'
    )
    body += ' "SchemaArn": "arn:aws:glue:us-east-1:0:schema/r/s", "VersionNumber": 1}'
    server.interfere = lambda request: Interference(status=200, body=body.encode())
    with pytest.raises(Poison, match="PROTOBUF") as caught:
        registry(server.url).fetch(KEY)
    assert caught.value.kind == "unusable_schema"
