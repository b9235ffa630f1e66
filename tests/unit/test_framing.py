"""Every framing, byte by byte, and everything that can be wrong with it."""

from __future__ import annotations

import tracemalloc
import uuid
import zlib

import pytest

from datahub_poller.decode.framing import SCHEMA_HEADER, Frame, schema_of, split
from datahub_poller.errors import Poison
from datahub_poller.model import Record, SchemaKey, TopicPartition

VERSION = uuid.UUID("b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63")
NAMED_BY_GUID = b"\x01" + VERSION.bytes
NAMED_BY_ID = b"\x00\x00\x00\x00\x07"
BY_GUID, BY_ID = SchemaKey("confluent", str(VERSION)), SchemaKey("confluent", 7)
MIB = 1024 * 1024


def glue(body: bytes, compression: int = 0) -> bytes:
    return bytes((3, compression)) + VERSION.bytes + body


def kind(value: bytes, framing="auto", limit: int = MIB, headers=()) -> str:
    with pytest.raises(Poison) as caught:
        split(value, framing, limit, headers)
    assert str(caught.value)
    return caught.value.kind


@pytest.mark.parametrize(
    ("number", "schema_id"),
    [
        (b"\x00\x00\x00\x00", 0),
        (b"\x00\x00\x00\x02", 2),
        (b"\x01\x02\x03\x04", 0x01020304),
        (b"\xff\xff\xff\xff", 2**32 - 1),
    ],
)
@pytest.mark.parametrize("framing", ["confluent", "auto"])
def test_confluents_id_is_big_endian_unsigned_and_may_be_0(number, schema_id, framing):
    assert split(b"\x00" + number + b"body", framing) == Frame(SchemaKey("confluent", schema_id), b"body")


@pytest.mark.parametrize("framing", ["confluent", "auto"])
def test_a_guid_before_the_value_is_a_schemas_name_in_small_letters(framing):
    assert split(NAMED_BY_GUID + b"body", framing) == Frame(BY_GUID, b"body")
    assert split(NAMED_BY_GUID, framing) == Frame(BY_GUID, b"")
    assert split(b"\x01" + b"\xab" * 16, framing).key.id == "abababab-abab-abab-abab-abababababab"


def test_a_guid_and_a_glue_version_with_the_same_bytes_are_two_schemas():
    assert split(NAMED_BY_GUID, "auto").key != split(glue(b""), "auto").key


@pytest.mark.parametrize("framing", ["glue", "auto"])
def test_glues_version_is_a_uuid_in_network_order(framing):
    assert split(glue(b"body"), framing) == Frame(SchemaKey("glue", str(VERSION)), b"body")
    assert split(glue(zlib.compress(b"body"), 5), framing) == Frame(SchemaKey("glue", str(VERSION)), b"body")


def test_an_empty_payload_is_for_the_schema_to_judge():
    assert split(b"\x00\x00\x00\x00\x07", "auto").payload == b""
    assert split(glue(b""), "auto").payload == b""
    assert split(glue(zlib.compress(b""), 5), "auto").payload == b""


@pytest.mark.parametrize("length", range(1, 5))
def test_a_short_confluent_frame_is_refused(length):
    assert kind(bytes(length)) == "truncated_frame"


@pytest.mark.parametrize("length", [1, 5, 16])
def test_a_guid_cut_short_is_refused(length):
    assert kind(NAMED_BY_GUID[:length]) == "truncated_frame"


@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_a_short_glue_frame_is_refused(length):
    assert kind(glue(b"")[:length]) == "truncated_frame"


def test_an_empty_value_is_refused():
    assert kind(b"") == "empty_value"


@pytest.mark.parametrize("first", [2, 4, 0x7B, 0xFF])
@pytest.mark.parametrize("framing", ["confluent", "glue", "auto"])
def test_another_first_byte_is_refused_under_every_setting(first, framing):
    assert kind(bytes([first]) + bytes(30), framing) == "unknown_framing"


@pytest.mark.parametrize(
    ("value", "framing"), [(glue(b"x"), "confluent"), (NAMED_BY_ID + b"x", "glue"), (NAMED_BY_GUID + b"x", "glue")]
)
def test_the_other_registrys_framing_is_refused_with_the_remedy(value, framing):
    with pytest.raises(Poison, match=r"schema_registry\.type: auto") as caught:
        split(value, framing)
    assert caught.value.kind == "wrong_framing"
    assert f"schema_registry.type is {framing}" in str(caught.value)


@pytest.mark.parametrize("compression", [1, 4, 6, 255])
def test_an_unknown_compression_is_refused(compression):
    assert kind(glue(b"x", compression)) == "unknown_compression"


DEFLATED = zlib.compress(bytes(range(256)) * 1000)


@pytest.mark.parametrize(
    "deflated",
    [
        b"not zlib at all",
        DEFLATED[:-1] + bytes([DEFLATED[-1] ^ 1]),
        b"",
        DEFLATED[:1],
        DEFLATED[:-1],
        DEFLATED[:-4],
        DEFLATED[: len(DEFLATED) // 2],
        DEFLATED + b"\x00",
        DEFLATED * 2,
    ],
)
def test_zlib_that_is_damaged_cut_short_or_followed_by_bytes_is_refused(deflated):
    assert kind(glue(deflated, 5)) == "bad_zlib"


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, MIB - 1, MIB])
def test_what_inflates_up_to_the_limit_is_taken_whole(size):
    body = bytes(index & 0xFF for index in range(size))
    assert split(glue(zlib.compress(body), 5), "glue", MIB).payload == body


def test_what_inflates_beyond_the_limit_is_refused():
    assert kind(glue(zlib.compress(bytes(MIB + 1)), 5)) == "too_large_inflated"
    assert kind(glue(zlib.compress(b"ab"), 5), limit=1) == "too_large_inflated"


def test_a_bomb_costs_no_more_memory_than_the_limit_and_a_piece():
    bomb = glue(zlib.compress(bytes(200 * MIB), 9), 5)
    assert len(bomb) < MIB
    tracemalloc.start()
    try:
        assert kind(bomb, limit=4 * MIB) == "too_large_inflated"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 7 * MIB


# -- the schema named in a header


@pytest.mark.parametrize("framing", ["confluent", "auto"])
@pytest.mark.parametrize(("name", "key"), [(NAMED_BY_GUID, BY_GUID), (NAMED_BY_ID, BY_ID)])
@pytest.mark.parametrize("value", [b"", b"\x02", b"body", b"\x00", b"\x01", NAMED_BY_ID + b"x", glue(b"x"), b'{"a":1}'])
def test_with_the_header_the_value_is_bare_whatever_it_begins_with(value, name, key, framing):
    headers = (("trace", b"1"), (SCHEMA_HEADER, name), ("__key_schema_id", b"\x07"))
    assert split(value, framing, MIB, headers) == Frame(key, value)


@pytest.mark.parametrize(
    "headers", [(), (("trace", None), ("__key_schema_id", NAMED_BY_GUID), ("__VALUE_schema_id", b""))]
)
def test_other_headers_change_nothing(headers):
    assert split(NAMED_BY_ID + b"body", "auto", MIB, headers) == Frame(BY_ID, b"body")
    assert kind(b"", headers=headers) == "empty_value"
    assert kind(b"", "glue", headers=headers) == "empty_value"


def test_of_repeated_headers_the_last_counts():
    twice = ((SCHEMA_HEADER, NAMED_BY_ID), (SCHEMA_HEADER, NAMED_BY_GUID))
    assert split(b"body", "auto", MIB, twice).key == BY_GUID
    assert split(b"body", "auto", MIB, twice[::-1]).key == BY_ID
    assert split(b"body", "auto", MIB, ((SCHEMA_HEADER, b"\x09"), *twice)).key == BY_GUID
    assert kind(b"body", headers=(*twice, (SCHEMA_HEADER, b""))) == "truncated_frame"


def test_a_header_that_is_null_says_nothing_not_even_an_earlier_one_does():
    null = (SCHEMA_HEADER, None)
    for headers in ((null,), ((SCHEMA_HEADER, NAMED_BY_GUID), null)):
        assert split(NAMED_BY_ID + b"body", "auto", MIB, headers) == Frame(BY_ID, b"body")
        assert split(glue(b"body"), "glue", MIB, headers).payload == b"body"
        assert kind(b"", headers=headers) == "empty_value"
    assert split(b"body", "auto", MIB, (null, (SCHEMA_HEADER, NAMED_BY_GUID))).key == BY_GUID


@pytest.mark.parametrize("name", [b"", b"\x00", NAMED_BY_ID[:4], b"\x01", NAMED_BY_GUID[:16]])
def test_a_header_cut_short_is_refused_by_name(name):
    with pytest.raises(Poison, match=SCHEMA_HEADER) as caught:
        split(NAMED_BY_ID + b"body", "auto", MIB, ((SCHEMA_HEADER, name),))
    assert caught.value.kind == "truncated_frame"


@pytest.mark.parametrize("first", [2, 3, 0x7B, 0xFF])
def test_a_header_that_begins_with_another_byte_is_refused_by_name(first):
    with pytest.raises(Poison, match=f"byte {first} .*{SCHEMA_HEADER}") as caught:
        split(NAMED_BY_ID + b"body", "auto", MIB, ((SCHEMA_HEADER, bytes([first]) + bytes(16)),))
    assert caught.value.kind == "unknown_framing"


def test_bytes_after_the_name_in_a_header_are_left_to_the_schema():
    for name, key in ((NAMED_BY_GUID, BY_GUID), (NAMED_BY_ID, BY_ID)):
        assert split(b"body", "confluent", MIB, ((SCHEMA_HEADER, name + b"\x02\x00"),)) == Frame(key, b"body")


def test_under_glue_the_value_alone_counts():
    headers = ((SCHEMA_HEADER, NAMED_BY_GUID),)
    assert split(glue(b"body"), "glue", MIB, headers) == Frame(SchemaKey("glue", str(VERSION)), b"body")


@pytest.mark.parametrize("value", [b"", b"body", NAMED_BY_ID + b"x", b"\x01"])
def test_under_glue_a_value_that_is_not_framed_and_has_the_header_is_refused_with_the_remedy(value):
    with pytest.raises(Poison, match=rf"{SCHEMA_HEADER}.*schema_registry\.type: auto") as caught:
        split(value, "glue", MIB, ((SCHEMA_HEADER, NAMED_BY_GUID),))
    assert caught.value.kind == "wrong_framing"


GLUE = uuid.UUID("3f2504e0-4f89-11d3-9a0c-0305e82c3301")


@pytest.mark.parametrize(
    ("value", "headers", "named"),
    [
        (b"\x00\x00\x00\x00\x04rest", (), SchemaKey("confluent", 4)),
        (b"\x01" + GLUE.bytes + b"rest", (), SchemaKey("confluent", str(GLUE))),
        (b"\x03\x00" + GLUE.bytes + b"rest", (), SchemaKey("glue", str(GLUE))),
        (b"\x03\x05" + GLUE.bytes + b"no zlib at all", (), SchemaKey("glue", str(GLUE))),
        (b"rest", (("__value_schema_id", b"\x00\x00\x00\x00\x09"),), SchemaKey("confluent", 9)),
        (b"\x03\x00" + GLUE.bytes[:15], (), None),
        (b"{}", (), None),
        (b"", (), None),
        (None, (), None),
    ],
)
def test_a_record_that_is_no_event_may_still_name_its_schema(value, headers, named):
    assert schema_of(Record(TopicPartition("t", 0), 0, 0, "CREATE_TIME", None, value, headers)) == named
