"""How messages are put together to requests: in order, within what a request may hold. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from datahub_poller.deadletter.sqs_message import Message

ENTRIES: Final = 10
"""Messages in a request, at most."""

REQUEST_BYTES: Final = 2**20
"""Bytes of a request's messages, at most."""

OLD_BYTES: Final = 262_144
"""What a message, and a request, could hold before that; and a request does where the queue takes no more."""


def request_limit(message_limit: int) -> int:
    """Bytes of a request to a queue that takes messages of so many."""
    return REQUEST_BYTES if message_limit > OLD_BYTES else OLD_BYTES


def batches(messages: Iterable[Message], limit: int, *, fifo: bool) -> Iterator[list[Message]]:
    """All messages in their order, as late as they are needed.

    A request to a FIFO queue holds one message of a group: of two, the first might fail alone and come behind.
    """
    held: list[Message] = []
    size = 0
    for message in messages:
        ahead = fifo and any(each.group == message.group for each in held)
        if held and (ahead or len(held) == ENTRIES or size + message.size > limit):
            yield held
            held, size = [], 0
        held.append(message)
        size += message.size
    if held:
        yield held
