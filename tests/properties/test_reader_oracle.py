"""The generated readers against fastavro's: the same values of the same bytes, and the same bytes refused."""

from __future__ import annotations

import json
import random
from collections import Counter

import fastavro
import pytest

from datahub_poller.decode.reader import Reader
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import schema_text
from datahub_poller.errors import Poison
from fuzz.rounds import judged, ours, theirs
from support.avro import Schemas, Values, damaged, same, written

SEED = 20_261


def drawn(seed, recursive=False):
    chance = random.Random(seed)
    schema = Schemas(chance, recursive=recursive).record()
    reader = Reader(FetchedSchema(json.dumps(schema)))
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    return chance, reader, parsed, Values(chance, parsed["__named_schemas"])


@pytest.mark.parametrize("share", range(4))
@pytest.mark.timeout(120)
def test_random_values_of_random_schemas_are_what_fastavro_reads(share):
    pairs = 0
    for seed in range(SEED + share * 500, SEED + (share + 1) * 500):
        chance, reader, parsed, values = drawn(seed)
        assert reader.generated, seed
        for _ in range(5):
            payload = written(parsed, values.of(parsed))
            expected, whole = theirs(parsed, payload)
            assert whole
            found, why = ours(reader, payload)
            assert same(found, expected), f"seed {seed}: {why}"
            fields = [field["name"] for field in parsed["fields"]]
            wanted = frozenset(chance.sample(fields, chance.randrange(len(fields) + 1)))
            lead = reader.lead(payload, wanted)
            assert same(lead, {name: expected[name] for name in fields if name in wanted})
            pairs += 1
    assert pairs == 2_500


@pytest.mark.parametrize("share", range(4))
@pytest.mark.timeout(120)
def test_damaged_bytes_are_refused_by_both_or_read_alike(share):
    tally = Counter()
    for seed in range(SEED + share * 150, SEED + (share + 1) * 150):
        chance, reader, parsed, values = drawn(seed)
        for _ in range(40):
            tally[judged(reader, parsed, damaged(chance, written(parsed, values.of(parsed))))] += 1
    print(tally)
    assert tally.keys() == {"refused by both", "read alike", "refused by ours alone"}


@pytest.mark.parametrize("name", ["MetadataChangeLog", "PlatformEvent"])
def test_datahubs_own_schemas(name):
    parsed = fastavro.parse_schema(json.loads(schema_text(name)))
    reader = Reader(FetchedSchema(schema_text(name)))
    assert reader.generated
    chance = random.Random(SEED)
    values = Values(chance, parsed["__named_schemas"])
    for _ in range(300):
        payload = written(parsed, values.of(parsed))
        assert same(reader.read(payload), theirs(parsed, payload)[0])


def test_types_that_contain_themselves_are_read_and_hostile_depths_are_not():
    for seed in range(SEED, SEED + 300):
        _, reader, parsed, values = drawn(seed, recursive=True)
        payload = written(parsed, values.of(parsed))
        assert same(reader.read(payload), theirs(parsed, payload)[0]), seed
    node = {"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]}
    chain = Reader(FetchedSchema(json.dumps(node)))
    assert chain.read(b"\x02" * 60 + b"\x00")
    with pytest.raises(Poison, match="nests too deep"):
        chain.read(b"\x02" * 100_000 + b"\x00")


def drawn_union(seed):
    """A union of records and whatever else, of which one at least is a record."""
    chance = random.Random(seed)
    schemas = Schemas(chance)
    others = chance.sample(["null", "string", "long", {"type": "map", "values": "long"}], chance.randrange(4))
    union = [schemas.record() for _ in range(chance.randrange(1, 4))]  # they may name types of those before them
    for each in others:
        union.insert(chance.randrange(len(union) + 1), each)
    named = {}
    parsed = fastavro.parse_schema(json.loads(json.dumps(union)), named_schemas=named)
    return chance, Reader(FetchedSchema(json.dumps(union))), parsed, Values(chance, named)


@pytest.mark.timeout(120)
def test_a_union_at_the_top_is_read_as_fastavro_reads_it_where_a_record_comes():
    tally = Counter()
    for seed in range(SEED, SEED + 400):
        chance, reader, parsed, values = drawn_union(seed)
        assert reader.generated, seed
        for _ in range(10):
            value = values.of(parsed)
            payload = written(parsed, value)
            expected, whole = theirs(parsed, payload)
            assert whole
            found, why = ours(reader, payload)
            is_record = value[0].startswith("R")
            assert same(found, expected) if is_record else why.startswith("not_a_record"), f"seed {seed}: {why}"
            tally["record" if is_record else "no record"] += 1
            bad = damaged(chance, payload)
            expected, whole = theirs(parsed, bad)
            found, why = ours(reader, bad)
            if found is not None:
                assert whole, f"only ours reads {bad!r}"
                assert same(found, expected)
            tally["damaged, read" if found is not None else "damaged, refused"] += 1
    print(tally)
    assert min(tally.values()) > 100
