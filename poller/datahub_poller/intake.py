"""From a record to what becomes of it: framing, schema, leading fields, Avro, envelope, filter. Never blocks.

The poll thread's. Puts the parts of `decode` and the filter together in the order that costs least: what the
topic decides needs no bytes, and what the leading fields decide does not need the rest of the record.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from datahub_poller.decode import datahub
from datahub_poller.decode.framing import INFLATED_LIMIT, Framing, split
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.schemas import Answer, Schemas
from datahub_poller.errors import Poison
from datahub_poller.filters import Filter
from datahub_poller.model import (
    Awaiting,
    Envelope,
    Event,
    Failure,
    Record,
    SchemaKey,
    Skipped,
    TopicPartition,
    Undecodable,
    Verdict,
    Waiting,
)

PLATFORM_EVENTS: Final = "pe"
_CONFLUENT_HEADER: Final = 5
_GLUE: Final = b"\x03"
_GLUE_HEADER: Final = 18
_FILTERED: Final = Skipped("filtered")

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
        self._leading_fields = filter.leading_fields
        # Readers by the bytes before an uncompressed payload, of those that were here when one was taken apart.
        self._known: dict[bytes, Reader] = {}
        self._id_prefixes: dict[TopicPartition, str] = {}
        self._possible = {topic for topic, route in routes.items() if any(map(filter.admits, EVENT_TYPES_OF[route]))}

    def read(self, record: Record, now: float) -> Verdict:
        """What the record is. Awaiting: ask again when its schema has arrived."""
        topic = record.tp.topic
        route = self._routes.get(topic)
        if route is None:
            return Skipped("not_routed")
        if record.value is None:
            return Skipped("tombstone")
        if topic not in self._possible:
            return _FILTERED
        try:
            return self._read(record, record.value, route, now)
        except Poison as poison:
            return Undecodable(Failure("decode", poison.kind, str(poison)))

    def arrived(self, done: Answer, now: float) -> None:
        """A fetch returned."""
        self._schemas.arrived(done, now)

    def tick(self, now: float) -> None:
        """Start the fetches that are due."""
        self._schemas.tick(now)

    def fetching(self) -> bool:
        """Whether a fetch is on its way."""
        return self._schemas.fetching()

    def waiting(self) -> Mapping[SchemaKey, Waiting]:
        """Every schema that is not here, and why."""
        return self._schemas.waiting()

    def _read(self, record: Record, value: bytes, route: str, now: float) -> Verdict:
        header = value[: _GLUE_HEADER if value[:1] == _GLUE else _CONFLUENT_HEADER]
        known = None if record.headers else self._known.get(header)
        if known is not None:
            return self._decoded(record, route, known, value, len(header))
        key, payload = split(value, self._framing, self._inflated_limit, record.headers)
        match self._schemas.get(key, now):
            case None:
                return Awaiting(key)
            case Failure() as failure:
                return Undecodable(failure)
            case reader:
                if not record.headers and payload == value[len(header) :]:
                    self._known[header] = reader
                return self._decoded(record, route, reader, payload, 0)

    def _decoded(self, record: Record, route: str, reader: Reader, source: bytes, start: int) -> Verdict:
        if route == PLATFORM_EVENTS:
            return self._platform_event(record, reader, source, start)
        return self._metadata_change_log(record, reader, source, start)

    def _metadata_change_log(self, record: Record, reader: Reader, source: bytes, start: int) -> Verdict:
        fields = self._leading_fields
        if fields and not self._filter.leading(reader.lead(source, fields, start)):
            return _FILTERED
        event = reader.directly(source, datahub.CHANGE_LOG, start)
        if event is None:
            event = datahub.metadata_change_log(reader.read(source, start))
        return self._event(record, datahub.METADATA_CHANGE_LOG, event)

    def _platform_event(self, record: Record, reader: Reader, source: bytes, start: int) -> Verdict:
        """The name decides before the payload is looked at."""
        datum: Mapping[str, Any] | None = reader.directly(source, datahub.PLATFORM_EVENT, start)
        if datum is None:
            datum = reader.read(source, start)
        event_type = datahub.platform_event_type(datum)
        if event_type is None:
            return Skipped("not_routed")
        if not self._filter.admits(event_type):
            return _FILTERED
        return self._event(record, event_type, datahub.platform_event(event_type, datum))

    def _event(self, record: Record, event_type: datahub.EventType, event: dict[str, Any]) -> Verdict:
        envelope: Envelope = {"event_type": event_type, "event": event}
        if not self._filter.passes(envelope):
            return _FILTERED
        envelope["meta"] = {"kafka": self._coordinates(record)}
        return Event(envelope)

    def _coordinates(self, record: Record) -> dict[str, Any]:
        tp, offset, timestamp, timestamp_type, key, _, headers = record
        prefix = self._id_prefixes.get(tp)
        if prefix is None:
            prefix = self._id_prefixes[tp] = f"{self._cluster_id}/{tp.topic}/{tp.partition}/"
        return {
            "topic": tp.topic,
            "partition": tp.partition,
            "offset": offset,
            "timestamp": timestamp,
            "timestamp_type": timestamp_type,
            "key": readable(key),
            "headers": [[name, readable(value)] for name, value in headers] if headers else [],
            "id": prefix + str(offset),
        }


def readable(value: bytes | None) -> str | dict[str, str] | None:
    """A key's or header's bytes in JSON: text where they are UTF-8, else `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}
