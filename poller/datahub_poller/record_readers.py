"""How the records of one partition and one schema are read: a function each, made once and called for every record.

From the payload's bytes to the envelope, with the filter in between as early as it can decide. What can be known of
a partition and a schema beforehand is looked up here, so that no record pays for it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from datahub_poller.decode import datahub
from datahub_poller.decode.reader import Reader
from datahub_poller.filters import Filter
from datahub_poller.model import Event, Record, Skipped, TopicPartition, Verdict

ReadRecord = Callable[[Record, bytes, int], Verdict]
"""Reads the Avro bytes of a record's value, from a position on. Raises Poison."""

FILTERED: Final = Skipped("filtered")
MET_LIMIT: Final = 4096
"""How many values of the leading fields are remembered for a partition."""
URN_BEGINS: Final = "urn:li:"


def change_log_reader(reader: Reader, admit: Filter, tp: TopicPartition, cluster_id: str) -> ReadRecord:
    """Of metadata change logs."""
    datum_of = reader.in_one_go(datahub.CHANGE_LOG)
    coordinates = coordinates_of(tp, cluster_id)
    passes = None if admit.everything else admit.check_of(datahub.METADATA_CHANGE_LOG)

    def read(record: Record, source: bytes, start: int) -> Verdict:
        datum = datum_of(source, start)
        event = datahub.metadata_change_log(reader.read(source, start)) if datum is None else datum
        if passes is not None and not passes(event):
            return FILTERED
        meta = {"kafka": coordinates(record)}
        return Event({"event_type": datahub.METADATA_CHANGE_LOG, "event": event, "meta": meta})

    early = admit.leading_fields and reader.leads
    return _filtered_early(read, reader, admit) if early else read


def _filtered_early(read: ReadRecord, reader: Reader, admit: Filter) -> ReadRecord:
    """The rest of a record is not looked at where its first fields decide, and have been met before.

    Where they have not, bytes of another schema may have been misread: what is dropped is read whole, and raises
    Poison if it does not fit. URNs are too many to be remembered: they are known by how all of them begin.
    """
    fields, leading, lead = admit.leading_fields, admit.leading, reader.lead
    met: dict[tuple[Any, ...], bool] = {}

    def met_first(values: tuple[Any, ...], passes: bool, source: bytes, start: int) -> bool:
        if not passes:
            reader.read(source, start)
        if len(met) >= MET_LIMIT:
            del met[next(iter(met))]
        met[values] = passes
        return passes

    def read_if(record: Record, source: bytes, start: int) -> Verdict:
        found = lead(source, fields, start)
        values = tuple(found.values())
        try:
            passes = met.get(values)
            if passes is None:
                passes = met_first(values, leading(found), source, start)
        except TypeError:  # a schema that has lists or maps there: no event of DataHub's
            passes = leading(found)
        return read(record, source, start) if passes else FILTERED

    def read_if_urn(record: Record, source: bytes, start: int) -> Verdict:
        found = lead(source, fields, start)
        if leading(found):
            return read(record, source, start)
        urn = found.get("entityUrn")
        if urn.__class__ is not str or urn[:7] != URN_BEGINS:
            reader.read(source, start)
        return FILTERED

    return read_if_urn if "entityUrn" in fields else read_if


def platform_event_reader(reader: Reader, admit: Filter, tp: TopicPartition, cluster_id: str) -> ReadRecord:
    """Of platform events: the name decides before the payload is looked at."""
    datum_of = reader.in_one_go(datahub.PLATFORM_EVENT)
    coordinates = coordinates_of(tp, cluster_id)
    kinds = (datahub.ENTITY_CHANGE, datahub.RELATIONSHIP_CHANGE)
    checks = {kind: admit.check_of(kind) for kind in kinds if admit.admits(kind)}

    def read(record: Record, source: bytes, start: int) -> Verdict:
        datum: Mapping[str, Any] | None = datum_of(source, start)
        if datum is None:
            datum = reader.read(source, start)
        event_type = datahub.platform_event_type(datum)
        if event_type is None:
            return Skipped("not_routed")
        if event_type not in checks:
            return FILTERED
        event = datahub.platform_event(event_type, datum)
        if not admit.everything and not checks[event_type](event):
            return FILTERED
        return Event({"event_type": event_type, "event": event, "meta": {"kafka": coordinates(record)}})

    return read


def coordinates_of(tp: TopicPartition, cluster_id: str) -> Callable[[Record], dict[str, Any]]:
    """Gives the envelope's `meta.kafka` of the partition's records."""
    topic, partition = tp
    prefix = f"{cluster_id}/{topic}/{partition}/"

    def coordinates(record: Record) -> dict[str, Any]:
        _, offset, timestamp, timestamp_type, key, _, headers = record
        try:
            text: Any = None if key is None else key.decode()
        except UnicodeDecodeError:
            text = readable(key)
        return {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp": timestamp,
            "timestamp_type": timestamp_type,
            "key": text,
            "headers": [[name, readable(value)] for name, value in headers] if headers else [],
            "id": f"{prefix}{offset}",
        }

    return coordinates


def readable(value: bytes | None) -> str | dict[str, str] | None:
    """A key's or header's bytes in JSON: text where they are UTF-8, else `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}
