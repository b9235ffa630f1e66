"""What is told when an id names another schema than before: fields and symbols that came, went or changed their type.

Pure, and bounded in length.
"""

from __future__ import annotations

from typing import Any, Final

from datahub_poller.decode.reader import Reader
from datahub_poller.model import SchemaChange, SchemaKey

MOST_NAMED: Final = 10
TEXT_LIMIT: Final = 120
"""What is named of each sort, and characters of a name or a type."""

Members = dict[str, dict[str, str]]
"""The types of a record's fields, or an enum's symbols, by the type's name."""


def change_of(key: SchemaKey, before: Reader, after: Reader) -> SchemaChange:
    """What is different in the schema that the id names now."""
    old, new = _members(before), _members(after)
    both = [name for name in new if name in old]  # a type that came or went is seen by the field that has it
    tops = [str(each["name"]) for each in after.schema.records()]
    alone = tops[0] if len(tops) == 1 else None

    def shown(name: str, member: str) -> str:
        return member if name == alone else f"{name.rpartition('.')[2]}.{member}"

    return SchemaChange(
        key,
        _cut(", ".join(tops)),
        came=_some([shown(name, each) for name in both for each in new[name] if each not in old[name]]),
        went=_some([shown(name, each) for name in both for each in old[name] if each not in new[name]]),
        changed=_some(
            [
                f"{shown(name, each)}: {old[name][each]} became {kind}"
                for name in both
                for each, kind in new[name].items()
                if old[name].get(each, kind) != kind
            ]
        ),
    )


def _some(told: list[str]) -> tuple[str, ...]:
    more = len(told) - MOST_NAMED
    named = tuple(each[: 3 * TEXT_LIMIT] for each in told[:MOST_NAMED])
    return (*named, f"and {more} more") if more > 0 else named


def _members(reader: Reader) -> Members:
    found: Members = {}
    for name, node in reader.schema.named.items():
        match node["type"]:
            case "record" | "error":
                found[name] = {field["name"]: _kind(field["type"]) for field in node["fields"]}
            case "enum":
                found[name] = dict.fromkeys(node["symbols"], "symbol")
    return found


def _kind(node: Any) -> str:
    """A type in a few words: those that have a name by it."""
    if isinstance(node, list):
        return _cut(f"[{', '.join(map(_kind, node))}]")
    if isinstance(node, str):
        return node
    match node["type"]:
        case "array":
            return _cut(f"array of {_kind(node['items'])}")
        case "map":
            return _cut(f"map of {_kind(node['values'])}")
        case kind:
            return str(node.get("name", kind)) if isinstance(kind, str) else _kind(kind)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT // 2]} ... {text[-TEXT_LIMIT // 2 :]}"
