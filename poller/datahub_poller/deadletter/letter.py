"""The dead letter and its one line of JSON: everything known of a record that was given up.

Pure, and never failing: whatever a record, a failure or an envelope holds, there is a line. It must not know where
a line goes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from datahub_poller.model import Envelope, Failure, Record

UNDECODABLE_FORMAT = "datahub-poller/undecodable"
UNDECODABLE_VERSION = 1

DEPTH_LIMIT = 200
"""Levels of nesting that a letter keeps where the fast writer refused; what lies deeper is only in the raw bytes."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that was given up, at `at` (epoch seconds).

    `attempts` is 0 and `batch_id` None where no handler was called.

    `envelope` is None where the record never became an event. It must be read anew from the record when a handler
    has had the first one in its hands, which it may have changed.
    """

    record: Record
    failure: Failure
    attempts: int
    envelope: Envelope | None
    batch_id: str | None
    action: str
    at: float

    @property
    def id(self) -> str:
        """The same for the same record always, and another one where a topic was made anew under its old name."""
        record = self.record
        digest = hashlib.blake2b(digest_size=6)
        for part in (str(record.timestamp).encode(), record.key, record.value):
            digest.update(b"-" if part is None else b"%d:" % len(part))
            digest.update(b"" if part is None else part)
        return f"{record.tp.topic}/{record.tp.partition}/{record.offset}/{digest.hexdigest()}"


def to_line(letter: Letter) -> bytes:
    """The letter as one line of JSON, newline included.

    An event's is the line that DataHub Actions writes (`event_type`, `event`, `meta`), with more under `meta`;
    otherwise it is a form of our own, told by its `format` and `version`. Either holds the record's bytes under `raw`.
    """
    about = _about(letter)
    envelope = letter.envelope
    if envelope is None:
        line: dict[str, Any] = {"format": UNDECODABLE_FORMAT, "version": UNDECODABLE_VERSION, **about}
    else:
        line = {"event_type": envelope.get("event_type"), "event": envelope.get("event"), "meta": about}
    return _json(line) + b"\n"


def _about(letter: Letter) -> dict[str, Any]:
    record, failure = letter.record, letter.failure
    return {
        "id": letter.id,
        "action": letter.action,
        "at": datetime.fromtimestamp(letter.at, UTC).isoformat(timespec="milliseconds"),
        "batch_id": letter.batch_id,
        "attempts": letter.attempts,
        "failure": {
            "stage": failure.stage,
            "kind": failure.kind,
            "message": failure.message,
            "stack": failure.stack,
        },
        "kafka": {
            "topic": record.tp.topic,
            "partition": record.tp.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "timestamp_type": record.timestamp_type,
            "key": _text(record.key),
            "headers": [[name, _text(value)] for name, value in record.headers],
        },
        "raw": {
            "key": _base64(record.key),
            "value": _base64(record.value),
            "headers": [[name, _base64(value)] for name, value in record.headers],
        },
        "poller": {"version": _version()},
    }


@cache
def _version() -> str:
    try:
        return importlib.metadata.version("datahub-poller")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode("ascii")


def _text(value: bytes | None) -> str | None:
    """For people to read: null where the bytes are no text. The bytes themselves are under `raw`."""
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _json(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson's own error is one: a lone surrogate, an integer past 64 bits, an object, a cycle
        return json.dumps(_plain(value, ()), separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """The nearest thing that JSON can say; `above` names the containers that hold the value, so that a cycle ends."""
    match value:
        case Mapping() | list() | tuple() | set() | frozenset() if len(above) == DEPTH_LIMIT or id(value) in above:
            return "(nested too deep for a letter)"
        case Mapping():
            return {_key(key): _plain(item, (*above, id(value))) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item, (*above, id(value))) for item in value]
        case _:
            return _scalar(value)


def _scalar(value: Any) -> Any:
    """Lone surrogates stay as escapes, integers of a length that readers take stay themselves."""
    match value:
        case None | bool():
            return value
        case float():
            return float(value) if math.isfinite(value) else None  # as orjson writes what is not finite
        case int():
            return int(value) if value.bit_length() < _BITS_AS_DIGITS else hex(value)
        case str():
            return str.__str__(value)
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case _:
            return _described(value)


_BITS_AS_DIGITS = 10_000
"""About 3,000 digits: Python refuses to write an integer of more than 4,300."""


def _key(key: Any) -> str:
    return str.__str__(key) if isinstance(key, str) else _described(key)


def _described(value: Any) -> str:
    try:
        return repr(value)[:200]
    except Exception:  # noqa: BLE001 - the value's class is not ours and may do anything
        return f"(a {type(value).__name__})"
