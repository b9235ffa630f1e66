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
    Undecodable,
    Verdict,
    Waiting,
)

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
        self._leading_fields = filter.leading_fields
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
            return Skipped("filtered")
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
        key, payload = split(value, self._framing, self._inflated_limit)
        match self._schemas.get(key, now):
            case None:
                return Awaiting(key)
            case Failure() as failure:
                return Undecodable(failure)
            case reader if route == PLATFORM_EVENTS:
                datum = reader.directly(payload, datahub.PLATFORM_EVENT)
                return self._platform_event(record, reader.read(payload) if datum is None else datum)
            case reader:
                return self._metadata_change_log(record, reader, payload)

    def _metadata_change_log(self, record: Record, reader: Reader, payload: bytes) -> Verdict:
        fields = self._leading_fields
        if fields and not self._filter.leading(reader.lead(payload, fields)):
            return Skipped("filtered")
        event = reader.directly(payload, datahub.CHANGE_LOG)
        if event is None:
            event = datahub.metadata_change_log(reader.read(payload))
        return self._event(record, datahub.METADATA_CHANGE_LOG, event)

    def _platform_event(self, record: Record, datum: Mapping[str, Any]) -> Verdict:
        """The name decides before the payload is looked at."""
        event_type = datahub.platform_event_type(datum)
        if event_type is None:
            return Skipped("not_routed")
        if not self._filter.admits(event_type):
            return Skipped("filtered")
        return self._event(record, event_type, datahub.platform_event(event_type, datum))

    def _event(self, record: Record, event_type: datahub.EventType, event: dict[str, Any]) -> Verdict:
        envelope: Envelope = {"event_type": event_type, "event": event}
        if not self._filter.passes(envelope):
            return Skipped("filtered")
        envelope["meta"] = {"kafka": self._coordinates(record)}
        return Event(envelope)

    def _coordinates(self, record: Record) -> dict[str, Any]:
        (topic, partition), offset = record.tp, record.offset
        return {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp": record.timestamp,
            "timestamp_type": record.timestamp_type,
            "key": readable(record.key),
            "headers": [[name, readable(value)] for name, value in record.headers],
            "id": f"{self._cluster_id}/{topic}/{partition}/{offset}",
        }


def readable(value: bytes | None) -> str | dict[str, str] | None:
    """A key's or header's bytes in JSON: text where they are UTF-8, else `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}
