"""Reading Avro by a writer schema, and the schemas that are refused because no bytes read by them are harmless."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc

import fastavro
import pytest

from datahub_poller.decode import datahub
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.wire import UpperBytes
from datahub_poller.decode.writer_schema import SCHEMA_LIMIT, FetchedSchema
from datahub_poller.demo.samples import schema_text
from datahub_poller.errors import Poison
from support.decoding import CHANGE_LOG, avro, change_log


def schema(*fields, **more) -> str:
    listed = [{"name": name, "type": kind} for name, kind in fields]
    return json.dumps({"type": "record", "name": "R", "fields": listed} | more)


def reader(*fields, **more) -> Reader:
    return Reader(FetchedSchema(schema(*fields, **more)))


def written(text: str, datum) -> bytes:
    return avro(text, datum)


def kind(work, *args) -> str:
    with pytest.raises(Poison) as caught:
        work(*args)
    return caught.value.kind


def number(value: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    return out.getvalue()


# -- reading


def test_a_record_is_a_plain_dict_with_its_unions_resolved():
    made = Reader(FetchedSchema(schema_text("MetadataChangeLog")))
    datum = made.read(change_log())
    assert type(datum) is dict
    assert {name: value for name, value in datum.items() if value is not None} == {
        **CHANGE_LOG,
        "created": {**CHANGE_LOG["created"], "impersonator": None, "message": None},
    }
    assert datum["auditHeader"] is None


def test_bytes_left_over_are_refused():
    made = reader(("a", "long"))
    assert made.read(b"\x02") == {"a": 1}
    assert kind(made.read, b"\x02\x00") == "left_over_bytes"
    assert reader().read(b"") == {}
    assert kind(reader().read, b"\x00") == "left_over_bytes"


def test_whole_numbers_of_every_length_are_read():
    made = reader(("a", "long"), ("b", "long"))
    for bits in range(64):
        for near in (-1, 0, 1):
            value = min(2**bits + near, 2**63 - 1)
            for each in (value, -value, value):
                assert made.read(number(each) + number(~each)) == {"a": each, "b": ~each}


def test_of_large_numbers_no_more_is_remembered_than_memory_allows():
    upper = UpperBytes()
    for value in range(2**34, 2**41, 2**27):
        last = number(value)[3:]
        assert upper[last] == upper[last]
    assert len(upper) < 5_000


@pytest.mark.parametrize("length", [-1, -64, -65, -100, -8192, -8193, -(2**20)])
@pytest.mark.parametrize("kind_of_field", ["string", "bytes"])
def test_a_negative_length_is_not_taken_for_a_positive_one(length, kind_of_field):
    """It would be one less, as its sign is in its last bit."""
    assert kind(reader(("a", kind_of_field)).read, number(length) + bytes(-length - 1)) == "not_avro"
    behind = reader(("a", kind_of_field), ("b", "long"))
    assert kind(behind.lead, number(length) + bytes(-length), frozenset({"b"})) == "not_avro"


@pytest.mark.parametrize("length", [-5, -(2**63), 2**40, 2**63 - 1, 300 * 1024 * 1024, 4])
@pytest.mark.parametrize("kind_of_field", ["string", "bytes"])
def test_a_length_that_is_not_there_is_not_believed(length, kind_of_field):
    made = reader(("a", kind_of_field))
    tracemalloc.start()
    try:
        assert kind(made.read, number(length) + b"abc") == "not_avro"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [2**62, 2**31, -(2**40), -(2**63)])
def test_a_block_that_claims_more_items_than_there_are_bytes_ends_at_once(count):
    for items in ({"type": "array", "items": "long"}, {"type": "map", "values": "null"}):
        made = reader(("a", items))
        with pytest.raises(Poison):
            made.read(number(count) + b"\x02\x02")


@pytest.mark.parametrize(
    ("field", "payload"),
    [
        ("string", number(1) + b"\xff"),
        ("boolean", b""),
        ("double", b"abc"),
        (["null", "string"], number(7)),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, number(7)),
        ({"type": "fixed", "name": "F", "size": 16}, b"short"),
        ("long", b"\xff" * 20),
    ],
)
def test_bytes_that_do_not_fit_are_poison(field, payload):
    assert kind(reader(("a", field)).read, payload) == "not_avro"


def test_logical_types_stay_what_they_are_on_the_wire():
    fields = [("at", {"type": "long", "logicalType": "timestamp-millis"})]
    fields.append(("price", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}))
    fields.append(("day", {"type": "int", "logicalType": "date"}))
    plain = schema(("at", "long"), ("price", "bytes"), ("day", "int"))
    datum = {"at": 1_772_000_000_000, "price": b"\x01\x02", "day": 20_000}
    assert reader(*fields).read(written(plain, datum)) == datum


def test_two_versions_of_one_named_record_do_not_mix():
    inner_1 = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "long"}]}
    inner_2 = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "string"}]}
    first, second = reader(("a", inner_1)), reader(("a", inner_2))
    for _ in range(2):
        assert first.read(b"\x02") == {"a": {"x": 1}}
        assert second.read(b"\x02z") == {"a": {"x": "z"}}


def test_references_are_known_to_the_schema_and_its_prefixes():
    stamp = '{"type": "record", "name": "Stamp", "namespace": "c", "fields": [{"name": "by", "type": "c.Name"}]}'
    name = '{"type": "enum", "name": "Name", "namespace": "c", "symbols": ["ANA", "BO"]}'
    text = schema(("first", "c.Stamp"), ("second", "c.Stamp"), ("last", "long"))
    made = Reader(FetchedSchema(text, (name, stamp)))
    assert made.read(b"\x00\x02\x04") == {"first": {"by": "ANA"}, "second": {"by": "BO"}, "last": 2}
    assert made.lead(b"\x00\x02", frozenset({"second"})) == {"second": {"by": "BO"}}
    assert kind(Reader, FetchedSchema(text)) == "unusable_schema"


def test_types_may_contain_themselves():
    made = Reader(FetchedSchema(RECURSIVE))
    assert made.read(b"\x02\x02\x00") == {"next": {"next": {"next": None}}}
    assert Reader(FetchedSchema(MUTUAL)).read(b"\x02\x02a\x00\x00") == {"b": {"r": {"a": {"b": {"r": {}}}}}}
    assert kind(made.read, b"\x02" * 1000) == "not_avro"
    endless = Reader(FetchedSchema(schema(("self", "R"))))
    assert kind(endless.read, b"") == "not_avro"


def test_names_of_a_schema_do_not_become_code():
    text = schema(("a", {"type": "enum", "name": "E", "symbols": ["A"]}))
    hostile = text.replace('"a"', '"a\': 1}; raise SystemExit #"')
    try:
        made = Reader(FetchedSchema(hostile))
    except Poison:
        return
    assert made.read(b"\x00") == {"a': 1}; raise SystemExit #": "A"}


def test_few_bytes_do_not_become_many_items():
    made = reader(("a", {"type": "array", "items": ["null", "long"]}))
    assert len(made.read(number(900_000) + bytes(900_000) + b"\x00")["a"]) == 900_000
    assert kind(made.read, number(1_100_000) + bytes(1_100_000) + b"\x00") == "not_avro"
    blocks = (number(500_000) + bytes(500_000)) * 3 + b"\x00"
    assert kind(made.read, blocks) == "not_avro"


@pytest.mark.parametrize(
    ("field", "payload"),
    [
        (["null", "string"], b"\x01"),
        (["null", "string"], b"\x80\x00"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x01"),
        ("boolean", b"\x02"),
        ("long", b"\xff" * 9 + b"\x7f"),
        ("string", b"\x01"),
        ({"type": "array", "items": "long"}, b"\x80\x00\x00"),
    ],
)
def test_what_fastavro_would_let_pass_is_refused(field, payload):
    assert kind(reader(("a", field)).read, payload) == "not_avro"


def test_a_schema_beyond_the_generator_is_read_by_fastavro():
    wide = [(f"f{number}", "long") for number in range(5_000)]
    made = reader(*wide)
    assert not made.generated
    assert made.read(b"\x02" * 5_000) == {name: 1 for name, _ in wide}
    assert made.lead(b"\x02" * 5_000, frozenset({"f1"})) == {"f1": 1}
    assert made.lead(b"\x02" * 2, frozenset({"f1"})) == {"f1": 1}
    assert kind(made.read, b"\x02" * 5_001) == "left_over_bytes"
    assert kind(made.read, b"\x02" * 4_999) == "not_avro"
    itself = [*wide, ("next", ["null", "R"])]
    assert kind(lambda: reader(*itself)) == "unusable_schema"
    assert reader(("a", "long")).generated


# -- leading fields


def test_the_lead_ends_with_the_last_wanted_field_and_looks_no_further():
    made = Reader(FetchedSchema(schema_text("MetadataChangeLog")))
    payload = change_log()
    lead = made.lead(payload[:60], frozenset({"entityType", "changeType"}))
    assert list(lead) == ["entityType", "changeType"]
    assert lead["changeType"] == "UPSERT"
    whole = made.read(payload)
    for wanted in ({"aspectName"}, {"entityType"}, {"created"}, {"entityUrn", "aspectName"}):
        assert made.lead(payload, frozenset(wanted)).items() <= whole.items()


def test_a_wanted_field_that_the_schema_lacks_is_absent():
    made = reader(("a", "long"), ("b", "long"))
    assert made.lead(b"\x02\x04", frozenset({"a", "z"})) == {"a": 1}
    assert made.lead(b"", frozenset({"z"})) == {}


def test_a_damaged_lead_is_poison():
    assert kind(reader(("a", "string")).lead, b"\x08a", frozenset({"a"})) == "not_avro"


# -- schemas that are refused


def nested(depth: int) -> str:
    return schema(("a", json.loads('{"type":"array","items":' * depth + '"long"' + "}" * depth)))


RECURSIVE = schema(("next", ["null", "R"]))
MUTUAL = schema(
    ("b", {"type": "record", "name": "B", "fields": [{"name": "r", "type": {"type": "map", "values": "R"}}]})
)
EMPTY = {"type": "record", "name": "E", "fields": []}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '"string"',
        '["null", "string"]',
        'syntax = "proto3"; message M {}',
        '{"type": "object", "properties": {}}',
        '{"type": "record"}',
        '{"type": "record", "name": "R"}',
        '{"type": "record", "name": "R", "fields": [{}]}',
        '{"type": "record", "name": "R", "fields": {"a": 1}}',
        '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "nobody"}]}',
        '{"type": "record", "name": "R", "fields": [{"name": "a", "type": {}}]}',
        schema(("a", "long"), ("a", "long")) + "}",
        "[" * 100_000,
        nested(70),
        schema(("a", {"type": "array", "items": "null"})),
        schema(("a", {"type": "array", "items": EMPTY})),
        schema(("a", {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}})),
        schema(("a", {"type": "fixed", "name": "F", "size": "1]; exit(1) #"})),
        schema(("a", {"type": "fixed", "name": "F", "size": -1})),
        schema(("a", {"type": "fixed", "name": "F", "size": 1.5})),
        schema(("a", {"type": "fixed", "name": "F", "size": True})),
        schema(("a", EMPTY), ("b", {"type": "map", "values": {"type": "array", "items": "E"}})),
        schema(("a", "long"), doc="x" * SCHEMA_LIMIT),
    ],
    ids=lambda text: text[:40],
)
def test_an_unusable_schema_is_poison(text):
    assert kind(Reader, FetchedSchema(text)) == "unusable_schema"


def test_references_count_against_the_limit_of_length():
    long = '{"type": "record", "name": "L", "fields": [], "doc": "' + "x" * SCHEMA_LIMIT + '"}'
    assert kind(Reader, FetchedSchema(schema(), (long,))) == "unusable_schema"


def test_a_type_used_twice_is_not_recursion():
    inner = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "long"}]}
    made = reader(("a", inner), ("b", {"type": "array", "items": "I"}), ("c", ["null", "I"]))
    assert made.read(b"\x02\x02\x04\x00\x00") == {"a": {"x": 1}, "b": [{"x": 2}], "c": None}


def test_why_recursive_schemas_are_refused():
    """If this fails because the process survives, fastavro has learnt to bound recursion: refuse less."""
    code = (
        "import io, fastavro\n"
        f"schema = fastavro.parse_schema({json.loads(RECURSIVE)!r})\n"
        "try:\n"
        "    fastavro.schemaless_reader(io.BytesIO(bytes([2]) * 2_000_000 + bytes(1)), schema, None)\n"
        "except RecursionError:\n"
        "    print('survived')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode < 0


# -- in one go


def test_an_index_that_a_union_has_not_is_not_read_as_nothing():
    made = Reader(FetchedSchema(schema_text("MetadataChangeLog")))
    payload = change_log()
    read = made.in_one_go(datahub.CHANGE_LOG)
    assert read(payload, 0) is not None
    for place in range(len(payload)):
        bad = payload[:place] + b"\x0e" + payload[place + 1 :]
        found = read(bad, 0)
        assert found is None or found == datahub.metadata_change_log(made.read(bad)), place


def test_what_is_cut_short_or_followed_by_bytes_is_not_read_in_one_go():
    read = Reader(FetchedSchema(schema_text("MetadataChangeLog"))).in_one_go(datahub.CHANGE_LOG)
    payload = change_log(created={"time": 1, "actor": "urn:li:corpuser:a", "message": "the record's last bytes"})
    assert read(payload, 0)["created"]["message"] == "the record's last bytes"
    assert [length for length in range(len(payload)) if read(payload[:length], 0) is not None] == []
    assert read(payload + b"\x00", 0) is None
    assert read(b"\x00" + payload, 1) == read(payload, 0)


def test_a_required_field_that_is_null_is_not_read_in_one_go():
    schema = json.loads(schema_text("MetadataChangeLog"))
    field = next(field for field in schema["fields"] if field["name"] == "entityType")
    field["type"] = ["null", "string"]
    text = json.dumps(schema)
    read = Reader(FetchedSchema(text)).in_one_go(datahub.CHANGE_LOG)
    assert read(avro(text, CHANGE_LOG), 0) == CHANGE_LOG | {
        "aspect": {**CHANGE_LOG["aspect"], "value": '{"removed":false}'}
    }
    assert read(avro(text, CHANGE_LOG | {"entityType": None}), 0) is None


# -- unions at the top


CHANGE_LOG_SCHEMA = json.loads(schema_text("MetadataChangeLog"))
OTHER_RECORD = {"type": "record", "name": "Other", "fields": [{"name": "id", "type": "long"}]}


def union(*branches) -> Reader:
    return Reader(FetchedSchema(json.dumps(branches)))


@pytest.mark.parametrize(
    ("branches", "index"),
    [
        (["null", CHANGE_LOG_SCHEMA], b"\x02"),
        ([CHANGE_LOG_SCHEMA, "null"], b"\x00"),
        ([OTHER_RECORD, CHANGE_LOG_SCHEMA], b"\x02"),
        ([CHANGE_LOG_SCHEMA], b"\x00"),
    ],
)
def test_a_record_in_a_union_at_the_top_is_read_as_if_it_stood_alone(branches, index):
    made, alone = union(*branches), Reader(FetchedSchema(schema_text("MetadataChangeLog")))
    payload = b"head" + index + change_log()
    assert made.read(payload, 4) == alone.read(change_log())
    shape = datahub.CHANGE_LOG
    assert made.in_one_go(shape)(payload, 4) == alone.in_one_go(shape)(change_log(), 0)
    wanted = frozenset({"aspectName"})
    assert made.lead(payload, wanted, 4)["aspectName"] == "status"
    assert kind(made.read, payload[:-9], 4) == "not_avro"
    assert kind(made.read, payload + b"\x00", 4) == "left_over_bytes"
    assert kind(made.lead, payload + b"\x00", wanted, 4) == "left_over_bytes"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x00", "not_a_record"),
        (b"\x04\x02a", "not_a_record"),
        (b"\x06\x02\x02a\x02b\x00", "not_a_record"),
        (b"\x00\x00", "left_over_bytes"),
        (b"\x04\x02", "not_avro"),
        (b"\x08", "not_avro"),
        (b"\x01", "not_avro"),
        (b"", "not_avro"),
    ],
)
def test_another_branch_is_no_record_if_the_bytes_are_that_branch_whole(payload, expected):
    made = union("null", OTHER_RECORD, "string", {"type": "map", "values": "string"})
    assert made.read(b"\x02\x02") == {"id": 1}
    assert kind(made.read, payload) == expected
    assert kind(made.lead, payload, frozenset({"id"})) == expected
    assert made.in_one_go(datahub.CHANGE_LOG)(payload, 0) is None


def test_a_branch_may_be_named_by_a_reference():
    made = Reader(FetchedSchema('["null", "Other"]', (json.dumps(OTHER_RECORD),)))
    assert made.read(b"\x02\x02") == {"id": 1}


def test_a_union_beyond_the_generator_is_unusable():
    fields = [{"name": f"f{number}", "type": "long"} for number in range(5_000)]
    assert kind(union, "null", {"type": "record", "name": "R", "fields": fields}) == "unusable_schema"
