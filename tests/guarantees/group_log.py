"""The broker's own log of a group, `__consumer_offsets`, told as commits and as who held what.

Owns what the records mean together, and one reader of them. It must not know what is right or wrong for a poller.
"""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from datahub_poller.model import TopicPartition
from guarantees.group_records import (
    ASSIGNMENT,
    CLASSIC_GROUP,
    EPOCH,
    MEMBER,
    OFFSETS,
    Generation,
    Key,
    epoch_value,
    group_value,
    member_assignment,
    member_client,
    offset_value,
)
from guarantees.reading import reader, to_the_ends
from guarantees.trace import Commit, Ownership

TOPIC: Final = "__consumer_offsets"
PATIENCE: Final = 30.0
REQUEST: Final = 5.0


class GroupLog(NamedTuple):
    """All of a group's log that is still there, in the order in which it was written."""

    commits: list[Commit]
    ownerships: list[Ownership]


class Written(NamedTuple):
    """A record of the log. `at` is its time in seconds; a null value is a tombstone."""

    key: bytes
    value: bytes | None
    at: float


class Account:
    """Follows a group's records and tells of it; `topics` names the topics of known ids."""

    def __init__(self, group: str, topics: Mapping[uuid.UUID, str]) -> None:
        self.commits: list[Commit] = []
        self.ownerships: list[Ownership] = []
        self._group = group
        self._topics = dict(topics)
        self._generation: Generation | None = None
        self._epoch = 0
        self._clients: dict[str, str] = {}
        self._held: dict[str, frozenset[TopicPartition]] = {}

    def take(self, record: Written) -> None:
        """The next record of the log; other groups' are passed over."""
        key = Key.of(record.key)
        if key.group != self._group:
            return
        if key.kind in OFFSETS:
            self._offset(TopicPartition(key.rest.name(), key.rest.number("i")), record.value)
        elif key.kind == CLASSIC_GROUP:
            self._classic(None if record.value is None else group_value(record.value), record.at)
        elif key.kind == EPOCH and record.value is not None:
            self._epoch = epoch_value(record.value)
        elif key.kind in {MEMBER, ASSIGNMENT}:
            self._member(key.kind, key.rest.name(), record)

    def _offset(self, tp: TopicPartition, value: bytes | None) -> None:
        if value is None:
            return
        said = offset_value(value)
        self.commits.append(Commit(tp, said.offset, said.at, said.metadata))

    def _classic(self, new: Generation | None, at: float) -> None:
        old, self._generation = self._generation, new
        if new is None:
            return
        if old is not None:
            self.ownerships.append(Ownership(at, new.number, _united(_kept(old, new))))
        self.ownerships.append(Ownership(at, new.number, _united((each.client, each.held) for each in new.members)))

    def _member(self, kind: int, member_id: str, record: Written) -> None:
        about: dict[str, Any] = self._clients if kind == MEMBER else self._held
        if record.value is None:
            about.pop(member_id, None)
        elif kind == MEMBER:
            about[member_id] = member_client(record.value)
        else:
            about[member_id] = frozenset(self._named(each) for each in member_assignment(record.value))
        none: frozenset[TopicPartition] = frozenset()
        held = _united((client, self._held.get(member, none)) for member, client in self._clients.items())
        if not self.ownerships or self.ownerships[-1].held != held:
            self.ownerships.append(Ownership(record.at, self._epoch, held))

    def _named(self, partition: tuple[uuid.UUID, int]) -> TopicPartition:
        """A topic that is gone is known by its id alone."""
        topic_id, number = partition
        return TopicPartition(self._topics.get(topic_id, f"?{topic_id}"), number)


def _kept(old: Generation, new: Generation) -> Iterator[tuple[str, frozenset[TopicPartition]]]:
    """What the members that go on held in between of two generations.

    A member that comes with a new id had lost everything, although it may be given the same again. Where the
    number is the same, a static member has come back and nobody else took notice.
    """
    before = {each.member_id: each.held for each in old.members}
    for each in new.members:
        if each.member_id in before:
            stays = new.incremental or new.number == old.number
            yield each.client, before[each.member_id] & each.held if stays else frozenset()


def _united(held: Iterable[tuple[str, frozenset[TopicPartition]]]) -> dict[str, frozenset[TopicPartition]]:
    found: dict[str, frozenset[TopicPartition]] = {}
    for client, partitions in held:
        found[client] = found.get(client, frozenset()) | partitions
    return found


# -- the reader


def read_group(bootstrap: str, group: str, patience: float = PATIENCE) -> GroupLog:
    """Read the group's log to its end. Brokers may be on their way up; TimeoutError when they never are."""
    until = time.monotonic() + patience
    while True:
        try:
            topics = topic_ids(bootstrap, min(REQUEST, patience))
            records = list(_records(bootstrap, group, until))
        except KafkaException as error:
            if time.monotonic() > until:
                raise TimeoutError(f"{TOPIC} was not read within {patience:.0f} s: {error}") from error
            time.sleep(0.2)
        else:
            return told(group, records, topics)


def told(group: str, records: Sequence[Written], topics: Mapping[uuid.UUID, str]) -> GroupLog:
    """The group's part of the log. A topic that is gone by now has its name from the commits that name its id."""
    account = Account(group, {**topics, **committed_ids(group, records)})
    for record in records:
        account.take(record)
    return GroupLog(account.commits, account.ownerships)


def committed_ids(group: str, records: Iterable[Written]) -> dict[uuid.UUID, str]:
    """The names that topics had when the group committed offsets of them."""
    found = {}
    for record in records:
        key = Key.of(record.key)
        if key.kind in OFFSETS and key.group == group and record.value is not None:
            topic_id = offset_value(record.value).topic_id
            if topic_id is not None:
                found[topic_id] = key.rest.name()
    return found


def topic_ids(bootstrap: str, patience: float = REQUEST) -> dict[uuid.UUID, str]:
    """The names of the topics that there are."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    names = list(admin.list_topics(timeout=patience).topics)
    found = {}
    for name, future in admin.describe_topics(TopicCollection(names), request_timeout=patience).items():
        try:
            topic_id = future.result().topic_id
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            continue  # deleted since it was listed
        high, low = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
        found[uuid.UUID(bytes=struct.pack(">qq", high, low))] = name
    return found


def _records(bootstrap: str, group: str, until: float) -> Iterator[Written]:
    with reader(bootstrap) as consumer:
        described = consumer.list_topics(TOPIC, timeout=REQUEST).topics[TOPIC]
        if described.error is not None:
            raise KafkaException(described.error)
        where = KafkaPartition(TOPIC, partition_of(group, len(described.partitions)), 0)
        where.offset = consumer.get_watermark_offsets(where, timeout=REQUEST)[0]
        messages: Iterator[Any] = to_the_ends(consumer, [where], until)
        for message in messages:
            yield Written(message.key(), message.value(), message.timestamp()[1] / 1000)


def partition_of(group: str, partitions: int) -> int:
    """Where a group's records are: by Java's hash of its name."""
    code = 0
    for unit in memoryview(group.encode("utf-16-le")).cast("H"):
        code = (31 * code + unit) & 0xFFFFFFFF
    signed = code - (1 << 32) if code >= 1 << 31 else code
    return (0 if signed == -(1 << 31) else abs(signed)) % partitions
