"""The lines of a reader's source as they grow, and those that read Avro's primitive values.

Pure. Keeps where the next value stands; knows nothing of schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from datahub_poller.decode.wire import DOUBLE, FLOAT, NAMES, UpperBytes

LINE_LIMIT: Final = 20_000
DEPTH_LIMIT: Final = 64
"""How deep values of a type that contains itself may nest."""
ONE_BYTE_CHOICES: Final = 64


class BeyondError(Exception):
    """The schema is beyond the generator: a general reader has to read it."""


class Lines:
    """The lines for a value move `p` on; its target is a variable, or None where it is skipped.

    What the next value is ahead of `p` by is kept here, so that a byte that has been read costs no line of its own.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {**NAMES, "upper": UpperBytes()}
        self.ahead = 0
        self._count = 0

    def line(self, indent: int, text: str) -> None:
        """One more line."""
        if len(self.lines) >= LINE_LIMIT:
            raise BeyondError(f"its reader would have more than {LINE_LIMIT} lines")
        self.lines.append("    " * indent + text)

    def define(self, name: str) -> None:
        """The first lines of a function."""
        self.line(0, f"def {name}(b, p, k, d):")
        self.line(1, f"if d > {DEPTH_LIMIT}:")
        self.line(2, "raise Refused('it nests too deep')")

    def new(self, prefix: str) -> str:
        """A name that nothing has."""
        self._count += 1
        return f"{prefix}{self._count}"

    def returned(self, value: str) -> None:
        """The function's last line."""
        self.line(1, f"return {value}, {self.at()}, k")
        self.ahead = 0

    def flush(self, indent: int) -> None:
        """Lines to come are at `p` again."""
        if self.ahead:
            self.line(indent, f"p += {self.ahead}")
            self.ahead = 0

    def at(self) -> str:
        """Where the next value stands."""
        return f"p + {self.ahead}" if self.ahead else "p"

    def constant(self, prefix: str, value: Any) -> str:
        """A name for a value that the source cannot write."""
        name = self.new(prefix)
        self.constants[name] = value
        return name

    # -- values

    def primitive(self, kind: str, target: str | None, indent: int) -> None:
        """A value of a type without parts. Raises BeyondError for any other."""
        match kind:
            case "null":
                if target is not None:
                    self.line(indent, f"{target} = None")
            case "boolean":
                self.chosen("BOOLEAN", target, indent)
            case "int" | "long":
                self._whole_number(target, indent)
            case "float":
                self.fixed(FLOAT.size, target, indent, "unpack_float(b, {at})[0]")
            case "double":
                self.fixed(DOUBLE.size, target, indent, "unpack_double(b, {at})[0]")
            case "bytes":
                self._sized(target, "b[p:q]", indent)
            case "string":
                self._sized(target, "b[p:q].decode()", indent)
            case _:
                raise BeyondError(f"it has the type {kind}")

    def _whole_number(self, target: str | None, indent: int) -> None:
        """One byte, or six: most are small, or times."""
        at = self.at()
        self.line(indent, f"n = b[{at}]")
        self.line(indent, "if n < 128:")
        self.line(indent + 1, f"p += {self.ahead + 1}")
        if target is None:
            self.line(indent, "else:")
            self.line(indent + 1, f"n, p = varint(b, {at})")
        else:
            self.line(indent + 1, f"{target} = ZIGZAG[n]")
            self.line(indent, "else:")
            self._large_number(target, at, indent + 1)
        self.ahead = 0

    def _large_number(self, target: str, at: str, indent: int) -> None:
        third, last, end = (f"p + {self.ahead + more}" for more in (2, 3, 6))
        self.line(indent, f"m = b[p + {self.ahead + 1}]")
        self.line(indent, f"if m > 127 and not n & 1 and (q := b[{third}]) > 127:")
        self.line(indent + 1, "try:")
        self.line(indent + 2, f"{target} = (n >> 1) + (m << 6) + (q << 13) + upper[b[{last}:{end}]]")
        self.line(indent + 2, f"p += {self.ahead + 6}")
        self.line(indent + 1, "except KeyError:")
        self.line(indent + 2, f"{target}, p = number(b, {at})")
        self.line(indent, "else:")
        self.line(indent + 1, f"{target}, p = number(b, {at})")

    def fixed(self, size: int, target: str | None, indent: int, taken: str = "b[{at}:{end}]") -> None:
        """A value of so many bytes."""
        at = self.at()
        self.ahead += size
        if target is not None:
            self.line(indent, f"{target} = {taken.format(at=at, end=self.at())}")

    def _sized(self, target: str | None, taken: str, indent: int) -> None:
        """Most lengths take one byte or two."""
        at = self.at()
        self.line(indent, f"n = b[{at}]")
        self.line(indent, "if n < 128:")
        self.line(indent + 1, f"p += {self.ahead + 1}")
        self.line(indent + 1, "q = p + HALF[n]")
        self.line(indent, "else:")
        self.line(indent + 1, f"m = b[p + {self.ahead + 1}]")
        self.line(indent + 1, "if m < 128:")
        self.line(indent + 2, "n += (m << 7) - 128")
        self.line(indent + 2, f"p += {self.ahead + 2}")
        self.line(indent + 1, "else:")
        self.line(indent + 2, f"n, p = varint(b, {at})")
        self.line(indent + 1, "if n & 1:")
        self.line(indent + 2, "raise Refused('a length is negative')")
        self.line(indent + 1, "q = p + (n >> 1)")
        if target is not None:
            self.line(indent, f"{target} = {taken}")
        self.line(indent, "p = q")
        self.ahead = 0

    def chosen(self, values: str, target: str | None, indent: int) -> None:
        """What a byte stands for."""
        self.line(indent, f"{target or '_'} = {values}[b[{self.at()}]]")
        self.ahead += 1

    def index(self, indent: int, *, wide: bool) -> None:
        """Which branch or symbol comes: `n`, doubled. In more bytes than it needs it is none."""
        at = self.at()
        self.ahead += 1
        self.line(indent, f"n = b[{at}]")
        if wide:
            self.flush(indent)
            self.line(indent, "if n > 127:")
            self.line(indent + 1, "n, p = varint(b, p - 1)")


def shown(variables: Mapping[str, str | None]) -> str:
    """A dict of these."""
    return "{" + ", ".join(f"{name!r}: {variable}" for name, variable in variables.items()) + "}"
