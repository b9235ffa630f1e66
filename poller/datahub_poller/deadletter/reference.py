"""The table of what a dead letter holds in Markdown, made of its JSON Schema so that the two cannot part.

`python -m datahub_poller.deadletter.reference` prints it; `poller/dead-letters.md` holds it between two markers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = Path(__file__).with_name("dead-letter.schema.json")
BEGIN = "<!-- letter:begin -->"
END = "<!-- letter:end -->"


class Row(NamedTuple):
    """One field."""

    path: str
    values: str
    meaning: str


def rows() -> Iterator[Row]:
    """Every field, in the order in which a letter has them."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return _below(schema, "", schema["$defs"])


def markdown() -> str:
    """The table."""
    head = "| field | values | meaning |\n| --- | --- | --- |\n"
    return head + "".join(f"| `{row.path}` | {row.values} | {row.meaning} |\n" for row in rows())


def block(text: str) -> str | None:
    """What a text holds between the markers, `None` if it has no such block."""
    _, begin, rest = text.partition(BEGIN)
    inner, end, _ = rest.partition(END)
    return inner.strip("\n") + "\n" if begin and end else None


def _below(section: Mapping[str, Any], prefix: str, definitions: Mapping[str, Any]) -> Iterator[Row]:
    for name, field in section["properties"].items():
        path = f"{prefix}{name}"
        yield Row(path, _values(field), field["description"].replace("|", "\\|"))
        for inner, below in _inner(field, path, definitions):
            yield from _below(below, inner, definitions)


def _inner(field: Mapping[str, Any], path: str, definitions: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sections below a field, each with what its fields' paths begin with."""
    reference = field.get("items", {}).get("$ref")
    if reference is not None:
        yield f"{path}[].", definitions[reference.rpartition("/")[2]]
    for each in (field, *field.get("anyOf", ())):
        if "properties" in each:
            yield f"{path}.", each


def _values(field: Mapping[str, Any]) -> str:
    match field:
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"anyOf": options}:
            return " or ".join(_values(option) for option in options)
        case {"contentEncoding": encoding, "type": ["string", "null"]}:
            return f"{encoding} or null"
        case {"format": "date-time"}:
            return "time"
        case {"type": list() as kinds}:
            return " or ".join(kinds)
        case {"type": "array", "items": {"prefixItems": _}}:
            return "list of pairs"
    return str(field["type"])


def _main() -> None:
    sys.stdout.write(markdown())


if __name__ == "__main__":
    _main()
