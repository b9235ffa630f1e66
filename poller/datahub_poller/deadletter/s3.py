"""Dead letters in S3: an object for each write, a line for each letter, below the action's own prefix.

An object is whole or not there, so a write needs no more than the right to put objects. It must not know what a
line says.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from datahub_poller.deadletter.aws_service import Refused
from datahub_poller.deadletter.file_names import normalised
from datahub_poller.deadletter.letter import Letter, to_line
from datahub_poller.deadletter.s3_bucket import Bucket
from datahub_poller.deadletter.s3_keys import check_key, letter_key, letters_of
from datahub_poller.errors import CannotStart, Transient

OBJECT_LIMIT: Final = 2**20
"""Bytes of an object's lines, at most; a line that is longer by itself is an object by itself.

An object on its way is in memory several times: what is larger would not fit beside the buffer.
"""

_MILLISECOND: Final = 0.001


class S3Sink:
    """A Sink of objects. `wall` gives epoch seconds, `chance` four hex digits that tell like objects apart."""

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        action: str,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], str] = lambda: secrets.token_hex(2),
        limit: int = OBJECT_LIMIT,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._action = normalised(action)
        self._wall = wall
        self._chance = chance
        self._limit = limit

    @property
    def place(self) -> str:
        """What the addresses of the action's own letters begin with."""
        return self._bucket.address(letters_of(self._prefix, self._action))

    def check(self) -> None:
        """Put an empty object beside the letters; it stays, since writing needs no right to delete."""
        check(self._bucket, self._prefix)

    def write(self, letters: Sequence[Letter]) -> None:
        """One object, or more where they are too many for one; each is later in the keys' order than the one before."""
        at = self._wall()
        for body in bodies(map(to_line, letters), self._limit):
            key = letter_key(self._prefix, self._action, at, body, self._chance())
            try:
                self._bucket.put(key, body)
            except Refused as error:
                reason = self._bucket.why(error, "s3:PutObject", letters_of(self._prefix, self._action))
                raise Transient(f"dead letters cannot be written to {self.place} ({reason})") from None
            at += _MILLISECOND

    def close(self) -> None:
        """Nothing is held between writes."""


def check(bucket: Bucket, prefix: str) -> None:
    """Prove with an empty object that letters can be put below the prefix. Raises CannotStart."""
    key = check_key(prefix)
    try:
        bucket.put(key, b"")
    except Refused as error:
        reason = bucket.why(error, "s3:PutObject", key.removesuffix(".check"))
        raise CannotStart(f"dead letters cannot be written to {bucket.address(prefix)} ({reason})") from None


def bodies(lines: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The lines, in order, put together to bodies within the limit as far as single lines are."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and size + len(line) > limit:
            yield _emptied(held)
            size = 0
        held.append(line)
        size += len(line)
    if held:
        yield _emptied(held)


def _emptied(lines: list[bytes]) -> bytes:
    """The lines together: while they are written, they are not here a second time."""
    body = b"".join(lines)
    lines.clear()
    return body
