"""The schema that records were written with, as a registry has it: parsed, and safe to read hostile bytes by.

Knows Avro's schemas and fastavro's parser; knows neither registries nor records. Every schema that could make reading
unbounded is refused before it reads anything, so that no bytes can hurt the process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import fastavro

from datahub_poller.errors import Poison

SCHEMA_LIMIT: Final = 5 * 1024 * 1024
"""Characters of a schema and its references together."""

DEPTH_LIMIT: Final = 64
"""How deep a schema may nest, counted in JSON values."""

_NO_RECORD: Final = "it is not an Avro record, nor a union with one"
_NAMED_TYPES: Final = frozenset({"record", "error", "fixed", "enum"})


class FetchedSchema(NamedTuple):
    """A schema as a registry has it: its JSON text, and the texts that it refers to, referenced first."""

    text: str
    references: tuple[str, ...] = ()


class WriterSchema(NamedTuple):
    """A schema as fastavro parses it, and the named types in it. `recursive`: one contains itself.

    `record` is a record, or a union of which one branch at least is one.
    """

    record: Any
    named: Mapping[str, Any]
    recursive: bool

    def records(self) -> list[dict[str, Any]]:
        """The record, or those among a union's branches."""
        branches = self.record if isinstance(self.record, list) else [self.record]
        found = [self.named.get(each, each) if isinstance(each, str) else each for each in branches]
        return [each for each in found if is_record(each)]


def is_record(node: Any) -> bool:
    """Whether this part of a parsed schema is a record's definition."""
    return isinstance(node, dict) and node["type"] in ("record", "error")


def writer_schema(fetched: FetchedSchema) -> WriterSchema:
    """Raises Poison "unusable_schema"."""
    try:
        named = _parse_references(fetched)
        record: Any = fastavro.parse_schema(_load(fetched.text), named_schemas=named)
        bounds = _Bounds(named)
        bounds.least(record)
        schema = WriterSchema(record, named, bounds.recursive)
    except Poison:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of a strange schema
        raise _unusable(f"{type(error).__name__}: {error}") from None
    if not schema.records():
        raise _unusable(_NO_RECORD)
    return schema


def _unusable(why: str) -> Poison:
    return Poison("unusable_schema", f"the writer schema cannot be used: {why}")


def _load(text: str) -> Any:
    schema = json.loads(text, object_hook=_without_logical_type)
    _check_depth(schema)
    if isinstance(schema, list):  # which branches are records is seen when names are known
        return schema
    if not isinstance(schema, dict) or schema.get("type") != "record" or "fields" not in schema:
        raise _unusable(_NO_RECORD)
    return schema


def _without_logical_type(node: dict[str, Any]) -> dict[str, Any]:
    """Times and decimals stay the numbers and bytes that they are on the wire: events are plain JSON."""
    node.pop("logicalType", None)
    return node


def _parse_references(fetched: FetchedSchema) -> dict[str, Any]:
    if len(fetched.text) + sum(map(len, fetched.references)) > SCHEMA_LIMIT:
        raise _unusable(f"it is longer than {SCHEMA_LIMIT} characters")
    named: dict[str, Any] = {}
    for text in fetched.references:
        schema = json.loads(text, object_hook=_without_logical_type)
        _check_depth(schema)
        fastavro.parse_schema(schema, named_schemas=named)
    return named


def _check_depth(schema: Any) -> None:
    """Without recursion: compiled parsers recurse on a schema and crash the process where it is too deep."""
    level: Sequence[Any] = [schema]
    for _ in range(DEPTH_LIMIT):
        level = [inner for node in level for inner in _inner(node)]
        if not level:
            return
    raise _unusable(f"it nests deeper than {DEPTH_LIMIT} values")


def _inner(node: Any) -> Sequence[Any]:
    match node:
        case dict():
            return list(node.values())
        case list():
            return node
        case _:
            return ()


class _Bounds:
    """Refuses what lets few bytes cost without bound: items that take no bytes can be any number.

    `recursive` tells, afterwards, whether a type contains itself.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.recursive = False
        self._named = named
        self._known: dict[str, bool | None] = {}  # None: being looked at

    def least(self, node: Any) -> bool:
        """True if every value of this part of a parsed schema takes at least one byte. Raises Poison."""
        if isinstance(node, list):
            for branch in node:
                self.least(branch)
            return True  # the branch's number
        if isinstance(node, str):
            definition = self._named.get(node)
            return node != "null" if definition is None else self._of_name(node, definition)
        if node["type"] in _NAMED_TYPES:
            return self._of_name(node["name"], node)
        return self._of_nameless(node)

    def _of_nameless(self, node: Mapping[str, Any]) -> bool:
        match node["type"]:
            case "array":
                if not self.least(node["items"]):
                    raise _unusable("it has an array whose items take no bytes")
                return True
            case "map":
                self.least(node["values"])
                return True
            case inner:
                return self.least(inner)

    def _of_name(self, name: str, node: Mapping[str, Any]) -> bool:
        if name not in self._known:
            self._known[name] = None
            self._known[name] = self._of_definition(node)
        known = self._known[name]
        if known is None:  # within itself: by then it has taken a byte, or it never ends
            self.recursive = True
            return True
        return known

    def _of_definition(self, node: Mapping[str, Any]) -> bool:
        match node["type"]:
            case "fixed":
                if type(node["size"]) is not int or node["size"] < 0:  # fastavro takes anything
                    raise _unusable(f"the size of {node['name']} is no number of bytes")
                return node["size"] > 0
            case "enum":
                return True
            case _:
                sizes = [self.least(field["type"]) for field in node["fields"]]
                return any(sizes)
