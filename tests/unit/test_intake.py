"""From records to verdicts: the table of outcomes, and what is decided before what."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zlib

import pytest

from datahub_poller.decode.schemas import Schemas
from datahub_poller.demo.samples import (
    PLATFORM_TOPIC,
    TIMESERIES_TOPIC,
    VERSIONED_TOPIC,
    confluent_frame,
    glue_frame,
    schema_text,
)
from datahub_poller.filters import compile_filters
from datahub_poller.intake import Intake
from datahub_poller.model import Awaiting, Event, SchemaKey, Skipped, TopicPartition, Undecodable
from datahub_poller.record_readers import readable
from support.decoding import (
    CHANGE_LOG,
    CHANGE_LOG_ID,
    CHANGE_LOG_UUID,
    ENTITY_CHANGE,
    PLATFORM_ID,
    RELATIONSHIP_CHANGE,
    ROUTES,
    Shelf,
    avro,
    change_log,
    final,
    intake,
    own_schemas,
    platform_event,
    record,
)
from support.outcomes import NEWER_ID, OTHER_ID, OTHER_SCHEMA, UNION_ID, UNION_SCHEMA, Row, markdown, newer_schema, rows

PROTOBUF_ID = 77
ROWS = {row.what: row for row in rows()}


def outcome(verdict) -> str:
    match verdict:
        case Event():
            return "event"
        case Skipped(reason):
            return f"skipped: {reason}"
        case Awaiting():
            return "waits"
        case Undecodable(failure):
            assert failure.stage == "decode"
            assert failure.message
            return f"dead letter: {failure.kind}"


def verdict_of(row: Row, framing="auto"):
    texts = own_schemas() | {SchemaKey("confluent", NEWER_ID): newer_schema()}
    texts |= {
        SchemaKey("confluent", OTHER_ID): OTHER_SCHEMA,
        SchemaKey("confluent", UNION_ID): UNION_SCHEMA,
        SchemaKey("confluent", PROTOBUF_ID): 'syntax = "proto3";',
    }
    return final(intake(texts, framing=framing), record(row.topic, row.value, headers=row.headers))


# two rows need more than the record alone, and have tests of their own below
ALONE = [row for row in ROWS.values() if row.outcome.split(": ")[-1] not in ("wrong_framing", "unusable_schema")]


@pytest.mark.parametrize("row", ALONE, ids=lambda row: row.what)
def test_the_table_of_outcomes_holds(row):
    assert outcome(verdict_of(row)) == row.outcome


@pytest.mark.parametrize(
    ("framing", "value"),
    [("confluent", glue_frame(CHANGE_LOG_UUID, change_log())), ("glue", confluent_frame(CHANGE_LOG_ID, change_log()))],
)
def test_the_other_registrys_framing_is_refused_unless_type_is_auto(framing, value):
    row = ROWS["the other registry's framing"]
    assert outcome(verdict_of(row._replace(value=value), framing)) == row.outcome
    assert outcome(verdict_of(row._replace(value=value))) == "event"


def test_a_schema_that_is_no_avro_makes_its_records_undecodable():
    row = ROWS["a schema that is no Avro record"]
    assert outcome(verdict_of(row._replace(value=confluent_frame(PROTOBUF_ID, b"x")))) == row.outcome


def test_every_row_has_its_line_in_the_readmes_table():
    lines = markdown().splitlines()
    assert len(lines) == len(ROWS) + 2
    assert (
        "| an empty value | dead letter: `empty_value` | unless Confluent's header names a schema without fields |"
        in lines
    )


def test_an_event_carries_its_coordinates_and_the_bytes_around_it():
    headers = (("trace", b"1"), ("trace", None), ("raw", b"\xff\x00"))
    value = confluent_frame(CHANGE_LOG_ID, change_log())
    verdict = intake().read(record(VERSIONED_TOPIC, value, key="größe".encode(), headers=headers), 1.0)
    assert verdict.envelope["event_type"] == "MetadataChangeLogEvent_v1"
    assert verdict.envelope["meta"] == {
        "kafka": {
            "topic": VERSIONED_TOPIC,
            "partition": 3,
            "offset": 7,
            "timestamp": 1_772_000_000_123,
            "timestamp_type": "create",
            "key": "größe",
            "headers": [["trace", "1"], ["trace", None], ["raw", {"base64": "/wA="}]],
            "id": f"test-cluster/{VERSIONED_TOPIC}/3/7",
        }
    }
    json.dumps(verdict.envelope)


def test_an_event_says_which_partition_it_comes_from_whatever_was_read_by_the_same_schema():
    whole, value = intake(), confluent_frame(CHANGE_LOG_ID, change_log())
    for _ in range(2):
        for topic, partition in ((VERSIONED_TOPIC, 0), (VERSIONED_TOPIC, 1), (TIMESERIES_TOPIC, 1)):
            verdict = whole.read(record(topic, value)._replace(tp=TopicPartition(topic, partition)), 1.0)
            where = verdict.envelope["meta"]["kafka"]
            assert (where["topic"], where["partition"]) == (topic, partition)
            assert where["id"] == f"test-cluster/{topic}/{partition}/7"


def test_bytes_that_are_not_text_are_shown_in_base64():
    assert readable(None) is None
    assert readable(b"") == ""
    assert readable(b"\x80") == {"base64": "gA=="}


def test_reading_twice_gives_equal_envelopes_that_share_nothing():
    whole = intake()
    same = record(PLATFORM_TOPIC, confluent_frame(PLATFORM_ID, platform_event("entityChangeEvent", ENTITY_CHANGE)))
    first, second = whole.read(same, 1.0), whole.read(same, 1.0)
    assert first == second
    first.envelope["event"]["parameters"]["tagUrn"] = "changed by a handler"
    first.envelope["event"]["auditStamp"].clear()
    assert second == whole.read(same, 1.0)


# -- what is decided before the rest is looked at


def only(wanted):
    return [{"type": "event_type", "config": {"filter": wanted}}]


DAMAGED = record(VERSIONED_TOPIC, confluent_frame(CHANGE_LOG_ID, change_log()[:-30]))
OWNERSHIP = only({"MetadataChangeLogEvent_v1": {"event": [{"aspectName": "ownership"}]}})


def test_leading_fields_that_were_met_drop_a_change_log_whose_rest_is_damaged():
    by_name, good = intake(filters=OWNERSHIP), record(VERSIONED_TOPIC, confluent_frame(CHANGE_LOG_ID, change_log()))
    assert by_name.read(good, 1.0) == Skipped("filtered")
    assert by_name.read(DAMAGED, 1.0) == Skipped("filtered")
    by_tail = only({"MetadataChangeLogEvent_v1": {"event": [{"aspectName": "status"}]}})
    assert outcome(final(intake(filters=by_tail), DAMAGED)) == "dead letter: not_avro"
    assert outcome(final(intake(), DAMAGED)) == "dead letter: not_avro"


def test_leading_fields_that_were_not_met_drop_nothing_that_does_not_fit_the_schema():
    assert outcome(final(intake(filters=OWNERSHIP), DAMAGED)) == "dead letter: not_avro"


def test_a_platform_events_name_decides_before_its_payload_is_parsed():
    damaged = record(PLATFORM_TOPIC, confluent_frame(PLATFORM_ID, platform_event("entityChangeEvent", b"{")))
    assert intake(filters=only({"RelationshipChangeEvent_v1": None})).read(damaged, 1.0) == Skipped("filtered")
    unknown = record(PLATFORM_TOPIC, confluent_frame(PLATFORM_ID, platform_event("somethingElse", b"{")))
    assert intake().read(unknown, 1.0) == Skipped("not_routed")


def test_a_topic_of_which_nothing_may_pass_is_not_even_taken_apart():
    whole = intake(filters=only({"EntityChangeEvent_v1": None}))
    assert whole.read(record(VERSIONED_TOPIC, b"no frame at all"), 1.0) == Skipped("filtered")
    assert whole.read(record(VERSIONED_TOPIC, confluent_frame(12345, b"")), 1.0) == Skipped("filtered")
    assert whole.waiting() == {}


def test_a_tombstone_is_skipped_as_such_whatever_the_filter():
    assert intake(filters=only({})).read(record(VERSIONED_TOPIC, None), 1.0) == Skipped("tombstone")


def test_a_topic_without_a_route_is_skipped():
    assert intake().read(record("SomethingElse_v1", b"?"), 1.0) == Skipped("not_routed")


def test_the_whole_event_is_filtered_after_the_leading_fields_let_it_through():
    filters = only(
        {"MetadataChangeLogEvent_v1": {"event": [{"aspectName": "status", "aspect": {"value": {"removed": True}}}]}}
    )
    whole = intake(filters=filters)
    kept = change_log(aspect={"value": b'{"removed":true}', "contentType": "application/json"})
    assert whole.read(record(VERSIONED_TOPIC, confluent_frame(CHANGE_LOG_ID, change_log())), 1.0) == Skipped("filtered")
    assert isinstance(whole.read(record(TIMESERIES_TOPIC, confluent_frame(CHANGE_LOG_ID, kept)), 1.0), Event)


def test_relationship_changes_pass_by_their_own_type():
    value = confluent_frame(PLATFORM_ID, platform_event("relationshipChangeEvent", RELATIONSHIP_CHANGE))
    verdict = intake(filters=only({"RelationshipChangeEvent_v1": None})).read(record(PLATFORM_TOPIC, value), 1.0)
    assert verdict.envelope["event"] == RELATIONSHIP_CHANGE


# -- waiting for a schema


def test_a_record_waits_for_its_schema_and_is_read_when_it_has_arrived():
    shelf = Shelf({SchemaKey("confluent", 0): schema_text("MetadataChangeLog")})
    whole = Intake("confluent", ROUTES, Schemas({"confluent": shelf}, shelf.submit), compile_filters([], None), "c")
    waiting = record(VERSIONED_TOPIC, confluent_frame(0, change_log()))
    assert whole.read(waiting, 1.0) == Awaiting(SchemaKey("confluent", 0))
    assert whole.fetching()
    assert whole.waiting()[SchemaKey("confluent", 0)].since == 1.0
    whole.tick(1.5)
    whole.arrived(shelf.done[0], 2.0)
    assert not whole.fetching()
    assert whole.waiting() == {}
    assert whole.read(waiting, 2.0).envelope["event"]["entityUrn"] == CHANGE_LOG["entityUrn"]
    assert len(shelf.done) == 1


# -- imports


def test_importing_the_decoders_imports_no_client_of_a_registry():
    code = (
        "import sys, datahub_poller.intake, datahub_poller.decode.confluent, datahub_poller.decode.glue as glue\n"
        "import datahub_poller.decode.schemas, datahub_poller.decode.confluent as confluent\n"
        "confluent.ConfluentRegistry('http://127.0.0.1:1', {}, 1.0); glue.GlueRegistry('eu-west-1')\n"
        "heavy = {'confluent_kafka', 'boto3', 'botocore', 'aws_schema_registry', 'httpx2', 'requests', 'urllib3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_header_decides_also_where_the_values_beginning_is_known():
    whole, value = intake(), confluent_frame(CHANGE_LOG_ID, change_log())
    for _ in range(2):
        assert outcome(whole.read(record(VERSIONED_TOPIC, value), 1.0)) == "event"
    named = (("__value_schema_id", b"\x00" + (77).to_bytes(4, "big")),)
    verdict = whole.read(record(VERSIONED_TOPIC, value, headers=named), 1.0)
    assert verdict == Awaiting(SchemaKey("confluent", 77))
    assert outcome(whole.read(record(VERSIONED_TOPIC, value, headers=(("trace", b"1"),)), 1.0)) == "event"


def test_an_empty_value_is_read_by_the_schema_that_its_header_names():
    """A record without fields takes no bytes: here it is no event, but not the end of the run either."""
    whole = intake({SchemaKey("confluent", OTHER_ID): '{"type": "record", "name": "Nothing", "fields": []}'})
    named = (("__value_schema_id", b"\x00" + OTHER_ID.to_bytes(4, "big")),)
    assert outcome(whole.read(record(VERSIONED_TOPIC, b"", headers=named), 1.0)) == "dead letter: missing_field"


def test_compressed_values_are_inflated_also_where_one_is_as_long_as_what_is_in_it():
    schema = json.loads(schema_text("MetadataChangeLog"))
    schema["fields"].append({"name": "noise", "type": "bytes"})
    text, noise = json.dumps(schema), random.Random(1).randbytes(300)
    bodies = [avro(text, CHANGE_LOG | {"aspectName": "a" * each, "noise": noise}) for each in range(200)]
    as_long = next(body for body in bodies if len(zlib.compress(body)) == len(body))
    whole = intake({SchemaKey("glue", CHANGE_LOG_UUID): text})
    for body in (as_long, as_long, bodies[-1]):
        value = glue_frame(CHANGE_LOG_UUID, body, compress=True)
        assert outcome(whole.read(record(VERSIONED_TOPIC, value), 1.0)) == "event"
