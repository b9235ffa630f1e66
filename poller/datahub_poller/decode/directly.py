"""A reader that makes an event of a record's bytes in one go: what a shape makes of the dict that another would read.

Pure. Only where the writer's types leave nothing to be looked at, value by value; else BeyondError.
"""

from __future__ import annotations

from collections.abc import Mapping

from datahub_poller.decode.codegen import BeyondError, Node, Read, Source
from datahub_poller.decode.shapes import Field, Leaf, RecordShape


def direct_reader_of(record: Node, shape: RecordShape, named: Mapping[str, Node]) -> Read:
    """Reads what `shape` makes of the record. Where it raises, or leaves bytes over, the slow way tells why."""
    source = Source(named)
    name = source.begun()
    _record(source, record, shape, "v", 1)
    source.line(1, "return v, p, k")
    return source.compiled(name)


def _record(source: Source, node: Node, shape: RecordShape, target: str, indent: int) -> None:
    """Its fields in the writer's order, which has to be the shape's; what the shape has not is read and dropped."""
    places = {field.name: place for place, field in enumerate(shape.fields)}
    source.line(indent, f"{target} = {{}}")
    done = 0
    for written in node["fields"]:
        place = places.get(written["name"])
        if place is None:
            source.value(written["type"], source.new("v"), indent)
            continue
        if place < done:
            raise BeyondError(f"its field {written['name']} stands elsewhere than in DataHub's schema")
        _absent(source, shape.fields[done:place], target, indent)
        _field(source, written["type"], shape.fields[place], target, indent)
        done = place + 1
    _absent(source, shape.fields[done:], target, indent)


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
    elif node == "null" or (isinstance(node, dict) and node["type"] == "null"):
        _null(source, field, target, indent)
    else:
        found = source.new("v")
        _taken(source, node, field.shape, found, indent)
        source.line(indent, f"{target}[{field.name!r}] = {found}")


def _taken(source: Source, node: Node, shape: Leaf | RecordShape, target: str, indent: int) -> None:
    kind = node if isinstance(node, str) else node["type"]
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
