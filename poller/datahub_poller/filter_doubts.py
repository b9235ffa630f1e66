"""Filters that are accepted, as DataHub accepts them, and that can let nothing through: what is likely meant instead.

Pure. Says nothing of a value that some DataHub may write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from datahub_poller.filter_fields import FIELDS, Anything, Fields, Kind, Text, Texts, Whole
from datahub_poller.filter_shape import FilterProblem

Path = tuple[str | int, ...]


def filter_doubts(filters: Sequence[Mapping[str, Any]], legacy: Mapping[str, Any] | None) -> Iterator[FilterProblem]:
    """What can let nothing through, in filters without problems; `path` starts at `filters` or `filter`."""
    for index, item in enumerate(filters):
        for event_type, body in item["config"]["filter"].items():
            path = ("filters", index, "config", "filter", event_type, "event")
            predicates = None if body is None else body.get("event")
            if predicates is not None and not predicates:
                yield FilterProblem(path, "an empty list lets no event through", "Leave it out to let all through.")
            for number, predicate in enumerate(predicates or ()):
                yield from _of_event((*path, number), predicate, event_type)
    if len(filters) > 1 and not set.intersection(*(set(item["config"]["filter"]) for item in filters)):
        hint = "An event has to pass all items: put the event types into one item's filter."
        yield FilterProblem(("filters",), "no event type is in every item, so that nothing passes", hint)
    if legacy is not None and legacy.get("event"):
        yield from _of_legacy(legacy)


def _of_legacy(legacy: Mapping[str, Any]) -> Iterator[FilterProblem]:
    """One body for several event types: what is wrong for each of them."""
    wanted = legacy["event_type"]
    types = [wanted] if isinstance(wanted, str) else list(wanted)
    found = [list(_of_event(("filter", "event"), legacy["event"], each)) for each in types]
    for doubt in found[0] if found else ():
        if all(any(other.path == doubt.path for other in of_type) for of_type in found):
            yield doubt


def _of_event(path: Path, predicate: Mapping[str, Any], event_type: str) -> Iterator[FilterProblem]:
    if event_type in FIELDS:  # another one has its own warning
        yield from _of_fields(path, predicate, FIELDS[event_type], event_type)


def _of_fields(
    path: Path, wanted: Mapping[str, Any], fields: Mapping[str, Kind], owner: str
) -> Iterator[FilterProblem]:
    for name, want in wanted.items():
        if want is None:  # matches where the field is absent
            continue
        kind = fields.get(name)
        if kind is None:
            yield FilterProblem(
                (*path, str(name)), f"{owner} has no such field, so that no event passes", _near(name, fields)
            )
        else:
            yield from _of_value((*path, name), want, kind, name)


def _near(name: object, fields: Mapping[str, Kind]) -> str:
    same = [field for field in fields if _bare(field) == _bare(str(name))]
    close = same or get_close_matches(str(name), fields, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    others = [event_type for event_type, known in FIELDS.items() if known is not fields and name in known]
    return f"{others[0]} has it." if others else f"Known: {', '.join(fields)}."


def _of_value(path: Path, want: Any, kind: Kind, name: str) -> Iterator[FilterProblem]:
    match kind:
        case Anything():
            return
        case Fields(fields):
            if isinstance(want, Mapping):
                yield from _of_fields(path, want, fields, name)
            else:
                hint = f"Name its fields below it: {', '.join(fields)}."
                yield FilterProblem(path, f"{_shown(want)} matches no event: {name} is a map", hint)
        case Texts():
            if not isinstance(want, Mapping):
                yield FilterProblem(
                    path, f"{_shown(want)} matches no event: {name} is a map", "Name its keys below it."
                )
                return
            for key, each in want.items():
                yield from _of_value((*path, str(key)), each, Text(), str(key))
        case Whole():
            yield from _of_number(path, want, name)
        case Text():
            yield from _of_text(path, want, kind, name)


def _of_number(path: Path, want: Any, name: str) -> Iterator[FilterProblem]:
    if isinstance(want, str):
        number = want.strip().lstrip("-").isdecimal()
        hint = f"Write {want.strip()}, without quotes." if number else "Write a number."
        yield FilterProblem(path, f"{_shown(want)} matches no event: {name} is a number", hint)
    elif isinstance(want, (list, tuple)):
        hint = "A list matches text alone: write one item of `event` for each number."
        yield FilterProblem(path, f"{_shown(want)} matches no event: {name} is a number", hint)
    elif isinstance(want, Mapping):
        yield FilterProblem(path, f"a map matches no event: {name} is a number", "Write a number.")


def _of_text(path: Path, want: Any, kind: Text, name: str) -> Iterator[FilterProblem]:
    if isinstance(want, (list, tuple)):
        if not want:
            yield FilterProblem(path, "an empty list matches no event", "Leave it out, or name the values.")
        for index, each in enumerate(want):
            if each is None:
                yield FilterProblem((*path, index), "null in a list matches no event", "Leave it out.")
            else:
                yield from _of_text((*path, index), each, kind, name)
    elif isinstance(want, str):
        yield from _of_spelling(path, want, kind, name)
    elif isinstance(want, (bool, int, float)):
        hint = f'Write "{json.dumps(want)}", in quotes.'
        yield FilterProblem(path, f"{_shown(want)} matches no event: {name} is text", hint)


def _of_spelling(path: Path, want: str, kind: Text, name: str) -> Iterator[FilterProblem]:
    if want in kind.known:
        return
    right = kind.instead.get(want) or next((each for each in kind.known if _bare(each) == _bare(want)), None)
    if want.startswith("*") or want.endswith("*") or ".*" in want:
        hint = "Write the whole value, or a list of values."
        yield FilterProblem(path, f"{_shown(want)} matches no event: a filter has no wildcards", hint)
    elif right is not None:
        yield FilterProblem(path, f"{_shown(want)} matches no event", f"DataHub writes {right}.")
    elif kind.closed:
        hint = f"Known: {', '.join(kind.known)}."
        yield FilterProblem(path, f"{_shown(want)} is no {name} that DataHub is known to write", hint)
    elif kind.urn and not want.startswith("urn:"):
        yield FilterProblem(path, f"{_shown(want)} matches no event: {name} is a URN", "It begins with urn:li:.")


def _bare(text: str) -> str:
    """What spellings of one name have in common: `glossary term`, `GLOSSARY_TERM`, `glossaryTerm`."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _shown(want: Any) -> str:
    return f"{want!r}" if not isinstance(want, bool) else json.dumps(want)
