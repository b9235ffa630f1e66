"""Dead letters read back from S3, and a ledger beside them: an object for each time that something was done.

Other pollers write while this reads; objects never change, they come and go. It must not know what a line says.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from datahub_poller.deadletter.aws_service import Refused
from datahub_poller.deadletter.file_names import normalised
from datahub_poller.deadletter.ledger_lines import marks_in, written
from datahub_poller.deadletter.s3_bucket import Bucket
from datahub_poller.deadletter.s3_keys import holds_letters, ledger_key, ledger_of, letters_of, rewritten
from datahub_poller.deadletter.store import Mark, Stored
from datahub_poller.errors import CannotStart, Transient


class Handle(NamedTuple):
    """The object that a line was found in."""

    key: str


class S3Store:
    """A Store of the objects that an S3Sink writes. `wall` gives epoch seconds, `chance` a few hex digits."""

    caution = ""

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        action: str,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._action = normalised(action)
        self._below = letters_of(prefix, self._action)
        self._wall = wall
        self._chance = chance
        self._moved: dict[str, str] = {}

    @property
    def place(self) -> str:
        """What the addresses of the action's letters begin with."""
        return self._bucket.address(self._below)

    def scan(self) -> Iterator[Stored]:
        """The lines of every object, in the order of the keys. One object at a time is held in memory.

        It is read whole before its first line is handed out: S3 cuts a download that stands still.
        """
        for key in self._listed(self._below):
            if holds_letters(key):
                for number, line in enumerate(_lines(self._read(key)), 1):
                    yield Stored(line, f"{self._bucket.address(key)}#{number}", Handle(key))

    def marks(self) -> Iterator[Mark]:
        """The ledger, oldest first."""
        for key in self._listed(ledger_of(self._prefix, self._action)):
            yield from marks_in(self._read(key))

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        """Put one more object into the ledger."""
        if not marks:
            return
        key = ledger_key(self._prefix, self._action, self._wall(), self._chance())
        try:
            self._bucket.put(key, written(mark for _, mark in marks))
        except Refused as error:
            reason = self._bucket.why(error, "s3:PutObject", ledger_of(self._prefix, self._action))
            raise Transient(f"what was done cannot be written down at {self._bucket.address(key)} ({reason})") from None

    def remove(self, letters: Sequence[Stored]) -> int:
        """Delete objects of which nothing is left, and put others anew without the lines.

        What is left of an object is put before the old one is deleted: a crash in between leaves letters twice.
        """
        by_key: dict[str, list[bytes]] = {}
        for stored in letters:
            by_key.setdefault(self._now(stored.handle.key), []).append(stored.line)
        for key, lines in by_key.items():
            self._take(key, Counter(lines))
        return len(letters)

    def close(self) -> None:
        """Nothing is held."""

    def _take(self, key: str, lines: Counter[bytes]) -> None:
        right = "s3:GetObject"
        try:
            found = self._bucket.get(key)
            if found is None:
                return  # somebody else has removed them, or has put the rest elsewhere
            rest = b"".join(line for line in _lines(found) if not _taken(lines, line))
            right = "s3:PutObject"
            new = rewritten(key, rest, self._chance())
            if rest:
                self._bucket.put(new, rest)
            right = "s3:DeleteObject"
            self._bucket.delete(key)
            self._moved[key] = new
        except Refused as error:
            reason = self._bucket.why(error, right, self._below)
            raise Transient(f"dead letters cannot be removed from {self._bucket.address(key)} ({reason})") from None

    def _now(self, key: str) -> str:
        """Where what is left of an object lies, after lines have been taken from it."""
        while key in self._moved:
            key = self._moved[key]
        return key

    def _listed(self, prefix: str) -> Iterator[str]:
        try:
            yield from self._bucket.keys(prefix)
        except Refused as error:
            remedy = "s3:ListBucket (of the bucket itself) and s3:GetObject"
            reason = self._bucket.why(error, remedy, self._below)
            raise CannotStart(f"dead letters cannot be listed at {self.place} ({reason})") from None

    def _read(self, key: str) -> bytes:
        """Nothing where the object has gone since it was listed."""
        try:
            return self._bucket.get(key) or b""
        except Refused as error:
            reason = self._bucket.why(error, "s3:GetObject", self._below)
            raise CannotStart(f"dead letters cannot be read from {self._bucket.address(key)} ({reason})") from None


def _lines(body: bytes) -> list[bytes]:
    """Each with its newline; the last one may have none."""
    found = [line + b"\n" for line in body.split(b"\n")]
    last = found.pop()[:-1]
    return [*found, last] if last else found


def _taken(lines: Counter[bytes], line: bytes) -> bool:
    """Whether this line goes; each that was asked for goes as often as it was."""
    if lines[line] == 0:
        return False
    lines[line] -= 1
    return True
