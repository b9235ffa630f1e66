"""The sample events are what DataHub itself would write: its schemas and classes read them, with the same result."""

from __future__ import annotations

import io
import json
import uuid
import zlib
from collections import Counter
from pathlib import Path

import fastavro
import pytest
from aws_schema_registry.codec import decode

from datahub_poller.demo import samples
from datahub_poller.demo.samples import confluent_frame, glue_frame, schema_text
from datahub_poller.demo.story import events, ownership, story
from datahub_poller.demo.world import table_urn

COUNT = 1500
VERSION = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def told():
    return events(COUNT)


@pytest.fixture(scope="module")
def theirs():
    """DataHub's own schemas, parsed."""
    from datahub.metadata import schemas

    found = Path(schemas.__file__).parent
    return {
        name: fastavro.parse_schema(json.loads((found / f"{name}.avsc").read_text()))
        for name in ("MetadataChangeLog", "PlatformEvent")
    }


def ours(name):
    return fastavro.parse_schema(json.loads(schema_text(name)))


def bones(schema, namespace=""):
    """A schema without documentation and annotations, with full names: what decides about the bytes."""
    match schema:
        case list():
            return [bones(branch, namespace) for branch in schema]
        case {"type": "record" | "enum" | "fixed", "name": name}:
            full = name if "." in name else f"{schema.get('namespace', namespace)}.{name}"
            inner = full.rpartition(".")[0]
            fields = [
                (f["name"], bones(f["type"], inner), "default" in f, f.get("default")) for f in schema.get("fields", [])
            ]
            return (schema["type"], full, fields, schema.get("symbols"), schema.get("size"))
        case {"type": "map", "values": values}:
            return ("map", bones(values, namespace))
        case {"type": kind}:
            return bones(kind, namespace)
        case str() if schema[0].isupper() and "." not in schema:
            return f"{namespace}.{schema}"
        case _:
            return schema


@pytest.mark.parametrize("name", ["MetadataChangeLog", "PlatformEvent"])
def test_our_schemas_have_datahubs_names_order_types_and_defaults(name):
    from datahub.metadata import schemas

    theirs = json.loads((Path(schemas.__file__).parent / f"{name}.avsc").read_text())
    assert bones(json.loads(schema_text(name))) == bones(theirs)


def holds(read, written):
    """What was written is there; what was left out has become the schema's default."""
    if isinstance(written, dict):
        return all(holds(read[name], value) for name, value in written.items())
    return read == written


def test_datahubs_schemas_read_what_ours_write_with_the_same_result(told, theirs):
    for sample in told:
        # as writer's schema: the bytes mean the same; as reader's schema: resolution finds nothing to complain of
        same_bytes = fastavro.schemaless_reader(io.BytesIO(sample.body), theirs[sample.schema], None)
        resolved = fastavro.schemaless_reader(io.BytesIO(sample.body), ours(sample.schema), theirs[sample.schema])
        own = fastavro.schemaless_reader(io.BytesIO(sample.body), ours(sample.schema), None)
        assert same_bytes == resolved == own
        assert holds(own, sample.datum)


def test_datahub_actions_makes_an_event_of_every_sample(told):
    from datahub.emitter.serialization_helper import post_json_transform
    from datahub.metadata.schema_classes import ASPECT_NAME_MAP, MetadataChangeLogClass
    from datahub_actions.event.event_registry import EntityChangeEvent, RelationshipChangeEvent

    for sample in told:
        datum = fastavro.schemaless_reader(io.BytesIO(sample.body), ours(sample.schema), None, return_record_name=True)
        match sample.event_type:
            case "MetadataChangeLogEvent_v1":
                log = MetadataChangeLogClass.from_obj(datum, tuples=True)
                assert log.validate(), sample
                aspect = ASPECT_NAME_MAP[log.aspectName]
                for content in (log.aspect, log.previousAspectValue):
                    if content is not None:
                        assert aspect.from_obj(post_json_transform(json.loads(content.value))).validate(), sample
            case "EntityChangeEvent_v1":
                event = EntityChangeEvent.from_json(datum["payload"]["value"])
                assert json.loads(event.as_json()) == json.loads(sample.datum["payload"]["value"])
            case "RelationshipChangeEvent_v1":
                event = RelationshipChangeEvent.from_json(datum["payload"]["value"])
                assert json.loads(event.as_json()) == json.loads(sample.datum["payload"]["value"])


def test_every_urn_is_one_that_datahub_reads(told):
    from datahub.utilities.urns.urn import Urn

    for sample in told:
        if sample.schema == "MetadataChangeLog":
            urn, kind = sample.datum["entityUrn"], sample.datum["entityType"]
            assert sample.key.decode() == urn
        else:
            event = json.loads(sample.datum["payload"]["value"])
            urn = event.get("entityUrn", event.get("sourceUrn"))
            kind = event.get("entityType", "dataset")
            assert sample.key.decode() == f"{sample.datum['name']}-{urn}"
        assert Urn.from_string(urn).entity_type == kind


def test_a_seed_tells_the_same_story_to_the_byte_and_another_seed_another():
    def wire(seed):
        return [(s.topic, s.key, s.body) for s in events(400, seed)]

    assert wire(7) == wire(7)
    assert wire(7) != wire(8)
    assert [s.body for s, _ in zip(story(7), range(400), strict=False)] == [body for _, _, body in wire(7)]


def test_a_few_hundred_events_hold_every_type_and_topic_in_good_measure():
    told = Counter((s.event_type, s.topic) for s in events(300))
    assert told["MetadataChangeLogEvent_v1", samples.VERSIONED_TOPIC] >= 60
    assert told["MetadataChangeLogEvent_v1", samples.TIMESERIES_TOPIC] >= 20
    assert told["EntityChangeEvent_v1", samples.PLATFORM_TOPIC] >= 60
    assert told["RelationshipChangeEvent_v1", samples.PLATFORM_TOPIC] >= 20
    assert sum(told.values()) == 300


def test_the_story_holds_deletions_earlier_values_and_several_categories(told):
    logs = [s.datum for s in told if s.schema == "MetadataChangeLog"]
    assert any(d["changeType"] == "DELETE" and d["aspect"] is None and d["previousAspectValue"] for d in logs)
    assert any(d["changeType"] == "CREATE" and d["entityKeyAspect"] for d in logs if "entityKeyAspect" in d)
    categories = {
        json.loads(s.datum["payload"]["value"])["category"] for s in told if s.event_type == "EntityChangeEvent_v1"
    }
    assert categories >= {"TAG", "OWNERSHIP", "TECHNICAL_SCHEMA", "DOCUMENTATION", "LIFECYCLE", "DOMAIN", "RUN"}


def test_the_earlier_value_is_the_one_written_before(told):
    last = {}
    for sample in told:
        if sample.schema == "MetadataChangeLog" and sample.topic == samples.VERSIONED_TOPIC:
            datum = sample.datum
            assert datum["previousAspectValue"] == last.get((datum["entityUrn"], datum["aspectName"]))
            last[datum["entityUrn"], datum["aspectName"]] = datum["aspect"]


def test_an_ownership_event_of_ones_own_is_one_of_datahubs():
    from datahub_actions.event.event_registry import EntityChangeEvent

    sample = ownership(table_urn("snowflake", "a.b.c"), "urn:li:corpuser:x")
    event = EntityChangeEvent.from_json(sample.datum["payload"]["value"])
    assert (event.category, event.modifier) == ("OWNERSHIP", "urn:li:corpuser:x")


class TestFraming:
    @pytest.mark.parametrize("schema_id", [0, 1, 18, 2**31 - 1])
    def test_confluents_is_a_zero_and_four_bytes_of_id(self, schema_id):
        assert confluent_frame(schema_id, b"body") == b"\0" + schema_id.to_bytes(4, "big") + b"body"

    @pytest.mark.parametrize("compress", [False, True])
    def test_glues_is_what_its_own_client_reads(self, compress):
        body = b"a body that repeats itself " * 10
        framed = glue_frame(VERSION, body, compress)
        assert decode(framed) == (body, uuid.UUID(VERSION))
        assert framed[:2] == (b"\x03\x05" if compress else b"\x03\x00")
        assert (zlib.decompress(framed[18:]) if compress else framed[18:]) == body
