"""Letters for tests, and what a reader of their lines can get back."""

from __future__ import annotations

import base64
import json
from typing import Any

from datahub_poller.deadletter.letter import Letter, Trial
from datahub_poller.model import Envelope, Failure, Headers, Record, SchemaKey, TopicPartition
from support.handlers import envelope


def record(offset: int = 7, value: bytes | None = b"\x00bytes", key: bytes | None = b"urn:li:x") -> Record:
    headers: Headers = (("trace", b"abc"), ("trace", None), ("bin", b"\xff\n"))
    return Record(TopicPartition("PlatformEvent_v1", 0), offset, 1_700_000_000_123, "CREATE_TIME", key, value, headers)


def event_letter(offset: int = 7, event: Envelope | None = None) -> Letter:
    made = envelope(offset) if event is None else event
    failure = Failure("handler", "ValueError", "tag unknown", "Traceback ...\n  line 2")
    return Letter(
        record(offset),
        failure,
        3,
        made,
        "b1",
        "tag-sync",
        1_700_000_001.5,
        cluster="c1",
        schema=SchemaKey("confluent", 0),
        trials=(Trial(1_700_000_000.25, "b0", 2, 5, "ValueError: tag unknown"),),
    )


def undecodable_letter(offset: int = 7) -> Letter:
    failure = Failure("decode", "not_framed", "the first byte is 7")
    return Letter(record(offset), failure, 0, None, None, "tag-sync", 1_700_000_001.5, cluster="c1")


def record_of(line: dict[str, Any]) -> Record:
    """The record that a parsed line tells of, by its `kafka` and `raw` alone."""
    about = line["meta"]
    kafka, raw = about["kafka"], about["raw"]
    return Record(
        TopicPartition(kafka["topic"], kafka["partition"]),
        kafka["offset"],
        kafka["timestamp"],
        kafka["timestamp_type"],
        _bytes(raw["key"]),
        _bytes(raw["value"]),
        tuple((name, _bytes(value)) for name, value in raw["headers"]),
    )


def parsed(lines: bytes) -> list[dict[str, Any]]:
    """Every line, each of which must be strict JSON and end with a newline."""
    assert lines == b"" or lines.endswith(b"\n")
    return [json.loads(line, parse_constant=_refuse) for line in lines.split(b"\n")[:-1]]


def offsets(lines: bytes) -> list[int]:
    return [record_of(line).offset for line in parsed(lines)]


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")
