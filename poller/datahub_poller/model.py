"""The values that travel through the poller: records, what reading one gives, failures.

Pure: no I/O, no clock, no Kafka client. Offsets always mean "the next to read" unless a name says
`offset` of a record, which is that record's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Envelope = dict[str, Any]
"""One event as a handler sees it: `event_type`, `event` and `meta` in plain JSON types."""

Headers = tuple[tuple[str, bytes | None], ...]
"""A record's headers in their order; names may repeat and a value may be null."""

Stage = Literal["decode", "filter", "handler", "size", "operator"]
"""Where a record failed; `operator`: a person gave it up."""

STACK_LIMIT = 8_000
MESSAGE_LIMIT = 2_000
RESPONSE_LIMIT = 4_000


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class Record(NamedTuple):
    """One Kafka record as it was read. `timestamp` is in milliseconds since the epoch, -1 if there is none."""

    tp: TopicPartition
    offset: int
    timestamp: int
    timestamp_type: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """Bytes of key, value and headers: what counts against the buffer."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers) if self.headers else 0
        return len(self.key or b"") + len(self.value or b"") + headers

    def __str__(self) -> str:
        return f"{self.tp.topic}-{self.tp.partition}@{self.offset}"


class Message(NamedTuple):
    """What is to be produced: its key decides the partition, its time is that of producing."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class SchemaKey(NamedTuple):
    """A writer schema's name on the wire: Confluent's integer (0 is a real one) or GUID, or Glue's version UUID.

    GUIDs and UUIDs are texts in small letters, as uuid.UUID writes them.
    """

    registry: Literal["confluent", "glue"]
    id: int | str

    def __str__(self) -> str:
        return f"{self.registry} schema {self.id}"


class Waiting(NamedTuple):
    """A schema that is not here yet. `since` is monotonic; `tries` counts questions, the open one included."""

    since: float
    reason: str
    tries: int


class SchemaChange(NamedTuple):
    """The registry has named another schema for an id. Fields are named by their paths."""

    key: SchemaKey
    name: str
    came: tuple[str, ...]
    went: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{word}: {', '.join(fields)}" for word, fields in self.fields().items() if fields]
        return f"{self.key} has changed under its id ({self.name}): {'; '.join(parts) or 'its fields are the same'}"

    def fields(self) -> dict[str, list[str]]:
        """For the log."""
        return {"came": list(self.came), "went": list(self.went), "changed": list(self.changed)}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record failed, bounded in size. `kind` is the name of the error's class.

    `response` is what the handler answered, as JSON where it is that, if it answered.
    """

    stage: Stage
    kind: str
    message: str
    stack: str = ""
    response: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", self.message[:MESSAGE_LIMIT])
        object.__setattr__(self, "stack", self.stack[-STACK_LIMIT:])
        object.__setattr__(self, "response", self.response[:RESPONSE_LIMIT])

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


# What reading a record gives. Reading is decoding and filtering; it never blocks.


@dataclass(slots=True)  # not frozen: there is one for every event, and that costs as much as the rest of it
class Event:
    """The record is an event that the filters let through."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Skipped:
    """The record settles without being handed out: filtered, a tombstone, or of a kind that is not routed."""

    reason: Literal["filtered", "tombstone", "not_routed"]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """The record's bytes are no event and never will be."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A person gave the record up, whatever it is: there is a letter, and no way back."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Awaiting:
    """The record's writer schema is not here yet; a fetch has been asked for."""

    key: SchemaKey


Verdict = Event | Skipped | Undecodable | Awaiting | GivenUp


class Answer(NamedTuple):
    """What became of an operator's order, in words; `unclear`: it was none that could be understood."""

    obeyed: bool
    said: str
    unclear: bool = False
