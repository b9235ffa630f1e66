"""Kafka's frames, as far as a proxy must understand them: where one ends, which request it is, and OffsetCommit.

Standard library only. The bytes of every other request and answer are nobody's business here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

OFFSET_COMMIT: Final = 8
FIRST_FLEXIBLE: Final = 8
FIRST_WITH_TOPIC_IDS: Final = 10
LARGEST: Final = 128 * 1024 * 1024


class Head(NamedTuple):
    """How a request begins."""

    api_key: int
    version: int
    correlation: int

    @classmethod
    def of(cls, frame: bytes) -> Head:
        return cls._make(struct.unpack_from(">hhi", frame, 4))


def correlation_of(answer: bytes) -> int:
    """Which request a frame is the answer to."""
    found: int = struct.unpack_from(">i", answer, 4)[0]
    return found


class Cutter:
    """Cuts one direction of a connection into frames, without waiting for the end of one that may pass.

    `wanted` sees the first `head` bytes of each frame and says whether it must come whole. What does not look like
    frames (TLS for one) passes as it is.
    """

    def __init__(self, head: int, wanted: Callable[[bytes], bool]) -> None:
        self._head = head
        self._wanted = wanted
        self._bytes = b""
        self._passing = 0
        self._opaque = False

    @property
    def between_frames(self) -> bool:
        """Whether nothing of an unfinished frame was given out."""
        return not self._passing and not self._opaque

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Bytes to be sent on, each with whether they are a whole frame that was wanted."""
        self._bytes = self._bytes + data if self._bytes else data
        while self._bytes:
            if self._opaque or self._passing:
                yield self._pass(), False
                continue
            if len(self._bytes) < 4:
                return
            size = 4 + int.from_bytes(self._bytes[:4], "big", signed=True)
            if not self._head <= size <= LARGEST:
                self._opaque = True
            elif len(self._bytes) < self._head:
                return
            elif not self._wanted(self._bytes[: self._head]):
                self._passing = size
            elif len(self._bytes) < size:
                return
            else:
                frame, self._bytes = self._bytes[:size], self._bytes[size:]
                yield frame, True

    def _pass(self) -> bytes:
        count = len(self._bytes) if self._opaque else self._passing
        piece, self._bytes = self._bytes[:count], self._bytes[count:]
        self._passing = max(0, self._passing - len(piece))
        return piece


def refusal(request: bytes, code: int) -> bytes:
    """The answer to an OffsetCommit that carries this error for every partition of it."""
    head = Head.of(request)
    reader = _Reader(request, 12, head.version >= FIRST_FLEXIBLE)
    flexible = reader.flexible
    reader.skip_string(compact=False)  # client id: never compact, not even in a flexible header
    reader.skip_tags()
    reader.skip_string()  # group
    reader.skip(4)  # generation
    reader.skip_string()  # member
    if head.version >= 7:
        reader.skip_string()  # group instance
    if head.version <= 4:
        reader.skip(8)  # retention
    answer = struct.pack(">i", head.correlation) + (b"\0" if flexible else b"")
    if head.version >= 3:
        answer += struct.pack(">i", 0)
    count = reader.count()
    answer += _count(count, flexible)
    for _ in range(count):
        answer += reader.skip(16) if head.version >= FIRST_WITH_TOPIC_IDS else reader.skip_string()
        answer += _partitions(reader, head.version, code) + (b"\0" if flexible else b"")
        reader.skip_tags()
    answer += b"\0" if flexible else b""
    return struct.pack(">i", len(answer)) + answer


def _partitions(reader: _Reader, version: int, code: int) -> bytes:
    count = reader.count()
    answer = _count(count, reader.flexible)
    for _ in range(count):
        answer += reader.skip(4) + struct.pack(">h", code) + (b"\0" if reader.flexible else b"")
        reader.skip(8)  # offset
        if version >= 6:
            reader.skip(4)  # leader epoch
        reader.skip_string()  # metadata
        reader.skip_tags()
    return answer


class _Reader:
    """Walks over a request; each `skip` gives the bytes that it walked over, lengths included."""

    def __init__(self, frame: bytes, at: int, flexible: bool) -> None:
        self.flexible = flexible
        self._frame = frame
        self._at = at

    def skip(self, count: int) -> bytes:
        found = self._frame[self._at : self._at + count]
        if len(found) != count:
            raise ValueError("an OffsetCommit that ends too soon")
        self._at += count
        return found

    def skip_string(self, *, compact: bool = True) -> bytes:
        began = self._at
        if self.flexible and compact:
            self.skip(max(0, self._varint() - 1))
        else:
            self.skip(max(0, int.from_bytes(self.skip(2), "big", signed=True)))
        return self._frame[began : self._at]

    def skip_tags(self) -> None:
        if self.flexible:
            for _ in range(self._varint()):
                self._varint()
                self.skip(self._varint())

    def count(self) -> int:
        return self._varint() - 1 if self.flexible else int.from_bytes(self.skip(4), "big", signed=True)

    def _varint(self) -> int:
        found = shift = 0
        while True:
            (byte,) = self.skip(1)
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found


def _count(count: int, flexible: bool) -> bytes:
    if not flexible:
        return struct.pack(">i", count)
    number, found = count + 1, b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])
