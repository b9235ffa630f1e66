"""What is told when an id names another schema than before: the fields that came, went or changed their type.

Pure, and bounded in length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from datahub_poller.decode.reader import Reader
from datahub_poller.model import SchemaChange, SchemaKey

MOST_NAMED: Final = 10
TYPE_LIMIT: Final = 120
"""Fields that are named of each sort, and characters of a type."""
DEPTH_LIMIT: Final = 16


def change_of(key: SchemaKey, before: Reader, after: Reader) -> SchemaChange:
    """What is different in the schema that the id names now."""
    old, new = _fields(before), _fields(after)
    came = [path for path in new if path not in old and _parent(path) not in new.keys() - old.keys()]
    went = [path for path in old if path not in new and _parent(path) not in old.keys() - new.keys()]
    changed = [f"{path}: {old[path]} became {new[path]}" for path in new if path in old and old[path] != new[path]]
    name = ", ".join(str(each["name"]) for each in after.schema.records())
    return SchemaChange(key, name[:TYPE_LIMIT], _some(came), _some(went), _some(changed))


def _some(fields: list[str]) -> tuple[str, ...]:
    more = len(fields) - MOST_NAMED
    named = tuple(each[: 3 * TYPE_LIMIT] for each in fields[:MOST_NAMED])
    return (*named, f"and {more} more") if more > 0 else named


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _fields(reader: Reader) -> dict[str, str]:
    """The type of every field, by its path. A type within itself is looked at once."""
    records = reader.schema.records()
    top = "" if len(records) == 1 else None
    found: dict[str, str] = {}
    for record in records:
        for path, kind in _walk(record, reader.schema.named, record["name"] if top is None else top, frozenset()):
            found.setdefault(path, kind)
    return found


def _walk(node: Any, named: Mapping[str, Any], path: str, within: frozenset[str]) -> Iterator[tuple[str, str]]:
    node = named.get(node, node) if isinstance(node, str) else node
    if isinstance(node, list):
        for branch in node:
            yield from _walk(branch, named, path, within)
    elif isinstance(node, dict) and node["type"] in ("record", "error"):
        if node["name"] in within or len(within) >= DEPTH_LIMIT:
            return
        for field in node["fields"]:
            place = f"{path}.{field['name']}" if path else field["name"]
            yield place, _shown(field["type"], named)
            yield from _walk(field["type"], named, place, within | {node["name"]})
    elif isinstance(node, dict):
        for inner in ("items", "values"):
            if inner in node:
                yield from _walk(node[inner], named, path, within)


def _shown(node: Any, named: Mapping[str, Any]) -> str:
    """A type in a few words: of a record its name alone, of an enum its symbols."""
    node = named.get(node, node) if isinstance(node, str) else node
    if isinstance(node, list):
        return _cut(f"[{', '.join(_shown(branch, named) for branch in node)}]")
    if isinstance(node, str):
        return node
    match node["type"]:
        case "record" | "error":
            return str(node["name"])
        case "enum":
            return _cut(f"{node['name']}({', '.join(node['symbols'])})")
        case "array":
            return _cut(f"array of {_shown(node['items'], named)}")
        case "map":
            return _cut(f"map of {_shown(node['values'], named)}")
        case "fixed":
            return f"{node['name']}({node['size']} bytes)"
        case inner:
            return _shown(inner, named) if isinstance(inner, dict | list) else _cut(str(inner))


def _cut(text: str) -> str:
    return text if len(text) <= TYPE_LIMIT else f"{text[: TYPE_LIMIT // 2]} ... {text[-TYPE_LIMIT // 2 :]}"
