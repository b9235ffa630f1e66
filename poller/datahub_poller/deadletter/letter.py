"""The dead letter and its one line of JSON: everything known of a record that was given up.

Pure, and never failing: whatever a record, a failure or an envelope holds, there is a line. It must not know where
a line goes. `dead-letter.schema.json` beside it says what a line holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from datahub_poller import __version__
from datahub_poller.deadletter.plain_json import in_json
from datahub_poller.model import Envelope, Failure, Record, SchemaKey

FORMAT = "datahub-poller/dead-letter"
VERSION = 1


class Trial(NamedTuple):
    """An invocation that failed: begun at `at` (epoch seconds), with so many `events` of the partition in it."""

    at: float
    batch_id: str
    attempt: int
    events: int
    error: str


class Past(NamedTuple):
    """What a record has behind it that was a dead letter before: how often, and its history as its letter had it."""

    redrives: int = 0
    history: tuple[Mapping[str, Any], ...] = ()


NOTHING_BEHIND = Past()

HISTORY_LIMIT = 50
"""How many entries of a record's history its letter keeps, the last ones."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that was given up, at `at` (epoch seconds).

    `attempts` is 0 and `batch_id` None where no handler was called; `schema` is None where the bytes name none.

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
    cluster: str = "unknown"
    schema: SchemaKey | None = None
    trials: tuple[Trial, ...] = ()
    past: Past = NOTHING_BEHIND

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
    """The letter as one line of JSON, newline included."""
    return in_json(to_document(letter)) + b"\n"


def to_document(letter: Letter) -> dict[str, Any]:
    """What the line holds: DataHub Actions' own `event_type`, `event` and `meta`, with all of ours under `meta`.

    Of a record that never became an event `event_type` and `event` are None.
    """
    envelope: Mapping[str, Any] = letter.envelope or {}
    return {"event_type": envelope.get("event_type"), "event": envelope.get("event"), "meta": _about(letter)}


def _about(letter: Letter) -> dict[str, Any]:
    record, failure = letter.record, letter.failure
    topic, partition = record.tp
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": letter.id,
        "action": letter.action,
        "at": _iso(letter.at),
        "batch_id": letter.batch_id,
        "attempts": letter.attempts,
        "redrives": letter.past.redrives,
        "failure": {
            "stage": failure.stage,
            "kind": failure.kind,
            "message": failure.message,
            "stack": failure.stack,
            "response": failure.response or None,
        },
        "history": [*letter.past.history, *(_trial(each) for each in letter.trials)][-HISTORY_LIMIT:],
        "kafka": {
            "cluster": letter.cluster,
            "topic": topic,
            "partition": partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "timestamp_type": record.timestamp_type,
            "key": _text(record.key),
            "headers": [[name, _text(value)] for name, value in record.headers],
            "id": f"{letter.cluster}/{topic}/{partition}/{record.offset}",
        },
        "schema": None if letter.schema is None else {"registry": letter.schema.registry, "id": letter.schema.id},
        "raw": {
            "key": _base64(record.key),
            "value": _base64(record.value),
            "headers": [[name, _base64(value)] for name, value in record.headers],
        },
        "poller": {"version": __version__},
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "at": _iso(trial.at),
        "batch_id": trial.batch_id,
        "attempt": trial.attempt,
        "events": trial.events,
        "error": trial.error,
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


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
