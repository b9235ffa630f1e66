"""What is thrown at the readers, round by round, each by its number: hostile bytes, and the judge of what they became.

A round has one schema and many payloads. Raises AssertionError where a promise of the readers is broken.
"""

from __future__ import annotations

import io
import json
import random
import struct
import uuid
import zlib
from collections import Counter
from typing import Any, Final

import fastavro

from datahub_poller.decode.reader import Reader
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import VERSIONED_TOPIC, schema_text
from datahub_poller.errors import Poison
from datahub_poller.model import Event, Skipped, Undecodable
from support.avro import Schemas, Values, damaged, same, written
from support.decoding import CHANGE_LOG_ID, CHANGE_LOG_UUID, PLATFORM_ID, PLATFORM_UUID, final, intake, record

INPUTS: Final = 1000
SECONDS: Final = 5.0
"""No input takes a thousandth of it: what takes longer hangs."""
STRICTER: Final = (
    "has no such branch",
    "has no value",
    "a number takes more than",
    "an empty block in more bytes",
    "a block has more items than there are bytes",
    "too many items",
)
"""What the generated readers refuse and fastavro reads: negative indexes (those from the end), any byte but 0 for true,
an index or an empty block in more bytes than it needs, what is left of a number beyond 64 bits, a block whose number of
items overflows (none), very many items."""

Tally = Counter[str]


def play(seed: int, number: int) -> Tally:
    """Round `number` of a seed: how many inputs became what."""
    chance = random.Random(f"{seed}/{number}")
    match number % 4:
        case 0:
            return _own(chance)
        case 1:
            return _recursive(chance)
        case _:
            return _against_fastavro(chance)


def theirs(parsed: Any, payload: bytes) -> tuple[Any, bool]:
    """What fastavro makes of it, and whether it is that to the last byte."""
    source = io.BytesIO(payload)
    try:
        found = fastavro.schemaless_reader(source, parsed, None)
    except Exception:
        return None, False
    return found, source.tell() == len(payload)


def ours(reader: Reader, payload: bytes) -> tuple[Any, str]:
    """What it makes of it, or why nothing."""
    try:
        return reader.read(payload), ""
    except Poison as poison:
        return None, f"{poison.kind}: {poison}"


def judged(reader: Reader, parsed: Any, payload: bytes) -> str:
    """Both refuse it, or both read the same; ours may refuse more, for a reason that has a name."""
    expected, whole = theirs(parsed, payload)
    found, why = ours(reader, payload)
    if found is not None:
        assert whole, f"only ours reads {payload!r}"
        assert same(found, expected), f"not the same: {payload!r}"
        return "read alike"
    if whole:
        assert any(reason in why for reason in STRICTER), f"only ours refuses {payload!r}: {why}"
        return "refused by ours alone"
    return "refused by both"


def _against_fastavro(chance: random.Random) -> Tally:
    schema = Schemas(chance).record()
    reader = Reader(FetchedSchema(json.dumps(schema)))
    parsed: Any = fastavro.parse_schema(schema)
    values = Values(chance, parsed["__named_schemas"])
    good = [written(parsed, values.of(parsed)) for _ in range(20)]
    return Counter(judged(reader, parsed, damaged(chance, chance.choice(good))) for _ in range(INPUTS))


def _recursive(chance: random.Random) -> Tally:
    """Without fastavro: hostile bytes of a type that contains itself take its process down."""
    schema = Schemas(chance, recursive=True).record()
    reader = Reader(FetchedSchema(json.dumps(schema)))
    parsed: Any = fastavro.parse_schema(schema)
    values = Values(chance, parsed["__named_schemas"])
    good = [written(parsed, values.of(parsed)) for _ in range(20)]
    found = Tally()
    for _ in range(INPUTS):
        datum, _why = ours(reader, damaged(chance, chance.choice(good)))
        found["read" if datum is not None else "refused"] += 1
    return found


def _own(chance: random.Random) -> Tally:
    """DataHub's own schemas, through framing, reader and envelope: whatever comes in, a verdict comes out."""
    name = chance.choice(("MetadataChangeLog", "PlatformEvent"))
    parsed: Any = fastavro.parse_schema(json.loads(schema_text(name)))
    values = Values(chance, parsed["__named_schemas"], texts_only=True)
    good = [_framed(chance, name, written(parsed, values.of(parsed))) for _ in range(20)]
    filters = [
        {"type": "event_type", "config": {"filter": {"MetadataChangeLogEvent_v1": {"event": [{"aspectName": "a"}]}}}}
    ]
    whole = intake(filters=filters if chance.random() < 0.3 else ())
    found = Tally()
    for _ in range(INPUTS):
        verdict = final(whole, record(VERSIONED_TOPIC, damaged(chance, chance.choice(good))))
        match verdict:
            case Event() | Skipped():
                found["read"] += 1
            case Undecodable(failure):
                assert failure.stage == "decode"
                found["refused"] += 1
            case _:
                found["schema not there"] += 1
    return found


def _framed(chance: random.Random, name: str, body: bytes) -> bytes:
    change_log = name == "MetadataChangeLog"
    glue = uuid.UUID(CHANGE_LOG_UUID if change_log else PLATFORM_UUID).bytes
    match chance.randrange(3):
        case 0:
            return struct.pack(">bI", 0, CHANGE_LOG_ID if change_log else PLATFORM_ID) + body
        case 1:
            return b"\x03\x00" + glue + body
        case _:
            return b"\x03\x05" + glue + zlib.compress(body)
