"""The records of `__consumer_offsets` as Apache Kafka 4.x writes them, of classic groups and of KIP-848's.

Pure decoding. The schemas are in the broker's own jar, `kafka-group-coordinator`, under common/message. It must not
know what the records mean together.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from datahub_poller.model import TopicPartition

# A record's kind is the first number of its key.
OFFSETS: Final = (0, 1)
CLASSIC_GROUP, EPOCH, MEMBER, ASSIGNMENT = 2, 3, 5, 8
TOPIC_ID_TAG: Final = 0

Item = TypeVar("Item")
Ids = frozenset[tuple[uuid.UUID, int]]


class Bytes:
    """Kafka's primitive types, one after the other. In flexible versions lengths are varints, and tags may follow."""

    def __init__(self, data: bytes, flexible: bool = False) -> None:
        self._data = data
        self._at = 0
        self.flexible = flexible

    def number(self, kind: str) -> int:
        """By struct's letter: b, h, i, q."""
        (found,) = struct.unpack_from(f">{kind}", self._data, self._at)
        self._at += struct.calcsize(kind)
        return int(found)

    def varint(self) -> int:
        """Unsigned."""
        found = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
            shift += 7

    def raw(self, size: int) -> bytes:
        """So many bytes. ValueError where there are fewer."""
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise ValueError(f"{size} bytes wanted at {self._at} of {len(self._data)}")
        self._at += size
        return found

    def sized(self, length: str = "i") -> bytes | None:
        """None for null."""
        size = self.varint() - 1 if self.flexible else self.number(length)
        return None if size < 0 else self.raw(size)

    def text(self) -> str | None:
        """None for null."""
        found = self.sized("h")
        return None if found is None else found.decode()

    def name(self) -> str:
        """Text that is not null."""
        found = self.text()
        if found is None:
            raise ValueError("null where a name is due")
        return found

    def array(self, item: Callable[[], Item]) -> list[Item]:
        """Empty for null."""
        size = self.varint() - 1 if self.flexible else self.number("i")
        return [item() for _ in range(size)]

    def tags(self) -> dict[int, bytes]:
        """The tagged fields at a structure's end, by number."""
        if not self.flexible:
            return {}
        found = {}
        for _ in range(self.varint()):
            tag = self.varint()
            found[tag] = self.raw(self.varint())
        return found


class Key(NamedTuple):
    """A record's key: what kind it is of, whose it is, and what else it names."""

    kind: int
    group: str
    rest: Bytes

    @classmethod
    def of(cls, key: bytes) -> Key:
        rest = Bytes(key)
        return cls(rest.number("h"), rest.name(), rest)


def _versioned(value: bytes, last: int, flexible_from: int) -> tuple[int, Bytes]:
    """A value's version and what follows it. A version that nobody has looked at is an error."""
    version = Bytes(value).number("h")
    if not 0 <= version <= last:
        raise ValueError(f"a value of version {version}; known are 0 to {last}")
    return version, Bytes(value[2:], version >= flexible_from)


class Offset(NamedTuple):
    """OffsetCommitValue. `topic_id` is None before version 4."""

    offset: int
    metadata: str
    at: float
    topic_id: uuid.UUID | None


def offset_value(value: bytes) -> Offset:
    """Decoded."""
    version, data = _versioned(value, 4, 4)
    offset = data.number("q")
    if version >= 3:
        data.number("i")  # leaderEpoch
    metadata, at = data.name(), data.number("q") / 1000
    if version == 1:
        data.number("q")  # expireTimestamp
    topic_id = data.tags().get(TOPIC_ID_TAG)
    return Offset(offset, metadata, at, None if topic_id is None else uuid.UUID(bytes=topic_id))


class ClassicMember(NamedTuple):
    """A member of a generation."""

    member_id: str
    instance_id: str | None
    client: str
    held: frozenset[TopicPartition]


class Generation(NamedTuple):
    """GroupMetadataValue. `protocol` is the assignor's name, None where nobody is left."""

    number: int
    protocol: str | None
    members: tuple[ClassicMember, ...]

    @property
    def incremental(self) -> bool:
        """Whether its members keep what stays theirs; all others give up everything before each generation."""
        return self.protocol is not None and self.protocol.startswith("cooperative")


def group_value(value: bytes) -> Generation:
    """Decoded."""
    version, data = _versioned(value, 4, 4)
    data.name()  # protocolType
    number, protocol = data.number("i"), data.text()
    data.text()  # leader
    if version >= 2:
        data.number("q")  # currentStateTimestamp

    def member() -> ClassicMember:
        member_id = data.name()
        instance_id = data.text() if version >= 3 else None
        client = data.name()
        data.name()  # clientHost
        if version >= 1:
            data.number("i")  # rebalanceTimeout
        data.number("i")  # sessionTimeout
        data.sized()  # subscription
        held = assignment(data.sized() or b"")
        data.tags()
        return ClassicMember(member_id, instance_id, client, held)

    return Generation(number, protocol, tuple(data.array(member)))


def assignment(value: bytes) -> frozenset[TopicPartition]:
    """ConsumerProtocolAssignment of any version; empty bytes are what a member has before it was given anything."""
    if not value:
        return frozenset()
    data = Bytes(value[2:])
    by_topic = data.array(lambda: (data.name(), data.array(lambda: data.number("i"))))
    return frozenset(TopicPartition(topic, number) for topic, numbers in by_topic for number in numbers)


def member_client(value: bytes) -> str:
    """The client.id in a ConsumerGroupMemberMetadataValue."""
    _, data = _versioned(value, 0, 0)
    data.text()  # instanceId
    data.text()  # rackId
    return data.name()


def member_assignment(value: bytes) -> Ids:
    """What a ConsumerGroupCurrentMemberAssignmentValue says is the member's, what it has yet to give up included."""
    _, data = _versioned(value, 0, 0)
    data.number("i")  # memberEpoch
    data.number("i")  # previousMemberEpoch
    data.number("b")  # state

    def partitions() -> list[tuple[uuid.UUID, int]]:
        topic_id = uuid.UUID(bytes=data.raw(16))
        found = [(topic_id, number) for number in data.array(lambda: data.number("i"))]
        data.tags()
        return found

    both = data.array(partitions) + data.array(partitions)
    return frozenset(each for found in both for each in found)


def epoch_value(value: bytes) -> int:
    """The group's epoch in a ConsumerGroupMetadataValue."""
    return _versioned(value, 0, 0)[1].number("i")
