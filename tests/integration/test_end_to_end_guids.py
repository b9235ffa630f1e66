"""Records whose schema Confluent's header names, through the intake and through the running poller."""

from __future__ import annotations

import json

import pytest

from datahub_poller.decode.framing import SCHEMA_HEADER
from datahub_poller.demo import samples
from datahub_poller.demo.samples import PLATFORM_TOPIC, VERSIONED_TOPIC, confluent_frame, glue_frame, schema_text
from datahub_poller.model import Awaiting, Event, SchemaKey, Skipped, Undecodable
from support.brokers import Sent
from support.decoding import (
    CHANGE_LOG,
    CHANGE_LOG_GUID,
    CHANGE_LOG_ID,
    CHANGE_LOG_UUID,
    ENTITY_CHANGE,
    change_log,
    guid_name,
    intake,
    platform_event,
    record,
)
from support.recorded import Place, all_accounted_for, first_hand_outs_in_order

pytestmark = pytest.mark.timeout(90)
PLATFORM_GUID = "ffeeddcc-bbaa-9988-7766-554433221100"
BY_GUID = ((SCHEMA_HEADER, guid_name(CHANGE_LOG_GUID)),)
BY_ID = ((SCHEMA_HEADER, confluent_frame(CHANGE_LOG_ID, b"")),)
NOTHING = json.dumps({"type": "record", "name": "Nothing", "fields": []})


def read(value, headers, framing="auto", topic=VERSIONED_TOPIC, whole=None):
    return (intake(framing=framing) if whole is None else whole).read(record(topic, value, headers=headers), 1.0)


# -- the intake


@pytest.mark.parametrize("framing", ["confluent", "auto"])
@pytest.mark.parametrize("headers", [BY_GUID, BY_ID, (("trace", b"1"), *BY_GUID)])
def test_a_bare_change_log_with_the_header_is_an_event(headers, framing):
    verdict = read(change_log(), headers, framing)
    assert isinstance(verdict, Event)
    assert verdict.envelope["event"]["entityUrn"] == CHANGE_LOG["entityUrn"]
    assert [name for name, _ in verdict.envelope["meta"]["kafka"]["headers"]] == [name for name, _ in headers]


def test_records_with_and_without_the_header_and_of_every_framing_take_turns():
    whole, body = intake(), change_log()
    forms = [
        (body, BY_GUID),
        (confluent_frame(CHANGE_LOG_ID, body), ()),
        (guid_name(CHANGE_LOG_GUID) + body, ()),
        (glue_frame(CHANGE_LOG_UUID, body), ()),
        (body, BY_ID),
        (confluent_frame(CHANGE_LOG_ID, body), ((SCHEMA_HEADER, None),)),
        (confluent_frame(CHANGE_LOG_ID, body), (("trace", b"1"),)),
    ]
    for value, headers in forms * 3:
        assert isinstance(read(value, headers, whole=whole), Event), (value[:18], headers)


def test_two_guids_that_begin_alike_are_not_taken_for_each_other():
    """Whatever a reader is remembered by, it is the whole of the GUID."""
    other = "0a1b2c3d-0000-0000-0000-000000000000"
    texts = {SchemaKey("confluent", CHANGE_LOG_GUID): schema_text("MetadataChangeLog")}
    whole = intake(texts | {SchemaKey("confluent", other): NOTHING})
    for _ in range(3):
        assert isinstance(read(guid_name(CHANGE_LOG_GUID) + change_log(), (), whole=whole), Event)
        assert read(guid_name(other), (), whole=whole).failure.kind == "missing_field"


def test_bare_bytes_are_not_remembered_as_a_frame():
    """A change log without `auditHeader` begins as Confluent's framing by id does."""
    whole, body = intake(), change_log()
    assert body[0] == 0
    for _ in range(3):
        assert isinstance(read(body, BY_GUID, whole=whole), Event)
        assert isinstance(read(body, (), whole=whole), Awaiting)


def test_a_record_without_fields_is_its_header_alone_and_no_empty_value():
    whole = intake({SchemaKey("confluent", CHANGE_LOG_GUID): NOTHING})
    assert read(b"", BY_GUID, whole=whole).failure.kind == "missing_field"
    assert read(b"", (), whole=whole).failure.kind == "empty_value"
    assert read(b"", BY_GUID).failure.kind == "not_avro"


def test_a_tombstone_stays_one():
    assert read(None, BY_GUID) == Skipped("tombstone")


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        (((SCHEMA_HEADER, b""),), "truncated_frame"),
        (((SCHEMA_HEADER, b"\x01abc"),), "truncated_frame"),
        (((SCHEMA_HEADER, b"\x02" + bytes(16)),), "unknown_framing"),
    ],
)
def test_a_header_that_names_nothing_is_a_dead_letter(headers, kind):
    verdict = read(confluent_frame(CHANGE_LOG_ID, change_log()), headers)
    assert isinstance(verdict, Undecodable)
    assert verdict.failure.kind == kind


def test_under_glue_the_header_is_the_other_registrys_framing():
    assert read(change_log(), BY_GUID, "glue").failure.kind == "wrong_framing"
    assert isinstance(read(glue_frame(CHANGE_LOG_UUID, change_log()), BY_GUID, "glue"), Event)


def test_platform_events_too():
    texts = {SchemaKey("confluent", PLATFORM_GUID): schema_text("PlatformEvent")}
    body, headers = platform_event("entityChangeEvent", ENTITY_CHANGE), ((SCHEMA_HEADER, guid_name(PLATFORM_GUID)),)
    assert isinstance(read(body, headers, topic=PLATFORM_TOPIC, whole=intake(texts)), Event)


# -- the running poller


def sample(number):
    urn = f"urn:li:dataset:(urn:li:dataPlatform:hive,db.t{number},PROD)"
    stamp = {"time": 1_770_000_000_000 + number, "actor": "urn:li:corpuser:jdoe"}
    if number % 2:
        event = {"entityUrn": urn, "entityType": "dataset", "category": "TAG", "operation": "ADD"}
        return "pe", PLATFORM_GUID, 4, samples.entity_change(event | {"auditStamp": stamp, "version": 0})
    return "mcl", CHANGE_LOG_GUID, 2, samples.metadata_change_log(urn, "status", {"removed": False}, created=stamp)


def sent(stage, number):
    """In turn: the GUID in the header, before the value, the id in the header, before the value."""
    route, guid, schema_id, made = sample(number)
    body, by_id = made.body, confluent_frame(schema_id, b"")
    value, headers = {
        0: (body, [("trace", b"1"), (SCHEMA_HEADER, guid_name(guid))]),
        1: (guid_name(guid) + body, []),
        2: (body, [(SCHEMA_HEADER, by_id)]),
        3: (by_id + body, [("trace", None)]),
    }[number // 2 % 4]
    return Sent(stage.topics[route], number % 3, value, made.key, headers)


def test_the_poller_reads_every_framing_of_confluents_in_turn(stage):
    stage.create(3, "pe", "mcl")
    stage.registry.put(2, schema_text("MetadataChangeLog"), guid=CHANGE_LOG_GUID)
    stage.registry.put(4, schema_text("PlatformEvent"), guid=PLATFORM_GUID)
    records = [sent(stage, number) for number in range(240)]
    offsets = stage.bed.produce_all(records)
    places = [Place(each.topic, each.partition, offset) for each, offset in zip(records, offsets, strict=True)]
    stage.produced.update(places)
    stage.plan(keep=True)
    poller = stage.start()
    poller.until(stage.all_committed, "not all committed", 60)
    recorded = stage.recorded()
    assert not stage.letters()
    all_accounted_for(recorded, (), places)
    first_hand_outs_in_order(recorded)
    for number, place in enumerate(places):
        assert f"db.t{number}," in recorded.envelopes[place]["event"]["entityUrn"]
    guids = [f"GET /schemas/guids/{guid}" for guid in (CHANGE_LOG_GUID, PLATFORM_GUID)]
    assert sorted(stage.registry.requests) == sorted(["GET /schemas/ids/2", "GET /schemas/ids/4", *guids])
    assert poller.stop() == 0


def test_letters_keep_the_header_that_named_the_schema(stage):
    stage.create(1, "mcl")
    stage.registry.put(2, schema_text("MetadataChangeLog"), guid=CHANGE_LOG_GUID)
    name = guid_name(CHANGE_LOG_GUID)
    stage.bed.produce_all([Sent(stage.topics["mcl"], 0, b"\x02", b"k", [(SCHEMA_HEADER, name)])])
    poller = stage.start()
    poller.until(stage.letters, "no letter")
    (letter,) = stage.letters()
    assert letter["meta"]["failure"]["kind"] == "not_avro"
    assert letter["meta"]["raw"]["headers"] == [[SCHEMA_HEADER, "AQobLD1OX2BxgpOktcbX6Pk="]]
    assert poller.stop() == 0
