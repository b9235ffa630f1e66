"""DataHub's three events from data: what is left out, what is kept, what is refused, by which words."""

from __future__ import annotations

import json
import math

import pytest

from datahub_poller.decode.datahub import (
    ENTITY_CHANGE,
    RELATIONSHIP_CHANGE,
    metadata_change_log,
    platform_event,
    platform_event_type,
)
from datahub_poller.errors import Poison
from datahub_poller.nesting import MOST, TOO_DEEP
from support import decoding

STAMP = decoding.STAMP


def entity(payload):
    value = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return platform_event(ENTITY_CHANGE, {"name": "entityChangeEvent", "payload": {"value": value}})


def edge(payload):
    return platform_event(RELATIONSHIP_CHANGE, {"payload": {"value": json.dumps(payload).encode()}})


def refused(work, *args) -> tuple[str, str]:
    with pytest.raises(Poison) as caught:
        work(*args)
    return caught.value.kind, str(caught.value)


def without(body, *names):
    return {key: value for key, value in body.items() if key not in names}


def test_an_entity_change_keeps_datahubs_order_with_parameters_last():
    mixed = dict(reversed(decoding.ENTITY_CHANGE.items())) | {"unknown": {"x": 1}}
    event = entity(mixed)
    assert list(event) == [*without(decoding.ENTITY_CHANGE, "parameters"), "parameters"]
    assert event == decoding.ENTITY_CHANGE


@pytest.mark.parametrize("nothing", [None, {}, [], "", 0, False])
def test_empty_parameters_disappear(nothing):
    assert "parameters" not in entity(decoding.ENTITY_CHANGE | {"parameters": nothing})


@pytest.mark.parametrize(
    "value", [{"a": None}, ["x"], "text", 7, {"deep": [{"x": {"y": [1, None]}}]}, {"n": 2**70}, 1.5]
)
def test_parameters_are_kept_whatever_they_are(value):
    assert entity(decoding.ENTITY_CHANGE | {"parameters": value})["parameters"] == value


def test_numbers_keep_their_kind_and_size():
    odd = {"big": 2**64, "negative": -(2**80), "whole": 1.0, "nan": math.nan, "infinite": math.inf, "max": 2**63 - 1}
    for nested in (odd, {"n": odd}, {"n": [odd]}):
        taken = entity(decoding.ENTITY_CHANGE | {"parameters": nested})["parameters"]
        assert repr(taken) == repr(nested)


def test_a_payload_may_have_what_pythons_json_reads():
    payload = json.dumps(decoding.ENTITY_CHANGE | {"modifier": "MARK"}).replace("MARK", "\\ud800").encode()
    assert entity(payload)["modifier"] == "\ud800"
    assert entity(b"\xef\xbb\xbf" + json.dumps(decoding.ENTITY_CHANGE).encode()) == decoding.ENTITY_CHANGE


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b'{"a":1}{', b'{"version":' + b"9" * 5000 + b"}"])
def test_a_payload_that_is_not_json_is_poison(body):
    assert refused(entity, body)[0] == "payload_not_json"


@pytest.mark.parametrize("nan", [b"", b'"n":NaN,'], ids=["read by orjson", "read by Python"])
@pytest.mark.parametrize("depth", [MOST, 500, 1_500, 5_000, 200_000])
def test_a_payload_that_nests_too_deeply_is_poison_whatever_reads_it(depth, nan):
    body = b"{" + nan + b'"parameters":' + b"[" * depth + b"]" * depth + b"}"
    assert refused(entity, body) == ("payload_not_json", f"the payload is no JSON for the poller: {TOO_DEEP}")


def test_a_payload_may_nest_up_to_the_limit():
    deep = json.loads("[" * (MOST - 1) + "]" * (MOST - 1))
    assert entity(decoding.ENTITY_CHANGE | {"parameters": deep})["parameters"] == deep


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_a_payload_that_is_no_object_is_poison(body):
    assert refused(entity, body)[0] == "payload_not_object"


@pytest.mark.parametrize("body", [b"\xff", b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc3"}'])
def test_a_payload_that_is_not_utf8_is_poison(body):
    assert refused(entity, body)[0] == "payload_not_utf8"


@pytest.mark.parametrize("name", ["entityType", "entityUrn", "category", "operation", "auditStamp", "version"])
def test_an_entity_change_without_a_required_field_names_it(name):
    for body in (without(decoding.ENTITY_CHANGE, name), decoding.ENTITY_CHANGE | {name: None}):
        assert refused(entity, body) == ("missing_field", f"{name} is missing")


@pytest.mark.parametrize("name", ["sourceUrn", "destinationUrn", "operation", "relationshipType"])
def test_a_relationship_change_without_a_required_field_names_it(name):
    assert refused(edge, without(decoding.RELATIONSHIP_CHANGE, name)) == ("missing_field", f"{name} is missing")


def test_what_is_missing_or_wrong_inside_is_named_by_its_path():
    stamp = {"auditStamp": {"time": 1}}
    assert refused(entity, decoding.ENTITY_CHANGE | stamp) == ("missing_field", "auditStamp.actor is missing")
    stamp = {"auditStamp": {"time": "now", "actor": "a"}}
    expected = ("wrong_type", "auditStamp.time is str, not a whole number")
    assert refused(entity, decoding.ENTITY_CHANGE | stamp) == expected
    properties = {"properties": {"a": "b", "c": 1}}
    assert refused(edge, decoding.RELATIONSHIP_CHANGE | properties) == ("wrong_type", "properties.c is int, not text")


@pytest.mark.parametrize(
    ("name", "value"),
    [("entityUrn", 1), ("modifier", ["x"]), ("version", 1.5), ("auditStamp", "now"), ("auditStamp", [])],
)
def test_a_field_of_the_wrong_type_is_poison(name, value):
    kind, message = refused(entity, decoding.ENTITY_CHANGE | {name: value})
    assert kind == "wrong_type"
    assert message.startswith(name)


def test_a_relationship_change_keeps_what_it_has_and_leaves_nulls_out():
    full = decoding.RELATIONSHIP_CHANGE | {"via": "x", "lifecycleOwner": "y", "properties": {"k": "v"}}
    event = edge(full | {"new": 1})
    assert event == full
    assert list(event)[-2:] == ["properties", "auditStamp"]
    assert edge(decoding.RELATIONSHIP_CHANGE | {"via": None, "properties": None}) == decoding.RELATIONSHIP_CHANGE
    assert edge(decoding.RELATIONSHIP_CHANGE | {"properties": {}})["properties"] == {}


def test_a_relationship_change_without_audit_stamp_is_an_event_since_datahub_writes_such():
    bare = {name: value for name, value in decoding.RELATIONSHIP_CHANGE.items() if name != "auditStamp"}
    assert edge(bare) == bare
    assert edge(bare | {"auditStamp": None}) == bare


def test_an_optional_value_in_avros_own_json_is_taken_out_of_its_type():
    assert edge(decoding.RELATIONSHIP_CHANGE | {"via": {"string": "x"}})["via"] == "x"
    assert edge(decoding.RELATIONSHIP_CHANGE | {"properties": {"map": {"a": "b"}}})["properties"] == {"a": "b"}


def test_a_platform_events_name_says_what_it_is():
    assert platform_event_type({"name": "entityChangeEvent"}) == ENTITY_CHANGE
    assert platform_event_type({"name": "relationshipChangeEvent"}) == RELATIONSHIP_CHANGE
    assert platform_event_type({"name": "EntityChangeEvent"}) is None
    assert refused(platform_event_type, {})[0] == "missing_field"
    assert refused(platform_event_type, {"name": 1})[0] == "wrong_type"


@pytest.mark.parametrize("payload", [None, {}, {"value": None}])
def test_a_platform_event_without_a_payload_is_poison(payload):
    assert refused(platform_event, ENTITY_CHANGE, {"payload": payload})[0] == "missing_field"
    assert refused(platform_event, ENTITY_CHANGE, {"payload": {"value": "text"}})[0] == "wrong_type"


def test_a_change_log_leaves_nulls_out_at_every_depth_and_shows_aspects_as_text():
    content = {"value": '{"größe":1}'.encode(), "contentType": "application/json"}
    system = {"lastObserved": 5, "runId": "r", "lastRunId": "l", "pipelineName": None, "properties": {}}
    stamp = STAMP | {"impersonator": None, "message": None}
    datum = decoding.CHANGE_LOG | {
        "auditHeader": None,
        "aspect": content,
        "previousAspectValue": content,
        "systemMetadata": system | {"aspectCreated": stamp, "aspectModified": None},
        "headers": {},
        "created": stamp,
        "somethingNew": "dropped",
    }
    event = metadata_change_log(datum)
    shown = {"value": '{"größe":1}', "contentType": "application/json"}
    assert event["aspect"] == event["previousAspectValue"] == shown
    assert event["systemMetadata"] == without(system, "pipelineName") | {"aspectCreated": STAMP}
    assert event["created"] == STAMP
    assert event["headers"] == {}
    assert "auditHeader" not in event
    assert "somethingNew" not in event
    json.dumps(event)


def test_system_metadata_without_run_ids_gets_datahubs_defaults():
    event = metadata_change_log(decoding.CHANGE_LOG | {"systemMetadata": {"lastObserved": None, "runId": None}})
    run = "no-run-id-provided"
    assert event["systemMetadata"] == {"lastObserved": 0, "runId": run, "lastRunId": run}


def test_an_audit_headers_message_id_is_shown_in_hexadecimal():
    header = {"time": 1, "server": "s", "appName": "a", "messageId": bytes(range(16)), "instance": None}
    event = metadata_change_log(decoding.CHANGE_LOG | {"auditHeader": header})
    assert event["auditHeader"] == {
        "time": 1,
        "server": "s",
        "appName": "a",
        "messageId": "000102030405060708090a0b0c0d0e0f",
    }
    json.dumps(event)


@pytest.mark.parametrize("name", ["aspect", "previousAspectValue", "entityKeyAspect"])
def test_an_aspect_that_is_not_utf8_is_poison(name):
    broken = {name: {"value": b'"\xff"', "contentType": "application/json"}}
    kind, message = refused(metadata_change_log, decoding.CHANGE_LOG | broken)
    assert kind == "aspect_not_utf8"
    assert message.startswith(f"{name}.value is not UTF-8")


def test_a_record_of_something_else_is_poison():
    assert refused(metadata_change_log, {}) == ("missing_field", "entityType is missing")
    assert refused(metadata_change_log, {"entityType": 5})[0] == "wrong_type"
    assert refused(metadata_change_log, decoding.CHANGE_LOG | {"aspect": b"{}"})[0] == "wrong_type"
    text = decoding.CHANGE_LOG | {"aspect": {"value": "{}", "contentType": "x"}}
    assert refused(metadata_change_log, text) == ("wrong_type", "aspect.value is str, not bytes")
