"""Both framings, byte by byte, and everything that can be wrong with them."""

from __future__ import annotations

import tracemalloc
import uuid
import zlib

import pytest

from datahub_poller.decode.framing import Frame, split
from datahub_poller.errors import Poison
from datahub_poller.model import SchemaKey

VERSION = uuid.UUID("b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63")
MIB = 1024 * 1024


def glue(body: bytes, compression: int = 0) -> bytes:
    return bytes((3, compression)) + VERSION.bytes + body


def kind(value: bytes, framing="auto", limit: int = MIB) -> str:
    with pytest.raises(Poison) as caught:
        split(value, framing, limit)
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


@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_a_short_glue_frame_is_refused(length):
    assert kind(glue(b"")[:length]) == "truncated_frame"


def test_an_empty_value_is_refused():
    assert kind(b"") == "empty_value"


@pytest.mark.parametrize("first", [1, 2, 4, 0x7B, 0xFF])
@pytest.mark.parametrize("framing", ["confluent", "glue", "auto"])
def test_another_first_byte_is_refused_under_every_setting(first, framing):
    assert kind(bytes([first]) + bytes(30), framing) == "unknown_framing"


@pytest.mark.parametrize(("value", "framing"), [(glue(b"x"), "confluent"), (b"\x00\x00\x00\x00\x01x", "glue")])
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
