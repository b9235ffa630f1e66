"""Random Avro schemas, values of them, and damage to their bytes: for tests that hold a reader against fastavro's."""

from __future__ import annotations

import io
import random
import struct
from typing import Any

import fastavro

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
TEXTS = ("", "a", "dataset", "urn:li:corpuser:jdoe", "ä€𝄞", "x" * 63, "x" * 64, "y" * 5000)
SIZES = (0, 1, 63, 64, 300)
EDGES = (0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, 2**20, 2**31 - 1, -(2**31))
WIDE = (*EDGES, 2**34, 2**41 + 7, 1_772_000_000_000, 2**62, 2**63 - 1, -(2**63))


class Schemas:
    """Draws schemas. Named types are numbered, and used again by name; with `recursive` also within themselves."""

    def __init__(self, chance: random.Random, *, recursive: bool = False) -> None:
        self._chance = chance
        self._recursive = recursive
        self._named: list[str] = []
        self._open: list[str] = []
        self._count = 0

    def record(self, depth: int = 4) -> dict[str, Any]:
        """A record with up to six fields."""
        name = self._name("R")
        self._open.append(name)
        fields = [
            {"name": f"f{number}", "type": self.node(depth - 1)}
            for number in range(self._chance.choice((0, 1, 2, 3, 6)))
        ]
        self._open.remove(name)
        self._named.append(name)
        return {"type": "record", "name": name, "fields": fields}

    def node(self, depth: int) -> Any:
        """Any type, no deeper than this."""
        chance = self._chance
        kinds = ["primitive", "primitive", "enum", "fixed", "again", "within"]
        if depth > 0:
            kinds += ["record", "array", "map", "union", "union", "optional"]
        match chance.choice(kinds):
            case "enum":
                return {"type": "enum", "name": self._keep("E"), "symbols": [f"S{n}" for n in range(self._width())]}
            case "fixed":
                return {"type": "fixed", "name": self._keep("F"), "size": chance.choice((1, 4, 16))}
            case "again" if self._named:
                return chance.choice(self._named)
            case "within" if self._recursive and self._open:
                return ["null", chance.choice(self._open)]
            case "record":
                return self.record(depth)
            case "array":
                return {"type": "array", "items": self._taking_bytes(depth)}
            case "map":
                return {"type": "map", "values": self.node(depth - 1)}
            case "optional":
                return ["null", self._no_union(depth)]
            case "union":
                return self._union(depth)
            case _:
                return chance.choice(PRIMITIVES)

    def _width(self) -> int:
        return self._chance.choice((1, 2, 5, 64, 65, 200))

    def _union(self, depth: int) -> list[Any]:
        branches: list[Any] = self._chance.sample(PRIMITIVES, self._chance.randrange(1, 4))
        while self._chance.random() < 0.5:
            branches.append(self.record(depth))
        if self._chance.random() < 0.1:
            branches += [{"type": "fixed", "name": self._keep("F"), "size": 2} for _ in range(self._width())]
        return branches

    def _no_union(self, depth: int) -> Any:
        known = len(self._named)
        while isinstance(found := self.node(depth - 1), list) or found == "null":
            del self._named[known:]
        return found

    def _taking_bytes(self, depth: int) -> Any:
        """What may be an array's items; a record may be empty."""
        found = self.node(depth - 1)
        if found == "null":
            return "long"
        maybe_empty = found["type"] == "record" if isinstance(found, dict) else str(found).startswith("R")
        return ["null", found] if maybe_empty else found

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _keep(self, prefix: str) -> str:
        self._named.append(name := self._name(prefix))
        return name


class Values:
    """Draws values of a parsed schema. With `texts_only`, bytes are those of texts."""

    def __init__(
        self, chance: random.Random, named: dict[str, Any], depth: int = 8, *, texts_only: bool = False
    ) -> None:
        self._texts_only = texts_only
        self._chance = chance
        self._named = named
        self._depth = depth

    def of(self, node: Any, depth: int = 0) -> Any:
        """A value as fastavro writes it: a union's branch is told where it is a record's."""
        chance = self._chance
        node = self._named.get(node, node) if isinstance(node, str) else node
        if isinstance(node, list):
            return self._branch(node, depth)
        match node if isinstance(node, str) else node["type"]:
            case "enum":
                return chance.choice(node["symbols"])
            case "fixed":
                return chance.randbytes(node["size"])
            case "array":
                return [self.of(node["items"], depth + 1) for _ in range(self._many(depth))]
            case "map":
                keys = [f"{chance.choice(TEXTS)}{number}" for number in range(self._many(depth))]
                return {key: self.of(node["values"], depth + 1) for key in keys}
            case "record":
                return {field["name"]: self.of(field["type"], depth + 1) for field in node["fields"]}
            case primitive:
                return self._primitive(primitive)

    def _primitive(self, name: str) -> Any:
        chance = self._chance
        single: float = struct.unpack("<f", struct.pack("<f", chance.uniform(-1e9, 1e9)))[0]
        drawn = {
            "null": None,
            "boolean": chance.random() < 0.5,
            "int": chance.choice(EDGES),
            "long": chance.choice(WIDE),
            "float": single,
            "double": chance.choice((chance.uniform(-1e9, 1e9), float("inf"), float("nan"), 0.0)),
            "bytes": chance.choice(TEXTS).encode() if self._texts_only else chance.randbytes(chance.choice(SIZES)),
            "string": chance.choice(TEXTS),
        }
        return drawn[name]

    def _many(self, depth: int) -> int:
        return 0 if depth > self._depth else self._chance.choice((0, 1, 2, 70 if depth < 2 else 3))

    def _branch(self, node: list[Any], depth: int) -> Any:
        flat = [each for each in node if isinstance(each, str) and each in PRIMITIVES]
        branch = self._chance.choice(flat if flat and depth > self._depth else node)
        value = self.of(branch, depth + 1)
        name = branch if isinstance(branch, str) else branch.get("name", branch["type"])
        return (name, value)


def written(schema: Any, value: Any) -> bytes:
    """The value's bytes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def damaged(chance: random.Random, payload: bytes) -> bytes:
    """The same with a bit, a byte, a length or the end changed, once or several times."""
    found = bytearray(payload)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(found):
                found[at] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                del found[at:]
            case 3:
                found[at:at] = chance.choice(
                    (b"\xff" * 9 + b"\x01", b"\x80\x00", b"\xfe\xff\xff\xff\x0f", b"\x01", b"\x00")
                )
            case 4:
                del found[at : at + chance.randrange(1, 4)]
            case _:
                found += chance.randbytes(chance.randrange(1, 5))
    return bytes(found)


def same(one: Any, other: Any) -> bool:
    """Equal in type and value at every depth, NaN included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    return bool(one == other)
