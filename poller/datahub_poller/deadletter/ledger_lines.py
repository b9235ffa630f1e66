"""The ledger as lines: a mark as JSON, and back. Pure. A line of a later version's, or a damaged one, is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from datahub_poller.deadletter.plain_json import in_json
from datahub_poller.deadletter.store import Done, Mark


def written(marks: Iterable[Mark]) -> bytes:
    """A line for each."""
    return b"".join(in_json(mark._asdict()) + b"\n" for mark in marks)


def marks_in(body: bytes) -> Iterator[Mark]:
    """What the lines say, in their order."""
    for line in body.split(b"\n"):
        if line.strip() and (mark := _mark(line)) is not None:
            yield mark


def _mark(line: bytes) -> Mark | None:
    try:
        found = json.loads(line)  # which takes lone surrogates, as an error's text may hold them
    except ValueError:
        return None
    if not isinstance(found, dict) or not _is_a_marks(found):
        return None
    known: dict[str, Any] = {name: found[name] for name in Mark._fields if name in found}
    try:
        return Mark(**known)
    except TypeError:
        return None


def _is_a_marks(found: dict[str, Any]) -> bool:
    named = isinstance(found.get("letter"), str) and type(found.get("redrives")) is int
    return named and found.get("done") in [*get_args(Done)]
