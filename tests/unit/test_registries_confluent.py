"""Confluent-compatible registries over real HTTP: what every answer, and every lack of one, becomes."""

from __future__ import annotations

import json
import time

import pytest

from datahub_poller.decode.confluent import ConfluentRegistry
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.schemas import Schemas
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.registry import Interference, Reference, RegistryServer
from datahub_poller.errors import Poison, SchemaNotFound, Transient
from datahub_poller.model import SchemaKey
from datahub_poller.workers import Mailbox, Workers

TEXT = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}'
FIRST = SchemaKey("confluent", 0)
GUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
BY_GUID = SchemaKey("confluent", GUID)
PASSWORD = "hunter2%40x"


@pytest.fixture(params=["confluent", "datahub"])
def server(request):
    with RegistryServer(style=request.param) as running:
        running.put(0, TEXT)
        yield running


def registry(url: str, timeout: float = 5.0, **config) -> ConfluentRegistry:
    return ConfluentRegistry(url, config, timeout)


def fails(kind, work, *args) -> str:
    with pytest.raises(kind) as caught:
        work(*args)
    assert type(caught.value) is kind
    return str(caught.value)


def test_id_0_is_fetched_like_any_other(server):
    assert registry(server.url).fetch(FIRST) == FetchedSchema(TEXT)
    assert server.requests == ["GET /schemas/ids/0"]


def test_an_unknown_id_is_not_found_whether_the_404_has_a_body_or_not(server):
    message = fails(SchemaNotFound, registry(server.url).fetch, SchemaKey("confluent", 7))
    assert "no schema id 7" in message
    assert server.url in message


def test_an_id_beyond_what_registries_number_is_not_found_without_asking(server):
    server.interfere = lambda request: Interference(status=400)
    for number in (2**31, 2**32 - 1):
        assert str(number) in fails(SchemaNotFound, registry(server.url).fetch, SchemaKey("confluent", number))
    assert server.requests == []


def test_every_question_reaches_the_registry(server):
    asked = registry(server.url)
    for ask in (asked.fetch, asked.ask_again, asked.ask_again):
        assert ask(FIRST).text == TEXT
    assert server.requests == ["GET /schemas/ids/0"] * 3


def test_reach_needs_no_schema(server):
    asked = registry(server.url)
    assert "answers" in asked.reach()
    with RegistryServer(style="datahub") as empty:
        assert "answers" in registry(empty.url).reach()
        assert empty.requests == ["GET /schemas/ids/0"]


OTHER_ANSWERS = pytest.mark.parametrize(
    ("interference", "word"),
    [
        (Interference(status=503), "HTTP 503"),
        (Interference(status=500, body=b'{"error_code": 50001, "message": "backend"}'), "backend"),
        (Interference(status=429), "HTTP 429"),
        (Interference(status=400), "HTTP 400"),
        (Interference(status=405), "HTTP 405"),
        (Interference(status=422), "HTTP 422"),
        (Interference(status=302), "HTTP 302"),
        (Interference(status=401), "schema_registry_config"),
        (Interference(status=403), "schema_registry_config"),
        (Interference(drop=True), "gives no answer"),
        (Interference(status=200, body=b"<html>login</html>"), "not as a schema registry does"),
        (Interference(status=200, body=b"[]"), "not as a schema registry does"),
        (Interference(status=200, body=b'"text"'), "not as a schema registry does"),
        (Interference(status=204), "not as a schema registry does"),
        (Interference(status=200), "not as a schema registry does"),
        (Interference(status=200, body=b"{}"), "without a schema"),
        (Interference(status=200, body=b'{"schema": {"type": "record"}}'), "not as a schema registry does"),
    ],
    ids=str,
)


@OTHER_ANSWERS
def test_every_other_answer_is_transient_with_its_reason(server, interference, word):
    server.interfere = lambda request: interference
    asked = registry(server.url)
    for ask in (lambda: asked.fetch(FIRST), lambda: asked.ask_again(FIRST), asked.reach):
        message = fails(Transient, ask)
        assert word in message
        assert server.url in message
    assert len(server.requests) == 3  # one request each: trying again is not the client's business
    server.interfere = None
    assert asked.fetch(FIRST).text == TEXT


def test_a_schema_is_fetched_by_its_guid_and_every_question_reaches_the_registry():
    with RegistryServer() as server:
        server.put(7, TEXT, guid=GUID.upper())
        asked = registry(server.url)
        for ask in (asked.fetch, asked.ask_again, asked.fetch):
            assert ask(BY_GUID) == FetchedSchema(TEXT)
        assert asked.fetch(SchemaKey("confluent", 7)) == FetchedSchema(TEXT)
        assert server.requests == [f"GET /schemas/guids/{GUID}"] * 3 + ["GET /schemas/ids/7"]


def test_an_unknown_guid_is_not_found_and_one_that_is_registered_later_is():
    with RegistryServer() as server:
        asked = registry(server.url)
        for ask in (asked.fetch, asked.ask_again):
            message = fails(SchemaNotFound, ask, BY_GUID)
            assert message.endswith(f"{server.url} has no schema with the GUID {GUID}")
        server.put(7, TEXT, guid=GUID)
        assert asked.fetch(BY_GUID) == FetchedSchema(TEXT)


@pytest.mark.parametrize(
    "body", [b"", b'{"error_code": 404, "message": "HTTP 404 Not Found"}', b'{"status": 404}', b"<p>"]
)
def test_a_registry_without_guids_is_named_as_a_possible_reason(server, body):
    server.interfere = lambda request: Interference(status=404, body=body) if "guids" in request else None
    message = fails(SchemaNotFound, registry(server.url).fetch, BY_GUID)
    assert GUID in message
    assert "knows no GUIDs" in message
    assert registry(server.url).fetch(FIRST) == FetchedSchema(TEXT)


@OTHER_ANSWERS
def test_every_other_answer_to_a_guid_is_transient_with_its_reason(interference, word):
    with RegistryServer(interfere=lambda request: interference) as server:
        message = fails(Transient, registry(server.url).fetch, BY_GUID)
        assert word in message or "answers without a schema" in message  # no text: the client looks at it for ids alone
        assert server.url in message
        assert server.requests == [f"GET /schemas/guids/{GUID}"]


def test_a_schema_by_guid_has_its_references():
    with RegistryServer() as server:
        server.put(1, record("Leaf", x="long"), subject="leaf")
        server.put(2, record("Whole", leaf="Leaf"), [Reference("Leaf", "leaf", 1)], guid=GUID)
        assert Reader(registry(server.url).fetch(BY_GUID)).read(b"\x02") == {"leaf": {"x": 1}}
        assert len(server.requests) == 2


def test_a_schema_by_guid_that_is_not_avro_is_poison():
    body = b'{"schema": "x", "schemaType": "PROTOBUF"}'
    with RegistryServer(interfere=lambda request: Interference(status=200, body=body)) as server:
        with pytest.raises(Poison, match="PROTOBUF") as caught:
            registry(server.url).fetch(BY_GUID)
        assert caught.value.kind == "unusable_schema"


def test_a_registry_that_hangs_is_left_after_the_timeout(server):
    server.interfere = lambda request: Interference(delay=30)
    begun = time.monotonic()
    message = fails(Transient, registry(server.url, 0.5).fetch, FIRST)
    assert 0.4 < time.monotonic() - begun < 20
    assert "ReadTimeout" in message


def test_a_refused_connection_is_transient_at_once():
    with RegistryServer() as server:
        url = server.url
    begun = time.monotonic()
    assert "gives no answer" in fails(Transient, registry(url).fetch, FIRST)
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://[bad", "mock://x", "http://", "http://nobody.invalid"])
def test_a_bad_url_is_transient_and_named(url):
    assert url in fails(Transient, registry(url).reach)


def test_a_configuration_that_the_client_refuses_is_named():
    message = fails(Transient, registry("http://127.0.0.1:1", bogus="x").reach)
    assert "schema_registry_config" in message
    assert "bogus" in message
    message = fails(Transient, registry("https://127.0.0.1:1", **{"ssl.ca.location": "/nowhere.pem"}).reach)
    assert "schema_registry_config" in message


def test_credentials_are_sent_and_never_shown():
    with RegistryServer(credentials="ana:hunter2@x") as server:
        server.put(0, TEXT)
        by_config = registry(server.url, **{"basic.auth.user.info": "ana:hunter2@x"})
        by_url = registry(server.url.replace("//", f"//ana:{PASSWORD}@"))
        for asked in (by_config, by_url):
            assert asked.fetch(FIRST).text == TEXT
            server.interfere = lambda request: Interference(status=500, body=b'{"message": "ana:hunter2@x says no"}')
            shown = fails(Transient, asked.fetch, FIRST) + repr(asked) + asked.__class__.__name__
            server.interfere = None
            assert "hunter2" not in shown
            assert server.url in shown
        nobody = registry(server.url)
        assert "basic.auth.user.info" in fails(Transient, nobody.fetch, FIRST)
    for wrong in (f"http//ana:{PASSWORD}@x", f"ana:{PASSWORD}@x", f"http://ana:{PASSWORD}@[x"):
        assert PASSWORD not in fails(Transient, registry(wrong).reach)


def test_a_schema_that_is_not_avro_is_poison(server):
    for kind in ("PROTOBUF", "JSON"):
        body = json.dumps({"schema": "x", "schemaType": kind}).encode()
        server.interfere = lambda request, body=body: Interference(status=200, body=body)
        with pytest.raises(Poison, match=kind) as caught:
            registry(server.url).fetch(FIRST)
        assert caught.value.kind == "unusable_schema"
        assert "answers" in registry(server.url).reach()


def record(name: str, **fields) -> str:
    listed = [{"name": field, "type": kind} for field, kind in fields.items()]
    return json.dumps({"type": "record", "name": name, "fields": listed})


def test_references_are_resolved_depth_first_and_each_once():
    with RegistryServer() as server:
        server.put(1, record("Leaf", x="long"), subject="leaf")
        server.put(2, record("Left", leaf="Leaf"), [Reference("Leaf", "leaf", 1)], subject="left of/us")
        server.put(3, record("Right", leaf="Leaf"), [Reference("Leaf", "leaf", 1)], subject="right")
        both = [Reference("Left", "left of/us", 1), Reference("Right", "right", 1)]
        server.put(4, record("Whole", left="Left", right="Right"), both)
        fetched = registry(server.url).fetch(SchemaKey("confluent", 4))
        assert [json.loads(text)["name"] for text in fetched.references] == ["Leaf", "Left", "Right"]
        assert len(server.requests) == 4
        assert Reader(fetched).read(b"\x02\x04") == {"left": {"leaf": {"x": 1}}, "right": {"leaf": {"x": 2}}}


def test_references_that_lead_in_a_circle_end():
    with RegistryServer() as server:
        server.put(1, record("A", b="B"), [Reference("B", "b", 1)], subject="a")
        server.put(2, record("B", a="A"), [Reference("A", "a", 1)], subject="b")
        fetched = registry(server.url).fetch(SchemaKey("confluent", 1))
        with pytest.raises(Poison):
            Reader(fetched)


def test_a_reference_that_is_not_there_is_the_registrys_fault():
    with RegistryServer() as server:
        server.put(1, record("A", b="B"), [Reference("B", "gone", 3)])
        assert "HTTP 404" in fails(Transient, registry(server.url).fetch, SchemaKey("confluent", 1))


def settled(schemas, mailbox, key, seconds: float = 10.0):
    """What `get` gives once it gives something."""
    until = time.monotonic() + seconds
    while (found := schemas.get(key, time.monotonic())) is None and time.monotonic() < until:
        for done in mailbox.take(0.05):
            schemas.arrived(done, time.monotonic())
        schemas.tick(time.monotonic())
    return found


def test_a_hanging_id_and_a_flapping_one_do_not_hold_up_another():
    flaps = iter([Interference(status=503), Interference(drop=True), None])

    def interfere(request: str) -> Interference | None:
        return {"GET /schemas/ids/1": lambda: Interference(delay=30), "GET /schemas/ids/2": lambda: next(flaps)}.get(
            request, lambda: None
        )()

    with RegistryServer(interfere=interfere) as server:
        for number in range(4):
            server.put(number, TEXT)
        mailbox = Mailbox()
        workers = Workers("fetch", 3, mailbox)
        schemas = Schemas({"confluent": registry(server.url)}, workers.submit, retry=0.1)
        keys = [SchemaKey("confluent", number) for number in (1, 2, 3)]
        begun = time.monotonic()
        for _ in range(16):
            assert [schemas.get(key, begun) for key in keys] == [None] * 3
        for key in (keys[2], keys[1]):
            assert isinstance(settled(schemas, mailbox, key), Reader)
        assert time.monotonic() - begun < 4
        assert keys[0] in schemas.waiting()
        assert sorted(server.requests) == [f"GET /schemas/ids/{number}" for number in (1, 2, 2, 2, 3)]
