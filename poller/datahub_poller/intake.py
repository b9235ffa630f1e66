"""From a record to what becomes of it: framing, schema, leading fields, Avro, envelope, filter. Never blocks.

The poll thread's. Puts the parts of `decode` and the filter together in the order that costs least: what the
topic decides needs no bytes, and what the leading fields decide does not need the rest of the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from datahub_poller.deadletter.redriven import redrive_of
from datahub_poller.decode import datahub
from datahub_poller.decode.doubts import UNFIT, RefusedRecords, may_change
from datahub_poller.decode.framing import HEADER_LENGTHS, INFLATED_LIMIT, Framing, split
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.schemas import Answer, Schemas
from datahub_poller.errors import Poison
from datahub_poller.filters import Filter
from datahub_poller.model import (
    Awaiting,
    Event,
    Failure,
    Record,
    SchemaChange,
    SchemaKey,
    Skipped,
    TopicPartition,
    Undecodable,
    Verdict,
    Waiting,
)
from datahub_poller.record_readers import FILTERED, ReadRecord, change_log_reader, platform_event_reader

PLATFORM_EVENTS: Final = "pe"

EVENT_TYPES_OF: Final[Mapping[str, tuple[datahub.EventType, ...]]] = {
    "mcl": (datahub.METADATA_CHANGE_LOG,),
    "mcl_timeseries": (datahub.METADATA_CHANGE_LOG,),
    PLATFORM_EVENTS: (datahub.ENTITY_CHANGE, datahub.RELATIONSHIP_CHANGE),
}
"""The event types that a topic can hold, by the name of its route in DataHub's `topic_routes`."""


class Intake:
    """Reads records of the routed topics. `routes` maps a topic to its route's name."""

    def __init__(
        self,
        framing: Framing,
        routes: Mapping[str, str],
        schemas: Schemas,
        filter: Filter,  # noqa: A002 - the action file's word
        cluster_id: str,
        inflated_limit: int = INFLATED_LIMIT,
    ) -> None:
        self._framing: Framing = framing
        self._routes = routes
        self._schemas = schemas
        self._filter = filter
        self._cluster_id = cluster_id
        self._inflated_limit = inflated_limit
        self._refused = RefusedRecords()
        self._changes: list[SchemaChange] = []
        self._reads: dict[tuple[TopicPartition, Reader], ReadRecord] = {}
        # The same by partition and a value's first bytes, where these name the schema and its payload comes next.
        self._opened: dict[TopicPartition, dict[bytes, ReadRecord]] = {}
        self._possible = {topic for topic, route in routes.items() if any(map(filter.admits, EVENT_TYPES_OF[route]))}

    def read(self, record: Record, now: float) -> Verdict:
        """What the record is. Awaiting: ask again when its schema has arrived."""
        tp, _, _, _, _, value, headers = record
        opened = self._opened.get(tp)
        try:
            if opened and value and not headers and (start := HEADER_LENGTHS.get(value[0])):
                read = opened.get(value[:start])
                if read is not None:
                    return read(record, value, start)
            return _marked(self._read(record, now), record)
        except Poison as poison:
            return _undecodable(poison) if poison.kind not in UNFIT else self._unfit(record, poison, now)

    def arrived(self, done: Answer, now: float) -> None:
        """A fetch returned."""
        if (change := self._schemas.arrived(done, now)) is not None:
            self._changes.append(change)
            self._opened.clear()  # every partition looks up anew which schema goes first
            self._reads.clear()

    def changes(self) -> list[SchemaChange]:
        """Ids that name another schema, since they were last taken from here."""
        changes, self._changes = self._changes, []
        return changes

    def tick(self, now: float) -> None:
        """Start the fetches that are due."""
        self._schemas.tick(now)

    def fetching(self) -> bool:
        """Whether a schema that is not here is on its way."""
        return self._schemas.fetching()

    def asking(self) -> bool:
        """Whether any answer of a registry is soon to be expected, about an id in doubt included."""
        return self._schemas.fetching() or self._schemas.doubting()

    def waiting(self) -> Mapping[SchemaKey, Waiting]:
        """Every schema that is not here or in doubt, and why."""
        return self._schemas.waiting()

    def _read(self, record: Record, now: float) -> Verdict:
        """Raises Poison."""
        topic = record.tp.topic
        if topic not in self._routes:
            return Skipped("not_routed")
        if record.value is None:
            return Skipped("tombstone")
        if topic not in self._possible:
            return FILTERED
        key, payload = split(record.value, self._framing, self._inflated_limit, record.headers)
        match self._schemas.get(key, now):
            case None:
                return Awaiting(key)
            case Failure() as failure:
                return Undecodable(failure)
            case reader:
                read = self._reading(record.tp, reader)
                before = len(record.value) - len(payload)
                if (
                    not record.headers
                    and before == HEADER_LENGTHS.get(record.value[0])
                    and record.value[before:] == payload
                ):
                    self._opened.setdefault(record.tp, {})[record.value[:before]] = read
                return read(record, payload, 0)

    def _unfit(self, record: Record, poison: Poison, now: float) -> Verdict:
        """The schema that the registry named last refuses the bytes: the id may have named, or may name, another.

        Of those that it named before, the latest that reads the bytes whole is used. Where none does, the record
        waits until a question that was asked after it was first refused is answered.
        """
        assert record.value is not None
        key, payload = split(record.value, self._framing, self._inflated_limit, record.headers)
        if not may_change(key):
            return _undecodable(poison)
        for reader in self._schemas.others(key):
            if _fits(reader, payload):
                try:
                    return _marked(self._reading(record.tp, reader)(record, payload, 0), record)
                except Poison as another:
                    return _undecodable(another)
        question, number = self._schemas.doubt(key, now), self._refused.number(record)
        if number is None:
            self._refused.settled_by(record, question)
        elif self._schemas.settled(key, number):
            return _undecodable(poison)
        return Awaiting(key)

    def _reading(self, tp: TopicPartition, reader: Reader) -> ReadRecord:
        read = self._reads.get((tp, reader))
        if read is None:
            make = platform_event_reader if self._routes[tp.topic] == PLATFORM_EVENTS else change_log_reader
            read = self._reads[tp, reader] = make(reader, self._filter, tp, self._cluster_id)
        return read


def _undecodable(poison: Poison) -> Undecodable:
    return Undecodable(Failure("decode", poison.kind, str(poison)))


def _fits(reader: Reader, payload: bytes) -> bool:
    """Whether it reads the bytes whole. A filter alone may have looked at their beginning only."""
    try:
        reader.read(payload)
    except Poison as poison:
        return poison.kind not in UNFIT
    return True


def _marked(verdict: Verdict, record: Record) -> Verdict:
    """A record that was written to a topic from its dead letter says so in its envelope."""
    if record.headers and isinstance(verdict, Event) and (redrive := redrive_of(record.headers)) is not None:
        verdict.envelope["meta"]["redrive"] = redrive
    return verdict
