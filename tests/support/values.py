"""Records whose bytes say what they are, and a reading of them that needs no registry.

`good` and `poison` are events (a handler in a test fails on poison), `junk` is undecodable, `drop` is filtered,
no value at all is a tombstone; `wait:KEY:KIND` is of KIND as soon as schema KEY is known.
"""

from __future__ import annotations

from collections.abc import Collection

from datahub_poller.model import (
    Awaiting,
    Event,
    Failure,
    Record,
    SchemaKey,
    Skipped,
    TopicPartition,
    Undecodable,
    Verdict,
)

KINDS = ("good", "poison", "junk", "drop", "tombstone")
"""What a record may be in the end."""


def value_of(kind: str, key: int | None = None, size: int = 0) -> bytes | None:
    """The bytes of a record of this kind, of at least `size` bytes."""
    if kind == "tombstone":
        return None
    word = kind if key is None else f"wait:{key}:{kind}"
    return word.encode().ljust(size, b".")


def record_of(tp: TopicPartition, offset: int, value: bytes | None) -> Record:
    return Record(tp, offset, 1_700_000_000_000 + offset, "CREATE_TIME", None, value, ())


def kind_of(record: Record) -> str:
    """What it is in the end, its schema known."""
    if record.value is None:
        return "tombstone"
    return record.value.rstrip(b".").decode().rpartition(":")[2]


def schema_of(record: Record) -> SchemaKey | None:
    """What it may have to wait for."""
    if record.value is None or not record.value.startswith(b"wait:"):
        return None
    return SchemaKey("confluent", int(record.value.split(b":")[1]))


def verdict_of(record: Record, known: Collection[SchemaKey]) -> Verdict:
    """As an intake reads it."""
    key = schema_of(record)
    if key is not None and key not in known:
        return Awaiting(key)
    match kind_of(record):
        case "tombstone":
            return Skipped("tombstone")
        case "drop":
            return Skipped("filtered")
        case "junk":
            return Undecodable(Failure("decode", "bad_magic", "these bytes are no event"))
        case kind:
            return Event(
                {"event_type": "EntityChangeEvent_v1", "event": {"kind": kind}, "meta": {"kafka": place(record)}}
            )


def place(record: Record) -> dict[str, object]:
    return {"topic": record.tp.topic, "partition": record.tp.partition, "offset": record.offset}
