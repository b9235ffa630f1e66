"""What a letter's message says in its headers: the record's own, ours, and those that tools for other letters read.

Pure. The message's key, value and first headers are the record's; all else is in our header. It must not know how
a message is sent or read.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from datahub_poller.deadletter.letter import Letter, to_document
from datahub_poller.deadletter.plain_json import in_json
from datahub_poller.model import Failure, Headers, Record

LETTER: Final = "datahub-poller-letter"
"""The letter's document in JSON, without `meta.raw`; `meta.headers` says how many of the headers are the record's."""
LEDGER: Final = "datahub-poller-redrive-ledger"
"""The message is no letter but a line of the ledger; the value is the form's version."""

Dialect = Literal["datahub-poller", "spring", "connect"]

SHORT_TEXT: Final = 500
SHORT_HISTORY: Final = 3

_CONNECT_STAGES: Final[Mapping[str, str]] = {"decode": "VALUE_CONVERTER", "filter": "TRANSFORMATION"}
_SPRING_TIMES: Final[Mapping[str, str]] = {"CREATE_TIME": "CreateTime", "LOG_APPEND_TIME": "LogAppendTime"}


def headers_of(letter: Letter, dialect: Dialect, *, short: bool = False) -> Headers:
    """A message's headers, the record's own first. `short`: without the event, and little of the long texts."""
    document = to_document(letter)
    del document["meta"]["raw"]
    document["meta"]["headers"] = len(letter.record.headers)
    if short:
        letter = replace(letter, failure=_short(letter.failure))
        document = _shortened(document, letter.failure)
    own = ((LETTER, in_json(document)),)
    match dialect:
        case "spring":
            return (*letter.record.headers, *own, *_spring(letter))
        case "connect":
            return (*letter.record.headers, *own, *_connect(letter))
        case _:
            return (*letter.record.headers, *own)


def line_of(record: Record) -> bytes:
    """The letter that a message is, as a line of JSON; of what is none, a line that is none either."""
    header = letter_header(record.headers)
    if header is None:
        return in_json({"not_a_letter": f"it has no header {LETTER}", "headers": [name for name, _ in record.headers]})
    try:
        document = json.loads(header)
        about = document["meta"]
        own = about.pop("headers")
        headers = record.headers[: int(own)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return header
    left_out = about.get("left_out", ())
    if "kafka.key" in left_out:
        about["kafka"] = {**about["kafka"], "key": _text(record.key)}
    if "kafka.headers" in left_out:
        about["kafka"] = {**about["kafka"], "headers": [[name, _text(value)] for name, value in headers]}
    about["raw"] = {
        "key": _base64(record.key),
        "value": _base64(record.value),
        "headers": [[name, _base64(value)] for name, value in headers],
    }
    return in_json(document)


def letter_header(headers: Headers) -> bytes | None:
    """The last header that is ours: a record that is itself from a topic of letters has one of before."""
    for name, value in reversed(headers):
        if name == LEDGER:
            return None
        if name == LETTER:
            return value
    return None


def is_ledger(headers: Headers) -> bool:
    """Whether a message is a line of the ledger."""
    return next((name for name, _ in reversed(headers) if name in (LEDGER, LETTER)), None) == LEDGER


# -- short


def _short(failure: Failure) -> Failure:
    return replace(
        failure,
        message=failure.message[:SHORT_TEXT],
        stack=failure.stack[-SHORT_TEXT:],
        response=failure.response[:SHORT_TEXT],
    )


def _shortened(document: Mapping[str, Any], failure: Failure) -> dict[str, Any]:
    """The document of so much less, with `meta.left_out`: what is not there, or not in full."""
    about = document["meta"]
    less: dict[str, Any] = {
        "failure": {
            **about["failure"],
            "message": failure.message,
            "stack": failure.stack,
            "response": failure.response or None,
        },
        "history": about["history"][-SHORT_HISTORY:],
        # These two are the message's own.
        "kafka": {**about["kafka"], "key": None, "headers": []},
    }
    left_out = [] if document["event"] is None else ["event"]
    left_out += [
        f"failure.{key}" for key in ("message", "stack", "response") if less["failure"][key] != about["failure"][key]
    ]
    left_out += ["history"] if less["history"] != about["history"] else []
    left_out += ["kafka.key", "kafka.headers"]
    return {**document, "event": None, "meta": {**about, **less, "left_out": left_out}}


# -- dialects


def _spring(letter: Letter) -> Headers:
    """As Spring for Apache Kafka's DeadLetterPublishingRecoverer names and writes them: numbers big-endian."""
    failure, record = letter.failure, letter.record
    return (
        ("kafka_dlt-original-topic", record.tp.topic.encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", record.tp.partition)),
        ("kafka_dlt-original-offset", struct.pack(">q", record.offset)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", record.timestamp)),
        ("kafka_dlt-original-timestamp-type", _SPRING_TIMES.get(record.timestamp_type, "NoTimestampType").encode()),
        ("kafka_dlt-original-consumer-group", _utf8(letter.action)),
        ("kafka_dlt-exception-fqcn", _utf8(failure.kind)),
        ("kafka_dlt-exception-cause-fqcn", _utf8(failure.kind)),
        ("kafka_dlt-exception-message", _utf8(failure.message)),
        ("kafka_dlt-exception-stacktrace", _utf8(failure.stack)),
    )


def _connect(letter: Letter) -> Headers:
    """As Kafka Connect's DeadLetterQueueReporter names and writes them: everything is text."""
    failure, record = letter.failure, letter.record
    texts = {
        "topic": record.tp.topic,
        "partition": str(record.tp.partition),
        "offset": str(record.offset),
        "connector.name": letter.action,
        "task.id": "0",
        "stage": _CONNECT_STAGES.get(failure.stage, "TASK_PUT"),
        "class.name": "datahub_poller",
        "exception.class.name": failure.kind,
        "exception.message": failure.message,
        "exception.stacktrace": failure.stack,
    }
    return tuple((f"__connect.errors.{name}", _utf8(text)) for name, text in texts.items())


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode("ascii")


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None
