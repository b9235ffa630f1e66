"""The shape that the action file's keys `filters` and `filter` must have, and everything wrong with a given one.

Pure. Knows what DataHub accepts there; must not know how an event is matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

ENTITY_CHANGE = "EntityChangeEvent_v1"
RELATIONSHIP_CHANGE = "RelationshipChangeEvent_v1"
METADATA_CHANGE_LOG = "MetadataChangeLogEvent_v1"
EVENT_TYPES = (ENTITY_CHANGE, RELATIONSHIP_CHANGE, METADATA_CHANGE_LOG)


EXAMPLE = "Such as filter: {EntityChangeEvent_v1: {event: [{category: TAG}]}}."


class FilterProblem(NamedTuple):
    """One thing that is wrong with the configured filters; `path` starts at `filters` or `filter`."""

    path: tuple[str | int, ...]
    what: str
    hint: str = ""

    def __str__(self) -> str:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")
        return f"{where}: {self.what}" + (f". {self.hint}" if self.hint else "")


def filter_problems(filters: Any, legacy: Any) -> Iterator[FilterProblem]:
    """Everything that is wrong with the values of `filters` and `filter`, whatever they are."""
    if not isinstance(filters, (list, tuple)):
        yield FilterProblem(("filters",), "must be a list", 'Put "- " before each filter.')
    else:
        for index, item in enumerate(filters):
            yield from _item_problems(("filters", index), item)
    if legacy is not None:
        yield from _legacy_problems(legacy)


def _item_problems(path: tuple[str | int, ...], item: Any) -> Iterator[FilterProblem]:
    yield from _map_problems(path, item, required=("type", "config"))
    if not isinstance(item, Mapping):
        return
    if "type" in item and item["type"] != "event_type":
        yield FilterProblem((*path, "type"), "is not a filter type of this version", "It has: event_type.")
        return
    if "config" not in item:
        return
    config = item["config"]
    yield from _map_problems((*path, "config"), config, required=("filter",), example=EXAMPLE)
    if not isinstance(config, Mapping) or "filter" not in config:
        return
    wanted = config["filter"]
    if not isinstance(wanted, Mapping):
        yield FilterProblem((*path, "config", "filter"), "must be a map from event types to conditions", EXAMPLE)
        return
    for event_type, body in wanted.items():
        yield from _body_problems((*path, "config", "filter", str(event_type)), body)


def _body_problems(path: tuple[str | int, ...], body: Any) -> Iterator[FilterProblem]:
    if body is None:
        return
    yield from _map_problems(path, body, optional=("event",), example=EXAMPLE)
    predicates = body.get("event") if isinstance(body, Mapping) else None
    if predicates is None:
        return
    if not isinstance(predicates, (list, tuple)):
        yield FilterProblem((*path, "event"), "must be a list of maps", 'Put "- " before the first key.')
        return
    for index, predicate in enumerate(predicates):
        if not isinstance(predicate, Mapping):
            yield FilterProblem((*path, "event", index), "must be a map from field names to wanted values")


def _legacy_problems(legacy: Any) -> Iterator[FilterProblem]:
    yield from _map_problems(("filter",), legacy, required=("event_type",), optional=("event",))
    if not isinstance(legacy, Mapping):
        return
    wanted = legacy.get("event_type", "")
    names = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    if not all(isinstance(name, str) for name in names):
        yield FilterProblem(("filter", "event_type"), "must be an event type or a list of them")
    if not isinstance(legacy.get("event"), (Mapping, type(None))):
        yield FilterProblem(("filter", "event"), "must be a map from field names to wanted values")


def _map_problems(
    path: tuple[str | int, ...],
    value: Any,
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    example: str = "",
) -> Iterator[FilterProblem]:
    known = (*required, *optional)
    if not isinstance(value, Mapping):
        yield FilterProblem(path, f"must be a map with the keys {', '.join(known)}", example)
        return
    for key in required:
        if key not in value:
            yield FilterProblem((*path, key), "is required", example)
    for key in value:
        if key not in known:
            yield FilterProblem((*path, str(key)), "is not a key here", f"Known: {', '.join(known)}.")


def filter_warnings(filters: Sequence[Mapping[str, Any]], legacy: Mapping[str, Any] | None) -> Iterator[FilterProblem]:
    """Event types that no event has, in filters without problems: a misspelt one drops everything it was meant for."""
    for index, item in enumerate(filters):
        for event_type in item["config"]["filter"]:
            yield from _type_warning(("filters", index, "config", "filter", event_type), event_type)
    if legacy is not None:
        wanted = legacy["event_type"]
        for event_type in [wanted] if isinstance(wanted, str) else wanted:
            yield from _type_warning(("filter", "event_type"), event_type)


def _type_warning(path: tuple[str | int, ...], event_type: str) -> Iterator[FilterProblem]:
    if event_type not in EVENT_TYPES:
        close = get_close_matches(event_type, EVENT_TYPES, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(EVENT_TYPES)}."
        yield FilterProblem(path, f"{event_type!r} is not an event type, no event has it", hint)
