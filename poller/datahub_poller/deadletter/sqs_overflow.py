"""Letters that are too large for a message: their lines in S3, and the pointers that are sent in their stead.

A pointer is followed only into this bucket and below this prefix: a message may have been written by anybody.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from datahub_poller.deadletter.aws_service import Refused
from datahub_poller.deadletter.file_names import normalised
from datahub_poller.deadletter.letter import Letter, to_line
from datahub_poller.deadletter.s3_bucket import Bucket
from datahub_poller.deadletter.s3_keys import below, letter_key
from datahub_poller.deadletter.sqs_message import Message, Pointer, message, pointer_to

_REMEMBERED: Final = 1000


class NotFollowed(Exception):
    """A pointer does not lead to its letter. The text says why."""


class Overflow:
    """`wall` gives epoch seconds, `chance` a few hex digits. Putting raises Refused."""

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._wall = wall
        self._chance = chance
        self._lock = threading.Lock()
        self._unsent: dict[tuple[str, str, int], Pointer] = {}

    def put(self, letter: Letter) -> Message:
        """The letter's line goes to the bucket, its message points to it.

        While SQS refuses that message the letter is not put again: an object each time would fill the bucket.
        """
        name = (letter.action, letter.id, letter.past.redrives)
        with self._lock:
            pointer = self._unsent.get(name)
        if pointer is None:
            line = to_line(letter)
            key = letter_key(self.prefix, normalised(letter.action), self._wall(), line, self._chance())
            self.bucket.put(key, line)
            pointer = pointer_to(self.bucket.name, key, line)
            self._remember(name, pointer)
        return message(letter, pointer)

    def sent(self, name: tuple[str, str, int]) -> None:
        """The letter's message was sent, or may have been: another message must not share its object."""
        with self._lock:
            self._unsent.pop(name, None)

    def follow(self, pointer: Pointer) -> bytes:
        """The line that it points to. Raises NotFollowed."""
        address = f"s3://{pointer.bucket}/{pointer.key}"
        if not self._is_ours(pointer):
            raise NotFollowed(f"{address} is not in dead_letter.config.overflow")
        try:
            content = self.bucket.get(pointer.key)
        except Refused as error:
            raise NotFollowed(f"{address}: {self.bucket.why(error, 's3:GetObject', below(self.prefix, ''))}") from None
        if content is None:
            raise NotFollowed(f"{address} is not there")
        if not pointer.matches(content):
            raise NotFollowed(f"{address} is not what was put there")
        return content

    def delete(self, pointer: Pointer) -> None:
        """Try to delete what nothing points to any more; where that is refused it stays, to no harm."""
        if self._is_ours(pointer):
            with suppress(Refused):
                self.bucket.delete(pointer.key)

    def _is_ours(self, pointer: Pointer) -> bool:
        return pointer.bucket == self.bucket.name and pointer.key.startswith(below(self.prefix, "action="))

    def _remember(self, name: tuple[str, str, int], pointer: Pointer) -> None:
        with self._lock:
            self._unsent[name] = pointer
            if len(self._unsent) > _REMEMBERED:
                del self._unsent[next(iter(self._unsent))]
