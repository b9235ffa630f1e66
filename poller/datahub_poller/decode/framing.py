"""Where a record names its writer schema: before the Avro bytes of its value, or in a header beside them.

Pure. Knows Confluent's wire formats (an id or a GUID, before the value or in the header) and AWS Glue's, and nothing
of schemas; every length is checked before it is believed, and inflating is bounded.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal, NamedTuple

from datahub_poller.errors import Poison
from datahub_poller.model import Headers, Record, SchemaKey

Framing = Literal["confluent", "glue", "auto"]
"""`auto` tells the two apart record by record, so that a registry can be migrated without stopping."""

INFLATED_LIMIT: Final = 64 * 1024 * 1024

SCHEMA_HEADER: Final = "__value_schema_id"
"""The record's header that Confluent's serializers can name the schema in. The value is bare Avro then."""

_ID_MAGIC: Final = 0
_ID_HEADER: Final = 5  # the magic byte, and the schema's id as an unsigned integer of four bytes
_GUID_MAGIC: Final = 1
_GUID_HEADER: Final = 17  # the magic byte, and the schema's GUID
_GLUE_MAGIC: Final = 3
_GLUE_HEADER: Final = 18  # the magic byte, how the rest is compressed, and the schema version's UUID
HEADER_LENGTHS: Final = {_ID_MAGIC: _ID_HEADER, _GUID_MAGIC: _GUID_HEADER, _GLUE_MAGIC: _GLUE_HEADER}
"""Of what stands before a payload that is not compressed and names its schema there, by the value's first byte."""
_PLAIN: Final = 0
_ZLIB: Final = 5
_FIRST_PIECE: Final = 64 * 1024
_PIECE: Final = 1024 * 1024


class Frame(NamedTuple):
    """A value taken apart: which writer schema its Avro bytes need, and those bytes, inflated."""

    key: SchemaKey
    payload: bytes


def split(value: bytes, framing: Framing, limit: int = INFLATED_LIMIT, headers: Headers = ()) -> Frame:
    """Take a record's value apart. `limit` is in bytes, for what comes out of inflating.

    Confluent's header goes before whatever the value begins with, as Confluent's own readers have it, and makes an
    empty value a record without fields. Under `glue` only the value is read, as Glue's own readers do.

    Raises Poison: empty_value, truncated_frame, unknown_framing, wrong_framing, unknown_compression, bad_zlib,
    too_large_inflated.
    """
    if headers and framing != "glue":
        name = _in_header(headers)
        if name is not None:
            return Frame(_named(name), value)
    if not value:
        raise _refusal(value, framing, headers)
    match value[0]:
        case 0 if framing != "glue":
            return Frame(_id(value, "the value"), value[5:])
        case 3 if framing != "confluent":
            return _glue(value, limit)
        case 1 if framing != "glue":
            return Frame(_guid(value, "the value"), value[17:])
        case _:
            raise _refusal(value, framing, headers)


def schema_of(record: Record) -> SchemaKey | None:
    """The writer schema that a record names, in whichever framing; None where it names none. Nothing is inflated."""
    start = (record.value or b"")[:_GLUE_HEADER]
    if start[:1] == bytes([_GLUE_MAGIC]):
        start = start[:1] + bytes([_PLAIN]) + start[2:]
    try:
        return split(start, "auto", headers=record.headers).key
    except Poison:
        return None


def _refusal(value: bytes, framing: Framing, headers: Headers) -> Poison:
    if _in_header(headers) is not None:  # under `glue` alone
        found, asked = f"the record has Confluent's header {SCHEMA_HEADER}", "confluent"
    elif not value:
        return Poison("empty_value", "the value is empty: there is not even a schema id")
    elif value[0] == _GLUE_MAGIC:
        found, asked = "the value is framed in AWS Glue's way", "glue"
    elif value[0] in (_ID_MAGIC, _GUID_MAGIC):
        found, asked = "the value is framed in Confluent's way", "confluent"
    else:
        known = "neither Confluent's (0 before an id, 1 before a GUID) nor AWS Glue's (3)"
        return Poison("unknown_framing", f"byte {value[0]} at the start is {known}")
    return Poison(
        "wrong_framing",
        f"{found} and schema_registry.type is {framing}: set `schema_registry.type: auto` (both kinds) or `{asked}`",
    )


def _in_header(headers: Headers) -> bytes | None:
    """The last header counts: serializers add theirs to those that a record was forwarded with. Null says nothing."""
    for name, value in reversed(headers):
        if name == SCHEMA_HEADER:
            return value
    return None


def _named(name: bytes) -> SchemaKey:
    """The schema that the header's bytes name. More may follow, which is left to the schema to judge: Protobuf's do."""
    where = f"the header {SCHEMA_HEADER}"
    if not name:
        raise Poison("truncated_frame", f"{where} is empty")
    match name[0]:
        case 0:
            return _id(name, where)
        case 1:
            return _guid(name, where)
        case first:
            raise Poison("unknown_framing", f"byte {first} at the start of {where} is neither 0 (an id) nor 1 (a GUID)")


def _id(framed: bytes, where: str) -> SchemaKey:
    if len(framed) < _ID_HEADER:
        raise Poison("truncated_frame", f"{where} has {len(framed)} bytes, and a schema's id needs {_ID_HEADER}")
    return SchemaKey("confluent", int.from_bytes(framed[1:5], "big"))


def _guid(framed: bytes, where: str) -> SchemaKey:
    if len(framed) < _GUID_HEADER:
        raise Poison("truncated_frame", f"{where} has {len(framed)} bytes, and a schema's GUID needs {_GUID_HEADER}")
    return SchemaKey("confluent", _hyphenated(framed[1:17]))


def _hyphenated(uuid: bytes) -> str:
    """As uuid.UUID writes it, in a quarter of its time."""
    digits = uuid.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _glue(value: bytes, limit: int) -> Frame:
    if len(value) < _GLUE_HEADER:
        raise Poison("truncated_frame", f"{len(value)} bytes, and AWS Glue's framing alone has {_GLUE_HEADER}")
    key = SchemaKey("glue", _hyphenated(value[2:18]))
    match value[1]:
        case 0:
            return Frame(key, value[18:])
        case 5:
            return Frame(key, _inflate(value[18:], limit))
        case other:
            raise Poison("unknown_compression", f"compression {other} is neither none ({_PLAIN}) nor zlib ({_ZLIB})")


def _inflate(deflated: bytes, limit: int) -> bytes:
    """In pieces, so that a small record which inflates without end costs no more memory than the limit."""
    stream = zlib.decompressobj()
    try:
        pieces = [stream.decompress(deflated, _FIRST_PIECE)]
        size = len(pieces[0])
        while not stream.eof and size <= limit and (piece := stream.decompress(stream.unconsumed_tail, _PIECE)):
            pieces.append(piece)
            size += len(piece)
    except zlib.error as error:
        raise Poison("bad_zlib", f"the compressed part is damaged: {error}") from None
    if size > limit:
        raise Poison("too_large_inflated", f"the compressed part inflates to more than {limit} bytes")
    if not stream.eof:
        raise Poison("bad_zlib", "the compressed part is cut short")
    if stream.unused_data:
        raise Poison("bad_zlib", f"{len(stream.unused_data)} bytes are left over after the compressed part")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
