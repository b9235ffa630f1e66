"""What tells a record that comes again from a dead letter: `meta.redrive` in its envelope, a header in Kafka. Pure.

A record that fails again after that is a dead letter with all that is behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from datahub_poller.deadletter.letter import Past
from datahub_poller.deadletter.plain_json import in_json
from datahub_poller.model import Headers

HEADER: Final = "datahub-poller-redrive"
"""The Kafka header of a record that was written to a topic from its letter: `redrive` and `history`, in JSON."""

_ORIGIN = ("cluster", "topic", "partition", "offset")
_ERROR_LIMIT = 300


def redrive_meta(document: Mapping[str, Any]) -> dict[str, Any]:
    """What an envelope's `meta.redrive` says, from its letter: the event is old, and this is where it failed."""
    about = document["meta"]
    failure = about["failure"]
    return {
        "count": about["redrives"] + 1,
        "letter": about["id"],
        "failed_at": about["at"],
        "error": f"{failure['kind']}: {failure['message']}"[:_ERROR_LIMIT],
        "origin": {key: about["kafka"].get(key) for key in _ORIGIN},
    }


def past(document: Mapping[str, Any]) -> Past:
    """What a letter's record has behind it when it is handed out again."""
    about = document["meta"]
    return Past(about["redrives"] + 1, tuple(about["history"]))


def header(document: Mapping[str, Any]) -> bytes:
    """The header's value for a letter's record."""
    return in_json({"redrive": redrive_meta(document), "history": document["meta"]["history"]})


def redrive_of(headers: Headers) -> dict[str, Any] | None:
    """What a record's header says for `meta.redrive`; None where it was not redriven, or nobody can read it."""
    found = _read(headers)
    return None if found is None else found["redrive"]


def past_of(headers: Headers) -> Past:
    """What a record has behind it, by its header."""
    found = _read(headers)
    if found is None:
        return Past()
    history = found.get("history")
    kept = [each for each in history if isinstance(each, dict)] if isinstance(history, list) else []
    return Past(found["redrive"]["count"], tuple(kept))


def _read(headers: Headers) -> dict[str, Any] | None:
    """The last header counts: it is of the latest redrive."""
    for name, value in reversed(headers):
        if name == HEADER and value is not None:
            try:
                found = orjson.loads(value)
            except ValueError:
                return None
            redrive = found.get("redrive") if isinstance(found, dict) else None
            counted = isinstance(redrive, dict) and type(redrive.get("count")) is int and redrive["count"] > 0
            return found if counted else None
    return None
