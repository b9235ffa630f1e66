"""A function generated for a shape: takes what JSON has over into an event, where all of it is as the shape has it.

Pure. Where a value is of another type, or missing, the function raises: the shape itself then gives the event more
slowly, or says what does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datahub_poller.decode.lines import Lines, shown
from datahub_poller.decode.shapes import RecordShape

Take = Callable[[Any], dict[str, Any]]


def taker_of(shape: RecordShape) -> Take:
    """Gives what `shape` gives, or raises."""
    lines = Lines()
    lines.line(0, "def take(o):")
    _record(lines, shape, "o", "v", 1)
    lines.line(1, "return v")
    exec("\n".join(lines.lines), lines.constants)  # noqa: S102 - of our own shapes
    take: Take = lines.constants["take"]
    return take


def _record(lines: Lines, shape: RecordShape, source: str, target: str, indent: int) -> None:
    """Its fields in their order; those that are there in any case begin the dict."""
    fields = list(shape.fields)
    certain = {}
    while fields and fields[0].required:
        field = fields.pop(0)
        certain[field.name] = lines.new("v")
        lines.line(indent, f"{certain[field.name]} = {source}[{field.name!r}]")
        _taken(lines, field.shape, certain[field.name], indent)
    lines.line(indent, f"{target} = {shown(certain)}")
    for field in fields:
        found = lines.new("v")
        lines.line(indent, f"{found} = {source}{f'[{field.name!r}]' if field.required else f'.get({field.name!r})'}")
        lines.line(indent, f"if {found} is not None:")
        _taken(lines, field.shape, found, indent + 1)
        lines.line(indent + 1, f"{target}[{field.name!r}] = {found}")
        if field.required:
            lines.line(indent, "else:")
            lines.line(indent + 1, "raise Refused")
        elif field.default is not None:
            lines.line(indent, "else:")
            lines.line(indent + 1, f"{target}[{field.name!r}] = {field.default!r}")


def _taken(lines: Lines, shape: Any, found: str, indent: int) -> None:
    """What is of the type that needs no look stays; all else is the shape's to judge."""
    if isinstance(shape, RecordShape):
        made = lines.new("v")
        _record(lines, shape, found, made, indent)
        lines.line(indent, f"{found} = {made}")
    elif shape.plain is None:
        lines.line(indent, f"{found} = {lines.constant('f', shape)}({found})")
    else:
        lines.line(indent, f"if type({found}) is not {shape.plain.__name__}:")
        lines.line(indent + 1, f"{found} = {lines.constant('f', shape)}({found})")
