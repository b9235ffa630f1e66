"""A dead letter as a page for a person: all that it holds, and what was done with it since.

Pure. Reads the letter's document as it stands there, DataHub Actions' as well: what is missing or strange is left out
or shown as it is. Knows no colours; nothing in a letter can end a line or steer the terminal.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from datahub_poller.observe.event_line import Paint, time_text
from datahub_poller.observe.letter_figures import table
from datahub_poller.observe.letter_line import Shown, at_text
from datahub_poller.observe.scrub import as_text, one_line

LABEL = 10
FIRST_BYTES = 256
HEX_ROW = 16


class Marked(Protocol):
    """A line of the ledger; `at` is in epoch seconds."""

    @property
    def at(self) -> float:
        """When it was done."""

    @property
    def done(self) -> str:
        """What was done."""

    @property
    def who(self) -> str:
        """Who did it."""

    @property
    def to(self) -> str:
        """Where the letter was handed to."""

    @property
    def error(self) -> str:
        """Why it failed again."""

    @property
    def why(self) -> str:
        """Why a person did it."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made of: the letter and its document, its state, every place where it lies, and the ledger."""

    letter: Shown
    document: Mapping[str, Any]
    state: str
    where: Sequence[str]
    marks: Sequence[Marked]

    def lines(self, paint: Paint) -> Iterator[str]:
        """The page, painted."""
        about = _map(self.document.get("meta"))
        yield f"{paint(one_line(self.letter.id), 'entity')}  {paint(self.state, 'change')}"
        for label, text in self._particulars(about):
            yield f"  {paint(label.ljust(LABEL), 'aside')} {one_line(text)}"
        yield from _failure(self.letter, _map(about.get("failure")), paint)
        yield from _history(about.get("history"), paint)
        yield from _marks(self.marks, paint)
        yield from _content(self.document, about, paint)

    def _particulars(self, about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        kafka, schema = _map(about.get("kafka")), _map(about.get("schema"))
        attempts, batch = about.get("attempts"), about.get("batch_id")
        if self.letter.at is not None:
            after = f", after {_count(attempts, 'attempt')}" if attempts else ", no handler was called"
            yield "given up", f"{at_text(self.letter.at)}{after}{f', batch {batch}' if batch else ''}"
        if self.letter.redrives:
            yield "redriven", f"{_count(self.letter.redrives, 'time')} before it was given up again"
        if kafka:
            yield "record", _record(kafka)
            yield "key", _key(kafka, _map(about.get("raw")))
            if headers := _headers(kafka.get("headers"), _map(about.get("raw")).get("headers")):
                yield "headers", headers
        if schema:
            yield "schema", f"{schema.get('registry')} schema {schema.get('id')}"
        if self.letter.entity is not None:
            yield "entity", self.letter.entity
        for number, where in enumerate(self.where):
            yield "" if number else "lies at", where


def _record(kafka: Mapping[str, Any]) -> str:
    timestamp = kafka.get("timestamp")
    place = f"{kafka.get('topic')}-{kafka.get('partition')}@{kafka.get('offset')}"
    cluster = f" of cluster {kafka['cluster']}" if kafka.get("cluster") not in (None, "unknown") else ""
    time = f", {time_text(timestamp)} ({kafka.get('timestamp_type')})" if type(timestamp) is int else ""
    return f"{place}{cluster}{time}"


def _key(kafka: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    if kafka.get("key") is not None:
        return as_text(kafka["key"])
    return _hex_of(raw.get("key"))


def _headers(texts: Any, raws: Any) -> str:
    """`name=value` of each; bytes that are no text in hex."""
    raw = [each for each in raws if _is_pair(each)] if isinstance(raws, list) else []
    shown = []
    for number, each in enumerate(texts if isinstance(texts, list) else []):
        if not _is_pair(each):
            continue
        name, value = each
        bare = raw[number][1] if number < len(raw) else None
        shown.append(f"{name}={_hex_of(bare) if value is None else value}")
    return "; ".join(shown)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2  # noqa: PLR2004 - a name and a value


def _hex_of(text: Any) -> str:
    value = _bytes(text)
    return "null" if value is None else f"0x{value[:FIRST_BYTES].hex()}{'...' if len(value) > FIRST_BYTES else ''}"


def _failure(letter: Shown, failure: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield ""
    yield f"{paint('Error', 'type')} in {one_line(letter.stage)}"
    yield from (f"  {paint(one_line(line), 'bad')}" for line in _lines(letter.error))
    for title, key in (("Stack", "stack"), ("Response", "response")):
        if failure.get(key):
            yield paint(title, "type")
            yield from (f"  {one_line(line)}" for line in _lines(as_text(failure[key])))


def _history(history: Any, paint: Paint) -> Iterator[str]:
    tries = [each for each in history if isinstance(each, dict)] if isinstance(history, list) else []
    if not tries:
        return
    names = ("at", "attempt", "events", "batch_id", "error")
    yield ""
    yield paint("Attempts", "type")
    rows = [tuple("-" if each.get(name) is None else as_text(each[name]) for name in names) for each in tries]
    yield from (f"  {line}" for line in table(("at", "attempt", "events", "batch", "error"), rows, (1, 2), paint))


def _marks(marks: Sequence[Marked], paint: Paint) -> Iterator[str]:
    if not marks:
        return
    rows = [(at_text(mark.at), mark.done.replace("_", " "), mark.who, _about(mark)) for mark in marks]
    yield ""
    yield paint("Since then", "type")
    yield from (f"  {line}" for line in table(("at", "what", "who", ""), rows, (), paint))


def _about(mark: Marked) -> str:
    return "; ".join(text for text in (f"to {mark.to}" if mark.to else "", mark.error, mark.why) if text)


def _content(document: Mapping[str, Any], about: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    """The event, or where there is none the beginning of the record's value."""
    yield ""
    if document.get("event") is not None:
        yield f"{paint('Event', 'type')} {one_line(as_text(document.get('event_type')))}"
        text = json.dumps(document["event"], indent=2, ensure_ascii=False)
        yield from (f"  {one_line(line)}" for line in text.split("\n"))
        return
    value = _bytes(_map(about.get("raw")).get("value"))
    if value is None:
        yield "No event, and no value: a tombstone"
        return
    yield f"{paint('No event', 'type')}; the value's {_count(len(value), 'byte')}"
    yield from (f"  {line}" for line in hex_dump(value[:FIRST_BYTES]))
    if len(value) > FIRST_BYTES:
        yield f"  ... {len(value) - FIRST_BYTES:,} more (--raw FILE writes all)"


def hex_dump(value: bytes) -> list[str]:
    """`000010  00 00 00 04 7b 22 ...  ....{"`: sixteen bytes a line."""
    rows = [(start, value[start : start + HEX_ROW]) for start in range(0, len(value), HEX_ROW)]
    return [f"{start:06x}  {row.hex(' '):<{HEX_ROW * 3 - 1}}  {_printable(row)}" for start, row in rows]


def _printable(row: bytes) -> str:
    return "".join(chr(byte) if chr(byte).isprintable() and byte < 0x7F else "." for byte in row)  # noqa: PLR2004 - the code of DEL


def _lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


def _bytes(text: Any) -> bytes | None:
    """What base64 says; None where there is none that can be read."""
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(count: Any, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
