"""A reader that makes an event of a record's bytes in one go: what a shape makes of the dict that another would read.

Pure. Only where the writer's types leave nothing to be looked at, value by value; else BeyondError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datahub_poller.decode.codegen import Node, Read, Source
from datahub_poller.decode.lines import BeyondError, shown
from datahub_poller.decode.shapes import Field, Leaf, RecordShape
from datahub_poller.decode.writer_schema import is_record


def direct_reader_of(record: Node, shape: RecordShape, named: Mapping[str, Node]) -> Read:
    """Reads what `shape` makes of the record, or of a union's record that comes.

    Where it raises, or leaves bytes over, the slow way tells why.
    """
    source = Source(named)
    name = source.begun()
    if isinstance(record, list):
        _union(source, record, shape)
    else:
        _record(source, record, shape, "v", 1)
    source.returned("v")
    return source.compiled(name)


def _union(source: Source, branches: list[Node], shape: RecordShape) -> None:
    for branch, within in source.branches(branches, 1):
        node = source.resolved(branch)
        if is_record(node):
            _record(source, node, shape, "v", within)
        else:
            source.line(within, "raise Refused('it is no record')")


def _record(source: Source, node: Node, shape: RecordShape, target: str, indent: int) -> None:
    """Its fields in the writer's order, which has to be the shape's; what the shape has not is read and dropped."""
    places = {field.name: place for place, field in enumerate(shape.fields)}
    certain: dict[str, str] | None = {}  # those that begin the dict; None when it is there
    done = 0
    for written in node["fields"]:
        place = places.get(written["name"])
        if place is None:
            source.value(written["type"], source.new("v"), indent)
            continue
        if place < done:
            raise BeyondError(f"its field {written['name']} stands elsewhere than in DataHub's schema")
        field, between = shape.fields[place], shape.fields[done:place]
        kind = source.resolved(written["type"])
        if certain is not None and not between and not isinstance(kind, list) and _kind(kind) != "null":
            certain[field.name] = source.new("v")
            _taken(source, kind, field.shape, certain[field.name], indent)
        else:
            if certain is not None:
                source.line(indent, f"{target} = {shown(certain)}")
                certain = None
            _absent(source, between, target, indent)
            _field(source, kind, field, target, indent)
        done = place + 1
    if certain is not None:
        source.line(indent, f"{target} = {shown(certain)}")
    _absent(source, shape.fields[done:], target, indent)


def _kind(node: Node) -> Any:
    return node if isinstance(node, str) else node["type"]


def _absent(source: Source, fields: tuple[Field, ...], target: str, indent: int) -> None:
    for field in fields:
        _null(source, field, target, indent)


def _null(source: Source, field: Field, target: str, indent: int) -> None:
    if field.required:
        source.line(indent, "raise Refused('a field is missing')")
    elif field.default is not None:
        source.line(indent, f"{target}[{field.name!r}] = {field.default!r}")
    else:
        source.line(indent, "pass")


def _field(source: Source, node: Node, field: Field, target: str, indent: int) -> None:
    node = source.resolved(node)
    if isinstance(node, list):
        for branch, within in source.branches(node, indent):
            _field(source, branch, field, target, within)
    elif _kind(node) == "null":
        _null(source, field, target, indent)
    else:
        found = source.new("v")
        _taken(source, node, field.shape, found, indent)
        source.line(indent, f"{target}[{field.name!r}] = {found}")


def _taken(source: Source, node: Node, shape: Leaf | RecordShape, target: str, indent: int) -> None:
    kind = _kind(node)
    if isinstance(shape, RecordShape):
        if kind not in {"record", "error"}:
            raise BeyondError(f"it has {kind} where DataHub's schema has a record")
        _record(source, node, shape, target, indent)
        return
    how = shape.direct.get(kind)
    if how is None or (kind == "map" and source.resolved(node["values"]) != how):
        raise BeyondError(f"it has {kind} where DataHub's schema has something else")
    source.value(node, target, indent)
    if kind != "map" and how:
        source.line(indent, f"{target} = {target}{how}")
