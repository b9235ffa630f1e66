"""Python that reads the values of one Avro schema, straight line by line.

What a general reader decides for every value anew is decided once here: a schema, as fastavro parses it, becomes
source, and that a function.
Pure. Knows nothing of DataHub and registries. Of a schema's own words only numbers and quoted names get into source.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from datahub_poller.decode.lines import ONE_BYTE_CHOICES, BeyondError, Lines, shown
from datahub_poller.decode.wire import Choices
from datahub_poller.decode.writer_schema import is_record

Node = Any
"""A part of a parsed schema: a name, a map, or a list of them."""

Read = Callable[[bytes, int, int, int], tuple[Any, int, int]]
"""Takes bytes, a position, how many items of arrays and maps may come, and how deep the value stands.

Returns the value, the position behind it, and how many items may still come. Raises whatever, for bytes that are not
what the schema says; what is cut short in its last value is told by the position alone: it is behind the end.
"""


@dataclass(frozen=True, slots=True)
class NoRecord:
    """Stands for a value of a branch that is no record, by its type."""

    kind: str


INLINE_LIMIT: Final = 200
"""How many types a record may have that is written out where it is used; a larger one has a function of its own."""
BLOCK_LIMIT: Final = 12
"""How many blocks stand inside each other before a function of its own begins: Python allows for 20 loops."""
_RECORDS: Final = frozenset({"record", "error"})


def reader_of(node: Node, named: Mapping[str, Node], logical: Mapping[str, Any] | None = None) -> Read:
    """Reads a value of this type. `logical` are fastavro's readers of logical types, if they are wanted."""
    source = Source(named, logical)
    return source.compiled(source.function(node, skip=False))


def union_reader_of(branches: list[Node], named: Mapping[str, Node]) -> Read:
    """Reads a value of a union: a record's as it is, of any other branch only that it is there, as a NoRecord."""
    source = Source(named)
    return source.compiled(source.records_of(branches))


def leading_reader_of(record: Node, wanted: Collection[str], named: Mapping[str, Node]) -> Read:
    """Reads a record's fields up to the last of those wanted, and keeps these alone. It looks at nothing behind it."""
    source = Source(named)
    return source.compiled(source.leading(record, wanted))


class Source(Lines):
    """The source of a reader: its lines, by the types of a schema."""

    def __init__(self, named: Mapping[str, Node], logical: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._named = named
        self._logical = logical or {}
        self._functions: dict[tuple[str | int, bool], str] = {}
        self._waiting: list[tuple[Node, str, bool]] = []
        self._sizes: dict[str, float] = {}

    def compiled(self, name: str) -> Read:
        """Write out what is still waiting, and make it Python's."""
        while self._waiting:
            node, function, skip = self._waiting.pop()
            self.define(function)
            target = None if skip else "v"
            self._whole(node, target, 1)
            self.returned(str(target))
        code = compile("\n".join(self.lines), "<reader of an Avro schema>", "exec")
        exec(code, self.constants)  # noqa: S102 - what it is here for; schemas get in as numbers and quoted names
        found: Read = self.constants[name]
        return found

    def function(self, node: Node, *, skip: bool) -> str:
        """The name of a function for this type; it is written later."""
        key = (node["name"] if _is_named(node) else id(node)), skip
        if key not in self._functions:
            self._functions[key] = self.new("read")
            self._waiting.append((node, self._functions[key], skip))
        return self._functions[key]

    def begun(self) -> str:
        """The name of a function whose lines come next."""
        name = self.new("read")
        self.define(name)
        return name

    def leading(self, record: Node, wanted: Collection[str]) -> str:
        """The name of a function for the first fields of a record."""
        name = self.begun()
        fields = record["fields"]
        last = max((place for place, field in enumerate(fields, 1) if field["name"] in wanted), default=0)
        kept = {}
        for field in fields[:last]:
            target = self.new("v") if field["name"] in wanted else None
            self.value(field["type"], target, 1)
            if target is not None:
                kept[field["name"]] = target
        self.returned(shown(kept))
        return name

    def records_of(self, branches: list[Node]) -> str:
        """The name of a function for a union of which only the records are wanted."""
        name = self.begun()
        for branch, within in self.branches(branches, 1):
            node = self.resolved(branch)
            if is_record(node):
                self.value(node, "v", within)
            else:
                self.value(node, None, within)
                kind = node if isinstance(node, str) else str(node["type"])
                self.line(within, f"v = {self.constant('u', NoRecord(kind))}")
        self.returned("v")
        return name

    # -- values

    def value(self, node: Node, target: str | None, indent: int) -> None:
        """Lines for a value, or a call of a function for it where it is large, or contains itself, or stands deep."""
        node = self.resolved(node)
        deep = indent > BLOCK_LIMIT and not isinstance(node, str)
        if deep or (_is_named(node) and self._size(node) > INLINE_LIMIT):
            name = self.function(node, skip=target is None)
            self.line(indent, f"{target or '_'}, p, k = {name}(b, {self.at()}, k, d + 1)")
            self.ahead = 0
        else:
            self._whole(node, target, indent)

    def resolved(self, node: Node) -> Node:
        """What a name stands for."""
        return self._named.get(node, node) if isinstance(node, str) else node

    def _whole(self, node: Node, target: str | None, indent: int) -> None:
        if isinstance(node, list):
            self._union(node, target, indent)
            return
        kind = node if isinstance(node, str) else node["type"]
        match kind:
            case "record" | "error":
                self._record(node, target, indent)
            case "array":
                self._array(node, target, indent)
            case "map":
                self._map(node, target, indent)
            case "enum":
                self._enum(node, target, indent)
            case "fixed":
                self.fixed(node["size"], target, indent)
            case str():
                self.primitive(kind, target, indent)
            case _:
                raise BeyondError(f"it has a type that is {type(kind).__name__}")
        if target is not None and isinstance(node, dict) and "logicalType" in node:
            convert = self._logical.get(f"{kind}-{node['logicalType']}")
            if convert is not None:
                called = f"{self.constant('f', convert)}({target}, {self.constant('c', node)}, None)"
                self.line(indent, f"{target} = {called}")

    def _enum(self, node: Node, target: str | None, indent: int) -> None:
        values = {2 * place: symbol for place, symbol in enumerate(node["symbols"])}
        symbols = self.constant("e", Choices(f"the enum {node['name']}", values))
        if len(values) <= ONE_BYTE_CHOICES:
            self.chosen(symbols, target, indent)
        else:
            self.index(indent, wide=True)
            self.line(indent, f"{target or '_'} = {symbols}[n]")

    def _union(self, branches: list[Node], target: str | None, indent: int) -> None:
        for branch, within in self.branches(branches, indent):
            self.value(branch, target, within)

    def branches(self, branches: list[Node], indent: int) -> Iterator[tuple[Node, int]]:
        """Lines that choose a union's branch: each, and where its lines go, which come before the next is asked for."""
        self.index(indent, wide=len(branches) > ONE_BYTE_CHOICES)
        ahead = self.ahead
        for place, branch in enumerate(branches):
            self.line(indent, f"{'elif' if place else 'if'} n == {2 * place}:")
            before, self.ahead = len(self.lines), ahead
            yield branch, indent + 1
            self.flush(indent + 1)
            if len(self.lines) == before:
                self.line(indent + 1, "pass")
        self.line(indent, "else:" if branches else "if True:")
        self.line(indent + 1, "raise Refused('a union has no such branch')")
        self.ahead = 0

    def _record(self, node: Node, target: str | None, indent: int) -> None:
        read = {}
        for field in node["fields"]:
            read[field["name"]] = None if target is None else self.new("v")
            self.value(field["type"], read[field["name"]], indent)
        if target is not None:
            self.line(indent, f"{target} = {shown(read)}")

    # -- blocks of items

    def _array(self, node: Node, target: str | None, indent: int) -> None:
        found, item = (None, None) if target is None else (self.new("a"), self.new("v"))
        if found is not None:
            self.line(indent, f"{found} = []")
        within = self._blocks(indent)
        self.value(node["items"], item, within)
        self.flush(within)
        if found is not None:
            self.line(within, f"{found}.append({item})")
            self.line(indent, f"{target} = {found}")

    def _map(self, node: Node, target: str | None, indent: int) -> None:
        found, key, value = (None,) * 3 if target is None else (self.new("a"), self.new("v"), self.new("v"))
        if found is not None:
            self.line(indent, f"{found} = {{}}")
        within = self._blocks(indent)
        self.primitive("string", key, within)
        self.value(node["values"], value, within)
        self.flush(within)
        if found is not None:
            self.line(within, f"{found}[{key}] = {value}")
            self.line(indent, f"{target} = {found}")

    def _blocks(self, indent: int) -> int:
        """Lines for blocks of items, up to the empty one; returns where the lines for an item go."""
        self.flush(indent)
        self.line(indent, "while True:")
        self.line(indent + 1, "n = b[p]")
        self.line(indent + 1, "if n == 0:")
        self.line(indent + 2, "p += 1")
        self.line(indent + 2, "break")
        self.line(indent + 1, "n, p = items(b, p)")
        self.line(indent + 1, "k -= n")
        self.line(indent + 1, "if k < 0:")
        self.line(indent + 2, "raise Refused('it has too many items')")
        self.line(indent + 1, "for _ in range(n):")
        return indent + 2

    # -- what is large

    def _size(self, node: Node) -> float:
        """How many types it has, written out; infinite where one contains itself."""
        node = self.resolved(node)
        if isinstance(node, list):
            return 1 + sum(map(self._size, node))
        if isinstance(node, str) or node["type"] not in {*_RECORDS, "array", "map"}:
            return 1
        if node["type"] not in _RECORDS:
            return 1 + self._size(node["items" if node["type"] == "array" else "values"])
        if node["name"] not in self._sizes:
            self._sizes[node["name"]] = float("inf")
            self._sizes[node["name"]] = 1 + sum(self._size(field["type"]) for field in node["fields"])
        return self._sizes[node["name"]]


def _is_named(node: Node) -> bool:
    return isinstance(node, dict) and node["type"] in _RECORDS
