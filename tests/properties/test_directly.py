"""Events that are read in one go are what reading a dict and shaping it gives, for whatever writer's schema."""

from __future__ import annotations

import json
import random

import fastavro
import pytest

from datahub_poller.decode import datahub
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.shapes import Unfit
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import schema_text
from datahub_poller.errors import Poison
from support.avro import Values, damaged, same, written

SEED = 20_262
STAND_INS = (
    "string",
    "bytes",
    "long",
    "boolean",
    ["null", "string"],
    ["string", "null"],
    {"type": "map", "values": "string"},
)


def changed(chance, schema):
    """A version of the schema: fields dropped, moved, added, made nullable or given another type, at every depth."""
    fields = []
    for field in schema["fields"]:
        if chance.random() < 0.03:
            continue
        kind = field["type"]
        branches = kind if isinstance(kind, list) else [kind]
        branches = [changed(chance, each) if isinstance(each, dict) and "fields" in each else each for each in branches]
        kind = branches if isinstance(kind, list) else branches[0]
        if chance.random() < 0.02:
            kind = chance.choice(STAND_INS)
        elif chance.random() < 0.05 and isinstance(kind, list):
            kind = kind[::-1]
        elif chance.random() < 0.05 and not isinstance(kind, list) and kind != "null":
            kind = ["null", kind]
        fields.append({"name": field["name"], "type": kind})
        if chance.random() < 0.05:
            fields.append({"name": f"new{len(fields)}", "type": chance.choice(STAND_INS)})
    if chance.random() < 0.05:
        chance.shuffle(fields)
    return {**schema, "fields": fields}


def versions(name, count):
    """Schemas that can be read at all: a type may be gone that is used by its name elsewhere."""
    original = json.loads(schema_text(name))
    yield random.Random(SEED), original
    for seed in range(SEED, SEED + count):
        chance = random.Random(seed)
        schema = changed(chance, original)
        try:
            fastavro.parse_schema(json.loads(json.dumps(schema)))
        except fastavro.schema.UnknownType:
            continue
        yield chance, schema


def slowly(work, *args):
    try:
        return work(*args)
    except (Poison, Unfit):
        return None


def change_log(reader, payload):
    return datahub.metadata_change_log(reader.read(payload))


def platform_event(reader, payload):
    return datahub.PLATFORM_EVENT(reader.read(payload))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "shape", "slow"),
    [
        ("MetadataChangeLog", datahub.CHANGE_LOG, change_log),
        ("PlatformEvent", datahub.PLATFORM_EVENT, platform_event),
    ],
)
def test_it_is_what_the_slow_way_gives_or_nothing(name, shape, slow):
    direct = slower = refused = schemas = 0
    for chance, schema in versions(name, 400):
        schemas += 1
        reader = Reader(FetchedSchema(json.dumps(schema)))
        parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
        values = Values(chance, parsed["__named_schemas"], texts_only=True)
        for number in range(12):
            payload = written(parsed, values.of(parsed))
            if number % 2:
                payload = damaged(chance, payload)
            found = reader.in_one_go(shape)(payload, 0)
            expected = slowly(slow, reader, payload)
            if found is not None:
                assert same(found, expected), (schema, payload)
                direct += 1
            else:
                slower += expected is not None
                refused += expected is None
    print(f"{schemas} schemas: {direct} directly, {slower} slower, {refused} refused")
    assert direct > slower
    assert refused > 100


def test_datahubs_own_schemas_are_read_in_one_go():
    for name, shape in (("MetadataChangeLog", datahub.CHANGE_LOG), ("PlatformEvent", datahub.PLATFORM_EVENT)):
        reader = Reader(FetchedSchema(schema_text(name)))
        parsed = fastavro.parse_schema(json.loads(schema_text(name)))
        values = Values(random.Random(SEED), parsed["__named_schemas"], texts_only=True)
        assert all(reader.in_one_go(shape)(written(parsed, values.of(parsed)), 0) is not None for _ in range(200))
