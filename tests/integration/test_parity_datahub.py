"""The poller's envelopes and filter verdicts against what acryl-datahub-actions makes of the same bytes."""

from __future__ import annotations

import io
import json
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fastavro
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from datahub_actions.event.event_envelope import EventEnvelope
    from datahub_actions.event.event_registry import METADATA_CHANGE_LOG_EVENT_V1_TYPE, MetadataChangeLogEvent
    from datahub_actions.plugin.filter.event_type_filter import EventTypeFilter
    from datahub_actions.plugin.source.kafka.kafka_event_source import (
        KafkaEventSource,
        build_kafka_meta,
        build_metadata_change_log_event,
    )
    from datahub_actions.plugin.transform.filter.filter_transformer import FilterTransformer

    from support import datahub_events as made

from datahub_poller.decode.datahub import metadata_change_log
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.schemas import Schemas
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.filters import compile_filters
from datahub_poller.intake import Intake
from datahub_poller.model import Event, Record, Skipped, TopicPartition, Undecodable, Verdict
from datahub_poller.workers import Done

COUNT = 1_200
IDS = {"MetadataChangeLog": 2, "PlatformEvent": 4}
ROUTES = {made.VERSIONED: "mcl", made.TIMESERIES: "mcl_timeseries", made.PLATFORM: "pe"}
KINDS: dict[str, Callable[..., Iterator[made.Made]]] = {
    "entity changes": made.entity_changes,
    "relationship changes": made.relationship_changes,
    "versioned change logs": made.versioned_changes,
    "timeseries change logs": made.timeseries_changes,
}


# -- theirs


class Message:
    """What Confluent's consumer would hand to DataHub Actions: a record in a union is a pair of name and dict."""

    def __init__(self, event: made.Made, offset: int) -> None:
        self._event = event
        self._offset = offset
        source = io.BytesIO(event.body)
        self._value = fastavro.schemaless_reader(source, PARSED[event.schema], None, return_record_name=True)
        assert not source.read()

    def value(self) -> Any:
        return self._value

    def topic(self) -> str:
        return self._event.topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


PARSED = {name: fastavro.parse_schema(json.loads(made.schema_text(name))) for name in made.SCHEMA_NAMES}


def theirs(event: made.Made, offset: int = 0) -> EventEnvelope | None:
    """DataHub Actions' envelope; None where it yields nothing. Raises what it raises."""
    message = Message(event, offset)
    if event.topic == made.PLATFORM:
        return next(iter(KafkaEventSource.handle_pe(message)), None)
    change = build_metadata_change_log_event(message)
    return EventEnvelope(METADATA_CHANGE_LOG_EVENT_V1_TYPE, change, build_kafka_meta(message))


def theirs_passes(envelope: EventEnvelope, filters: Sequence[Any], legacy: Any) -> bool:
    for each in filters:
        if not EventTypeFilter.create(each["config"], None).matches(envelope):
            return False
    return legacy is None or FilterTransformer.create(legacy, None).transform(envelope) is not None


# -- ours


class AtOnce:
    """Schemas fetched on the spot, so that the second read finds them."""

    def __init__(self) -> None:
        self.done: list[Done] = []

    def fetch(self, key: Any) -> FetchedSchema:
        return FetchedSchema(made.schema_text(next(name for name, number in IDS.items() if number == key.id)))

    ask_again = fetch

    def reach(self) -> str:
        return "here"

    def submit(self, ticket: Any, work: Callable[[], Reader]) -> None:
        self.done.append(Done(ticket, work(), None))


def intake(filters: Sequence[Any] = (), legacy: Any = None) -> Intake:
    registry = AtOnce()
    schemas = Schemas({"confluent": registry}, registry.submit)
    whole = Intake("confluent", ROUTES, schemas, compile_filters(filters, legacy), "test-cluster")
    for name in IDS:
        topic = made.PLATFORM if name == "PlatformEvent" else made.VERSIONED
        read(whole, made.Made(topic, b"", b"", name))
    for done in registry.done:
        whole.arrived(done, 0.0)
    return whole


def read(whole: Intake, event: made.Made, offset: int = 0) -> Verdict:
    value = b"\x00" + IDS[event.schema].to_bytes(4, "big") + event.body
    record = Record(TopicPartition(event.topic, 0), offset, 1, "create", event.key, value, ())
    return whole.read(record, 0.0)


def ours(whole: Intake, event: made.Made, offset: int = 0) -> Any:
    verdict = read(whole, event, offset)
    assert isinstance(verdict, Event), verdict
    return verdict.envelope


# -- the comparison


@pytest.mark.parametrize("kind", KINDS)
def test_envelopes_equal_what_datahub_actions_writes_as_json(kind: str) -> None:
    whole = intake()
    seen: set[str] = set()
    for offset, event in enumerate(KINDS[kind](COUNT)):
        envelope = ours(whole, event, offset)
        expected = theirs(event, offset)
        assert expected is not None
        wanted = json.loads(expected.as_json())
        assert envelope["event_type"] == wanted["event_type"]
        assert json.dumps(envelope["event"]) == json.dumps(wanted["event"])  # the order of the keys, too
        assert wanted["meta"]["kafka"].items() <= envelope["meta"]["kafka"].items()
        seen |= envelope["event"].keys()
        known = {field.name for field in expected.event.RECORD_SCHEMA.fields}
    never = {"auditHeader"} | ({"previousAspectValue", "previousSystemMetadata"} if "time" in kind else set())
    assert known - seen <= never, "DataHub's classes have fields that the poller drops"


@pytest.mark.parametrize("kind", [made.versioned_changes, made.timeseries_changes])
def test_with_an_audit_header_which_datahub_cannot_show_the_rest_is_the_same(kind: Any) -> None:
    whole = intake()
    for bare, headed in zip(kind(200), kind(200, audit_headers=True), strict=True):
        assert bare.schema == headed.schema
        shown = theirs(headed)
        assert shown is not None
        with pytest.raises(TypeError, match="bytes is not JSON"):
            shown.as_json()
        message_id = shown.event.auditHeader.messageId
        shown.event.auditHeader = None
        event = ours(whole, headed)["event"]
        header = event.pop("auditHeader")
        assert json.dumps(event) == json.dumps(json.loads(shown.as_json())["event"])
        assert header["messageId"] == message_id.hex()
        assert header.keys() >= {"time", "server", "appName", "messageId"}
        assert None not in header.values()


def older(schema: dict[str, Any]) -> None:
    """A schema from before some fields were added."""
    gone = {"headers", "lastRunId", "aspectCreated", "aspectModified", "schemaVersion"}
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in gone]
    system = next(field["type"][1] for field in schema["fields"] if field["name"] == "systemMetadata")
    stamp = next(f["type"][1] for f in system["fields"] if f["name"] == "aspectCreated")
    system["fields"] = [field for field in system["fields"] if field["name"] not in gone]
    next(field for field in schema["fields"] if field["name"] == "created")["type"][1] = stamp


def newer(schema: dict[str, Any]) -> None:
    """A schema with fields that today's classes do not have, in front, in the middle and at the end."""
    extra = {"name": "x", "type": ["null", "string"], "default": None}
    more = {"name": "y", "type": {"type": "map", "values": "long"}, "default": {}}
    schema["fields"] = [extra, *schema["fields"][:5], more, *schema["fields"][5:], {**extra, "name": "z"}]


@pytest.mark.parametrize("change", [older, newer])
def test_other_versions_of_the_change_logs_schema_read_the_same(change: Callable[[dict[str, Any]], None]) -> None:
    schema = json.loads(made.schema_text("MetadataChangeLog"))
    change(schema)
    reader = Reader(FetchedSchema(json.dumps(schema)))
    parsed = fastavro.parse_schema(schema)
    for event in made.versioned_changes(300):
        datum = fastavro.schemaless_reader(io.BytesIO(event.body), PARSED[event.schema], None)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, {"x": "new", "y": {"a": 1}, **datum})
        paired = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), parsed, None, return_record_name=True)
        wanted = MetadataChangeLogEvent.from_class(made.models.MetadataChangeLogClass.from_obj(paired, tuples=True))
        assert json.dumps(metadata_change_log(reader.read(out.getvalue()))) == json.dumps(wanted.to_obj())


def every_kind(count: int) -> list[made.Made]:
    return [event for make in KINDS.values() for event in make(count, seed=77)]


def event_type_filter(wanted: Any) -> dict[str, Any]:
    return {"type": "event_type", "config": {"filter": wanted}}


MCL, ECE, RCE = "MetadataChangeLogEvent_v1", "EntityChangeEvent_v1", "RelationshipChangeEvent_v1"
FILTERS: dict[str, tuple[list[Any], Any]] = {
    "nothing": ([], None),
    "empty": ([event_type_filter({})], None),
    "one type": ([event_type_filter({ECE: None})], None),
    "an empty body": ([event_type_filter({MCL: {}, RCE: {"event": []}})], None),
    "leading fields": (
        [event_type_filter({MCL: {"event": [{"aspectName": ["status", "operation"]}, {"changeType": "DELETE"}]}})],
        None,
    ),
    "null matches absent": ([event_type_filter({MCL: {"event": [{"aspectName": None}, {"entityUrn": None}]}})], None),
    "into the aspect": ([event_type_filter({MCL: {"event": [{"aspect": {"value": {"removed": True}}}]}})], None),
    "leading and more": (
        [event_type_filter({MCL: {"event": [{"aspectName": "status", "aspect": {"value": {"removed": False}}}]}})],
        None,
    ),
    "a nested map": (
        [event_type_filter({MCL: {"event": [{"systemMetadata": {"lastRunId": "no-run-id-provided"}}]}})],
        None,
    ),
    "parameters": (
        [
            event_type_filter(
                {ECE: {"event": [{"parameters": {"nullable": 1}}, {"parameters": {"status": ["ACTIVE"]}}]}}
            )
        ],
        None,
    ),
    "text is no bool": ([event_type_filter({ECE: {"event": [{"parameters": {"nullable": "true"}}]}})], None),
    "relationships": ([event_type_filter({RCE: {"event": [{"operation": ["ADD", "REMOVE"], "via": None}]}})], None),
    "two items": (
        [event_type_filter({ECE: None, RCE: None}), event_type_filter({ECE: {"event": [{"category": "TAG"}]}})],
        None,
    ),
    "legacy": ([], {"event_type": ECE, "event": {"category": ["TAG", "OWNER"], "operation": "ADD"}}),
    "legacy list": ([], {"event_type": [ECE, MCL], "event": {"entityType": "dataset"}}),
    "both": ([event_type_filter({MCL: None})], {"event_type": MCL, "event": {"changeType": ["UPSERT", "CREATE"]}}),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filter_verdicts_equal_those_of_datahub_actions(name: str) -> None:
    filters, legacy = FILTERS[name]
    whole = intake(filters, legacy)
    passed = 0
    events = every_kind(400)
    for event in events:
        envelope = theirs(event)
        assert envelope is not None
        wanted = theirs_passes(envelope, filters, legacy)
        assert isinstance(read(whole, event), Event if wanted else Skipped)
        passed += wanted
    assert name in ("nothing", "empty", "text is no bool") or 0 < passed < len(events)


# -- strange payloads: wherever DataHub Actions has an event, so has the poller, and the same one


def mutated(chance: random.Random, body: dict[str, Any]) -> Any:
    """The body with one thing wrong or odd somewhere."""
    values: list[Any] = [None, "", "text", 0, 7, -1, 2**31, 2**63, 1.5, True, [], ["a"], {}, {"a": "b"}, {"a": None}]
    values += [{"string": "tagged"}, {"map": "x"}, {"time": 1, "actor": "a"}, float("nan"), 2**70]
    where = chance.choice([body] + [value for value in body.values() if isinstance(value, dict)])
    key = chance.choice([*where, "auditHeader", "via", "modifier", "properties"])
    match chance.randrange(3):
        case 0:
            where.pop(key, None)
        case 1:
            where[key] = chance.choice(values)
        case _:
            where[chance.choice(["com.linkedin.common.Urn", "new", "parameters"])] = chance.choice(values)
    return body if chance.random() < 0.98 else chance.choice(values)


def null_where_required(body: Any) -> bool:
    """DataHub's classes invent "" or 0 for a null in a required field; the poller calls the field missing."""
    names = {"entityType", "entityUrn", "category", "operation", "auditStamp", "version", "time", "actor"}
    names |= {"sourceUrn", "destinationUrn", "relationshipType"}
    stamp = body.get("auditStamp")
    inner = stamp.items() if isinstance(stamp, dict) else ()
    return any(value is None and name in names for name, value in [*body.items(), *inner])


@pytest.mark.parametrize("name", ["entityChangeEvent", "relationshipChangeEvent"])
def test_a_strange_payload_is_what_datahub_actions_makes_of_it_or_undecodable(name: str) -> None:
    chance = random.Random(name)
    maker = made._Maker(5)
    whole = intake()
    agreed = refused = 0
    for index in range(4 * COUNT):
        fresh = maker.entity_change(index) if name == "entityChangeEvent" else maker.relationship_change().to_obj()
        body = mutated(chance, json.loads(json.dumps(fresh)))
        payload = json.dumps(body, ensure_ascii=False).encode(
            chance.choice(["utf-8"] * 30 + ["utf-8-sig", "utf-16-le"])
        )
        event = made.Made(made.PLATFORM, b"", made.platform_event(name, payload), "PlatformEvent")
        verdict = read(whole, event)
        try:
            shown = theirs(event)
            assert shown is not None
            wanted = json.loads(shown.as_json())["event"]
        except Exception:
            refused += isinstance(verdict, Undecodable)
            continue
        if null_where_required(body):
            assert isinstance(verdict, Undecodable)
            assert verdict.failure.kind == "missing_field"
            continue
        assert isinstance(verdict, Event), (verdict, body)
        assert json.dumps(verdict.envelope["event"]) == json.dumps(wanted)
        agreed += 1
    assert agreed > COUNT
    assert refused > COUNT / 10
