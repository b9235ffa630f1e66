"""The registries on loopback, asked by the clients that the poller uses against real ones."""

from __future__ import annotations

import http.client
import json
import urllib.parse
import uuid
from contextlib import ExitStack

import boto3
import pytest
from aws_schema_registry import SchemaRegistryClient as GlueClient
from aws_schema_registry.exception import SchemaRegistryException
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from datahub_poller.demo.registry import Interference, Reference, RegistryServer

TEXT = json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]})
VERSION = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def registry():
    with RegistryServer() as started:
        yield started


@pytest.fixture
def confluent():
    """Makes Confluent's clients, and closes their connections afterwards."""
    with ExitStack() as open_clients:
        yield lambda registry, **settings: open_clients.enter_context(
            SchemaRegistryClient({"url": registry.url, "timeout": 2, "max.retries": 0, **settings})
        )


@pytest.fixture
def glue():
    """Makes Glue clients, and closes their connections afterwards."""
    with ExitStack() as open_clients:

        def make(registry):
            client = boto3.client(
                "glue",
                region_name="eu-west-1",
                endpoint_url=registry.url,
                aws_access_key_id="a",
                aws_secret_access_key="s",
                config=Config(connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1}),
            )
            open_clients.callback(client.close)
            return client

        yield make


def get(registry, path):
    """One request as it is on the wire: status and body."""
    parts = urllib.parse.urlsplit(registry.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=2)
    try:
        connection.request("GET", parts.path + path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class TestConfluent:
    def test_a_schema_is_found_by_its_id_zero_included(self, registry, confluent):
        registry.put(0, TEXT)
        registry.put(18, '"string"')
        assert confluent(registry).get_schema(0).schema_str == TEXT
        assert confluent(registry).get_schema(18).schema_str == '"string"'
        assert registry.requests == ["GET /schemas/ids/0", "GET /schemas/ids/18"]

    def test_an_unknown_id_is_confluents_own_not_found(self, registry, confluent):
        with pytest.raises(SchemaRegistryError) as caught:
            confluent(registry).get_schema(7)
        assert (caught.value.http_status_code, caught.value.error_code) == (404, 40403)

    def test_references_lead_to_the_subject_that_holds_them(self, registry, confluent):
        registry.put(1, TEXT, subject="inner", version=3)
        registry.put(2, '["R"]', references=[Reference("R", "inner", 3)])
        client = confluent(registry)
        (reference,) = client.get_schema(2).references
        assert (reference.name, reference.subject, reference.version) == ("R", "inner", 3)
        found = client.get_version("inner", 3)
        assert (found.schema_id, found.schema.schema_str) == (1, TEXT)
        with pytest.raises(SchemaRegistryError) as caught:
            client.get_version("inner", 4)
        assert caught.value.error_code == 40402

    def test_in_datahubs_style_not_found_has_an_empty_body_below_gms_path(self, confluent):
        with RegistryServer(style="datahub") as registry:
            registry.put(0, TEXT)
            assert urllib.parse.urlsplit(registry.url).path == "/schema-registry/api"
            assert get(registry, "/schemas/ids/9") == (404, b"")
            assert get(registry, "/") == (200, b"")
            assert confluent(registry).get_schema(0).schema_str == TEXT
            with pytest.raises(SchemaRegistryError) as caught:
                confluent(registry).get_schema(9)
            assert caught.value.http_status_code == 404
            assert registry.requests[0] == "GET /schemas/ids/9"

    def test_a_schema_is_found_by_its_guid_where_it_has_one(self, registry, confluent):
        registry.put(1, TEXT, guid=VERSION)
        registry.put(2, '"string"')
        assert confluent(registry).get_schema_by_guid(VERSION).schema_str == TEXT
        assert confluent(registry).get_schema(1).schema_str == TEXT
        assert registry.requests == [f"GET /schemas/guids/{VERSION}", "GET /schemas/ids/1"]
        with pytest.raises(SchemaRegistryError) as caught:
            confluent(registry).get_schema_by_guid(str(uuid.UUID(int=1)))
        assert (caught.value.http_status_code, caught.value.error_code) == (404, 40403)

    def test_in_datahubs_style_nothing_is_found_by_guid(self):
        with RegistryServer(style="datahub") as registry:
            registry.put(1, TEXT, guid=VERSION)
            assert get(registry, f"/schemas/guids/{VERSION}") == (404, b"")

    @pytest.mark.parametrize("path", ["/schemas/ids/-1", "/schemas/ids/x", "/schemas/ids/", "/subjects/a", "/nothing"])
    def test_what_is_not_served_is_not_found(self, registry, path):
        assert get(registry, path)[0] == 404

    def test_credentials_are_asked_for_where_there_are_any(self, confluent):
        with RegistryServer(credentials="user:right") as registry:
            registry.put(1, TEXT)
            with pytest.raises(SchemaRegistryError) as caught:
                confluent(registry).get_schema(1)
            assert caught.value.http_status_code == 401
            right = confluent(registry, **{"basic.auth.user.info": "user:right"})
            assert right.get_schema(1).schema_str == TEXT


class TestGlue:
    def test_a_version_is_found_by_its_uuid(self, registry, glue):
        registry.put_version(VERSION, TEXT)
        found = glue(registry).get_schema_version(SchemaVersionId=VERSION)
        assert (found["SchemaDefinition"], found["DataFormat"], found["Status"]) == (TEXT, "AVRO", "AVAILABLE")
        assert registry.requests == [f"GetSchemaVersion {VERSION}"]

    def test_the_glue_registry_client_reads_from_it(self, registry, glue):
        registry.put_version(VERSION, TEXT)
        version = GlueClient(glue(registry)).get_schema_version(uuid.UUID(VERSION))
        assert (version.definition, version.version_id) == (TEXT, uuid.UUID(VERSION))

    def test_a_version_being_deleted_still_has_its_text(self, registry, glue):
        registry.put_version(VERSION, TEXT, status="DELETING")
        found = glue(registry).get_schema_version(SchemaVersionId=VERSION)
        assert (found["Status"], found["SchemaDefinition"]) == ("DELETING", TEXT)

    def test_errors_are_the_ones_that_boto3_knows(self, registry, glue):
        client = glue(registry)
        with pytest.raises(client.exceptions.EntityNotFoundException, match=VERSION):
            client.get_schema_version(SchemaVersionId=VERSION)
        with pytest.raises(client.exceptions.InvalidInputException):
            client.get_schema_version(SchemaId={"SchemaName": "s"})
        with pytest.raises(client.exceptions.InvalidInputException):
            client.get_schema_version(SchemaVersionId="x" * 36)
        with pytest.raises(ClientError, match="ListSchemas"):
            client.list_schemas()
        with pytest.raises(SchemaRegistryException) as caught:
            GlueClient(client).get_schema_version(uuid.UUID(VERSION))
        assert caught.value.__cause__.response["Error"]["Code"] == "EntityNotFoundException"


class TestInterference:
    def test_it_is_asked_with_the_request_and_none_means_nothing_happens(self, registry, confluent, glue):
        asked = []
        registry.interfere = asked.append
        registry.put(1, TEXT)
        registry.put_version(VERSION, TEXT)
        confluent(registry).get_schema(1)
        glue(registry).get_schema_version(SchemaVersionId=VERSION)
        assert asked == registry.requests == ["GET /schemas/ids/1", f"GetSchemaVersion {VERSION}"]

    def test_a_status_and_body_of_ones_own_are_answered(self, registry, glue):
        registry.put(1, TEXT)
        registry.interfere = lambda request: Interference(status=503, body=b"busy")
        assert get(registry, "/schemas/ids/1") == (503, b"busy")
        throttled = b'{"__type":"ThrottlingException","Message":"slow down"}'
        registry.interfere = lambda request: Interference(status=400, body=throttled)
        with pytest.raises(ClientError) as caught:
            glue(registry).get_schema_version(SchemaVersionId=VERSION)
        assert caught.value.response["Error"]["Code"] == "ThrottlingException"

    def test_a_dropped_request_has_no_answer(self, registry, glue):
        registry.interfere = lambda request: Interference(drop=True)
        with pytest.raises(http.client.RemoteDisconnected):
            get(registry, "/schemas/ids/1")
        with pytest.raises(ConnectionClosedError):
            glue(registry).get_schema_version(SchemaVersionId=VERSION)

    def test_a_slow_answer_is_still_right_and_slower_than_an_impatient_client(self, registry, capfd, confluent):
        registry.put(1, TEXT)
        registry.interfere = lambda request: Interference(delay=0.05)
        assert get(registry, "/schemas/ids/1")[0] == 200
        registry.interfere = lambda request: Interference(delay=30.0)
        with pytest.raises(Exception, match="timed out"):
            confluent(registry, timeout=0.05).get_schema(1)
        registry.stop()
        assert capfd.readouterr().err == ""


class TestLife:
    def test_a_stopped_server_refuses_clients_that_were_connected_too(self, registry, glue):
        registry.put_version(VERSION, TEXT)
        client = glue(registry)
        client.get_schema_version(SchemaVersionId=VERSION)
        registry.stop()
        registry.stop()
        with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
            client.get_schema_version(SchemaVersionId=VERSION)

    def test_it_comes_back_on_the_same_port_with_what_it_knew(self, registry):
        registry.put(1, TEXT)
        url = registry.url
        registry.stop()
        registry.start()
        assert registry.url == url
        assert get(registry, "/schemas/ids/1")[0] == 200

    def test_a_port_of_ones_own_can_be_chosen_and_a_taken_one_is_an_error(self, registry):
        port = urllib.parse.urlsplit(registry.url).port
        with pytest.raises(OSError, match="in use"):
            RegistryServer(port=port)

    def test_one_that_was_never_started_can_be_stopped(self):
        RegistryServer().stop()
