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

_NAMED_TYPES: Final = frozenset({"record", "error", "fixed", "enum"})


class FetchedSchema(NamedTuple):
    """A schema as a registry has it: its JSON text, and the texts that it refers to, referenced first."""

    text: str
    references: tuple[str, ...] = ()


class WriterSchema(NamedTuple):
    """A record's schema as fastavro parses it, and the named types in it. `recursive`: one contains itself."""

    record: dict[str, Any]
    named: Mapping[str, Any]
    recursive: bool


def writer_schema(fetched: FetchedSchema) -> WriterSchema:
    """Raises Poison "unusable_schema"."""
    try:
        referenced = _parse_references(fetched)
        record: Any = fastavro.parse_schema(_load(fetched.text), named_schemas=dict(referenced))
        bounds = _Bounds(record["__named_schemas"])
        bounds.least(record)
    except Poison:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of a strange schema
        raise _unusable(f"{type(error).__name__}: {error}") from None
    return WriterSchema(record, record["__named_schemas"], bounds.recursive)


def _unusable(why: str) -> Poison:
    return Poison("unusable_schema", f"the writer schema cannot be used: {why}")


def _load(text: str) -> dict[str, Any]:
    schema = json.loads(text, object_hook=_without_logical_type)
    _check_depth(schema)
    if not isinstance(schema, dict) or schema.get("type") != "record" or "fields" not in schema:
        raise _unusable("it is not an Avro record")
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
