"""A letter as a message of SQS: its body, its attributes, and what a FIFO queue orders and tells it apart by. Pure.

It must not know how much a queue takes, nor how messages are put together to requests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from datahub_poller.deadletter.letter import Letter, to_line
from datahub_poller.deadletter.plain_json import in_json
from datahub_poller.model import TopicPartition

POINTER: Final = "datahub-poller/pointer"
POINTER_VERSION: Final = 1

_ATTRIBUTE_LIMIT: Final = 256
_TYPE: Final = "String"
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUP: Final = re.compile(r"[!-~]{1,128}")
_GROUP_BEGINNING: Final = 63


class Message(NamedTuple):
    """What is sent. `name` is the letter's: action, id, redrives."""

    name: tuple[str, str, int]
    body: str
    attributes: Mapping[str, str]
    group: str
    deduplication: str

    @property
    def size(self) -> int:
        """Bytes that count against a queue's limits: the body and each attribute's name, type and value.

        Group and deduplication id are counted too, to be on the safe side.
        """
        texts = (self.body, self.group, self.deduplication, *self.attributes, *self.attributes.values())
        return sum(len(text.encode()) for text in texts) + len(_TYPE) * len(self.attributes)

    def entry(self, number: int, *, fifo: bool) -> dict[str, Any]:
        """As SendMessageBatch takes it; `number` tells it from the others of the request."""
        order = {"MessageGroupId": self.group, "MessageDeduplicationId": self.deduplication} if fifo else {}
        return {
            "Id": str(number),
            "MessageBody": self.body,
            "MessageAttributes": {
                name: {"DataType": _TYPE, "StringValue": value} for name, value in self.attributes.items()
            },
            **order,
        }


class Pointer(NamedTuple):
    """Where the line lies that is too long for a message, and what tells that it is that line."""

    bucket: str
    key: str
    sha256: str
    size: int

    def matches(self, content: bytes) -> bool:
        """Whether this is what was put there."""
        return len(content) == self.size and hashlib.sha256(content).hexdigest() == self.sha256


def pointer_to(bucket: str, key: str, content: bytes) -> Pointer:
    """A pointer to this content."""
    return Pointer(bucket, key, hashlib.sha256(content).hexdigest(), len(content))


def message(letter: Letter, pointer: Pointer | None = None) -> Message:
    """The letter's message: its line, or where that lies."""
    record, failure = letter.record, letter.failure
    body = legal(to_line(letter)) if pointer is None else pointer_body(pointer)
    name = (letter.action, letter.id, letter.past.redrives)
    about = {"action": letter.action, "stage": failure.stage, "kind": failure.kind, "letter": letter.id}
    return Message(
        name, body, {key: attribute(text) for key, text in about.items()}, group(record.tp), deduplication(name)
    )


def legal(line: bytes) -> str:
    """A line as a body, without its newline: the characters that SQS refuses and JSON need not escape are escaped.

    Control characters are escapes in JSON anyway; two remain.
    """
    text = line.decode("utf-8").removesuffix("\n")
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def attribute(text: str) -> str:
    """A text as an attribute's value: never empty, of legal characters, and short."""
    return _ILLEGAL.sub("?", text)[:_ATTRIBUTE_LIMIT] or "-"


def group(tp: TopicPartition) -> str:
    """A FIFO queue's group: the letters of a partition keep their order."""
    name = str(tp)
    if _GROUP.fullmatch(name):
        return name
    beginning = re.sub(r"[^!-~]", "_", name)[:_GROUP_BEGINNING]
    return f"{beginning}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


def deduplication(name: tuple[str, str, int]) -> str:
    """By which a FIFO queue sees that it has a letter already: the same for 5 minutes after a crash."""
    return hashlib.sha256(in_json({"letter": name})).hexdigest()


def pointer_body(pointer: Pointer) -> str:
    """A message's body that says where the letter lies."""
    place = {"bucket": pointer.bucket, "key": pointer.key, "sha256": pointer.sha256, "bytes": pointer.size}
    return in_json({"format": POINTER, "version": POINTER_VERSION, "s3": place}).decode("utf-8")


def pointer_in(body: str) -> Pointer | None:
    """The pointer that a body is; None where it is anything else."""
    try:
        found = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(found, dict) or (found.get("format"), found.get("version")) != (POINTER, POINTER_VERSION):
        return None
    match found.get("s3"):
        case {"bucket": str(bucket), "key": str(key), "sha256": str(sha256), "bytes": int(size)}:
            return Pointer(bucket, key, sha256, size)
        case _:
            return None
