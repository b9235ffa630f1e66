"""What generated readers call upon: Avro's variable-length numbers and blocks, strictly, and constants.

Pure. Positions beyond the end raise IndexError.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any, Final

FLOAT: Final = Struct("<f")
DOUBLE: Final = Struct("<d")
_LAST_SHIFT: Final = 63
_UPPER: Final = 3
_UPPER_LIMIT: Final = 4096


class Refused(Exception):
    """Bytes that are not what their schema says."""


class Choices(dict[int, Any]):
    """What a number stands for. Raises Refused for any other number."""

    def __init__(self, what: str, values: Mapping[int, Any]) -> None:
        super().__init__(values)
        self._what = what

    def __missing__(self, number: int) -> Any:
        raise Refused(f"{self._what} has no value {number}")


class UpperBytes(dict[bytes, int]):
    """What the last three bytes of a number of six say, by what was met: times share them for a quarter of an hour.

    Raises KeyError where they do not end such a number. What is before them is added with its continuation bits.
    """

    def __missing__(self, last: bytes) -> int:
        if len(last) < _UPPER or last[0] < 128 or last[1] < 128 or last[2] > 127:  # noqa: PLR2004 - the bit that says that more follow
            raise KeyError(last)
        if len(self) >= _UPPER_LIMIT:
            self.clear()
        found = self[last] = (last[0] << 20) + (last[1] << 27) + (last[2] << 34) - 0x4_0810_2040
        return found


def number(b: bytes, p: int) -> tuple[int, int]:
    """A number of two bytes or more, and the position behind it."""
    n, p = varint(b, p)
    return (n >> 1) ^ -(n & 1), p


def varint(b: bytes, p: int) -> tuple[int, int]:
    """A number as it stands (zigzag is the caller's) of two bytes or more, and the position behind it.

    Written out for what times take, six bytes: it is the most frequent of the large numbers.
    """
    n0, n1 = b[p], b[p + 1]
    if n1 < 128:  # noqa: PLR2004 - a byte without the bit that says that more follow
        return n0 + (n1 << 7) - 0x80, p + 2
    n2 = b[p + 2]
    if n2 < 128:  # noqa: PLR2004
        return n0 + (n1 << 7) + (n2 << 14) - 0x4080, p + 3
    n3 = b[p + 3]
    if n3 < 128:  # noqa: PLR2004
        return n0 + (n1 << 7) + (n2 << 14) + (n3 << 21) - 0x20_4080, p + 4
    n4 = b[p + 4]
    if n4 < 128:  # noqa: PLR2004
        return n0 + (n1 << 7) + (n2 << 14) + (n3 << 21) + (n4 << 28) - 0x1020_4080, p + 5
    n5 = b[p + 5]
    if n5 < 128:  # noqa: PLR2004
        return n0 + (n1 << 7) + (n2 << 14) + (n3 << 21) + (n4 << 28) + (n5 << 35) - 0x8_1020_4080, p + 6
    return _long_varint(b, p)


def _long_varint(b: bytes, p: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        n = b[p]
        p += 1
        found |= (n & 127) << shift
        if n < 128:  # noqa: PLR2004
            break
        shift += 7
        if shift > _LAST_SHIFT:
            raise Refused("a number takes more than ten bytes")
    if found >> 64:
        raise Refused("a number takes more than 64 bits")
    return found, p


def items(b: bytes, p: int) -> tuple[int, int]:
    """How many items a block has that is not empty, and where they begin. Each item takes a byte at least."""
    n = b[p]
    if n > 127:  # noqa: PLR2004
        n, p = varint(b, p)
    else:
        p += 1
    count = (n >> 1) ^ -(n & 1)
    if count < 0:  # then the block's size in bytes follows
        count = -count
        n = b[p]
        if n > 127:  # noqa: PLR2004
            _, p = varint(b, p)
        else:
            p += 1
    if count == 0:
        raise Refused("an empty block in more bytes than it needs")
    if count > len(b) - p:
        raise Refused("a block has more items than there are bytes")
    return count, p


NAMES: Final[dict[str, Any]] = {
    "Refused": Refused,
    "varint": varint,
    "number": number,
    "items": items,
    "ZIGZAG": tuple((n >> 1) ^ -(n & 1) for n in range(128)),
    "HALF": tuple(None if n & 1 else n >> 1 for n in range(128)),
    "BOOLEAN": Choices("a boolean", {0: False, 1: True}),
    "unpack_float": FLOAT.unpack_from,
    "unpack_double": DOUBLE.unpack_from,
}
"""What the generated source may name."""
