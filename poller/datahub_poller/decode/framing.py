"""What stands before the Avro bytes of a record's value: Confluent's five bytes, or AWS Glue's eighteen.

Pure. Knows the two wire formats and nothing of schemas; every length is checked before it is believed, and
inflating is bounded.
"""

from __future__ import annotations

import uuid
import zlib
from typing import Final, Literal, NamedTuple

from datahub_poller.errors import Poison
from datahub_poller.model import SchemaKey

Framing = Literal["confluent", "glue", "auto"]
"""`auto` tells the two apart record by record, so that a registry can be migrated without stopping."""

INFLATED_LIMIT: Final = 64 * 1024 * 1024

_CONFLUENT_MAGIC: Final = 0
_CONFLUENT_HEADER: Final = 5  # the magic byte, and the schema's id as an unsigned integer of four bytes
_GLUE_MAGIC: Final = 3
_GLUE_HEADER: Final = 18  # the magic byte, how the rest is compressed, and the schema version's UUID
_PLAIN: Final = 0
_ZLIB: Final = 5
_FIRST_PIECE: Final = 64 * 1024
_PIECE: Final = 1024 * 1024


class Frame(NamedTuple):
    """A value taken apart: which writer schema its Avro bytes need, and those bytes, inflated."""

    key: SchemaKey
    payload: bytes


def split(value: bytes, framing: Framing, limit: int = INFLATED_LIMIT) -> Frame:
    """Take a record's value apart. `limit` is in bytes, for what comes out of inflating.

    Raises Poison: empty_value, truncated_frame, unknown_framing, wrong_framing, unknown_compression, bad_zlib,
    too_large_inflated.
    """
    if not value:
        raise Poison("empty_value", "the value is empty: there is not even a schema id")
    match value[0]:
        case 0 if framing != "glue":
            return _confluent(value)
        case 3 if framing != "confluent":
            return _glue(value, limit)
        case first:
            raise _refusal(first, framing)


def _refusal(first: int, framing: Framing) -> Poison:
    if first == _GLUE_MAGIC:
        theirs, asked = "AWS Glue's", "glue"
    elif first == _CONFLUENT_MAGIC:
        theirs, asked = "Confluent's", "confluent"
    else:
        return Poison("unknown_framing", f"byte {first} at the start is neither Confluent's (0) nor AWS Glue's (3)")
    return Poison(
        "wrong_framing",
        f"the value is framed in {theirs} way and schema_registry.type is {framing}: "
        f"set `schema_registry.type: auto` (both kinds) or `{asked}`",
    )


def _confluent(value: bytes) -> Frame:
    if len(value) < _CONFLUENT_HEADER:
        raise Poison("truncated_frame", f"{len(value)} bytes, and Confluent's framing alone has {_CONFLUENT_HEADER}")
    return Frame(SchemaKey("confluent", int.from_bytes(value[1:5], "big")), value[5:])


def _glue(value: bytes, limit: int) -> Frame:
    if len(value) < _GLUE_HEADER:
        raise Poison("truncated_frame", f"{len(value)} bytes, and AWS Glue's framing alone has {_GLUE_HEADER}")
    key = SchemaKey("glue", str(uuid.UUID(bytes=value[2:18])))
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
