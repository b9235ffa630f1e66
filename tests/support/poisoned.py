"""10,000 events of DataHub's classes of which 37 are poison, of every kind; and the handler that fails on them.

What is poison, and how, is by the seed. A handler reads `plan.json` beside it: the places at which it raises, and those
that it names; what it was given it writes into `calls.jsonl`, a line for each call that ends well and each event of it,
and each call as it begins into `tries.jsonl`.
"""

from __future__ import annotations

import io
import json
import random
import textwrap
import warnings
from collections import defaultdict
from typing import Any, Final, Literal, NamedTuple

import fastavro

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs, at import
    from datahub_actions.event.event_envelope import EventEnvelope
    from datahub_actions.event.event_registry import METADATA_CHANGE_LOG_EVENT_V1_TYPE
    from datahub_actions.plugin.source.kafka.kafka_event_source import (
        KafkaEventSource,
        build_kafka_meta,
        build_metadata_change_log_event,
    )

from datahub_poller.demo.samples import confluent_frame
from support.brokers import Sent
from support.datahub_events import Made, entity_changes, platform_event, schema_text, versioned_changes
from support.recorded import Place
from support.running import Stage

EVENTS: Final = 10_000
KEYS: Final = 300
PARTITIONS: Final = {"pe": 5, "mcl": 3}
SCHEMAS: Final = {"PlatformEvent": 14, "MetadataChangeLog": 12}
_PARSED: Final = {name: fastavro.parse_schema(json.loads(schema_text(name))) for name in SCHEMAS}
NOW: Final = 1_770_000_000_000
LARGE: Final = 300_000
"""Bytes of an event that no message of a queue takes, letter and all, and a topic does."""

Way = Literal["raises", "named", "undecodable", "large"]
WAYS: Final[dict[Way, int]] = {"raises": 17, "named": 12, "undecodable": 7, "large": 1}
POISON: Final = sum(WAYS.values())

HANDLER: Final = textwrap.dedent('''
    import json, os, pathlib, time

    HERE = pathlib.Path(__file__).parent

    class Unknown(ValueError):
        pass

    def handle(event, context):
        plan = json.loads((HERE / "plan.json").read_text())
        places = []
        for each in event["events"]:
            kafka = each["meta"]["kafka"]
            places.append([kafka["topic"], kafka["partition"], kafka["offset"]])
        about = {"batch": event["batch_id"], "at": time.time(), "places": places}
        with (HERE / "tries.jsonl").open("a") as file:
            file.write(json.dumps(about) + "\\n")
        bad = [place for place in places if place in plan["raises"]]
        if bad:
            raise Unknown(f"nobody knows {bad}")
        named = [place for place in places if place in plan["names"]]
        lines = [
            {"place": place, "batch": event["batch_id"], "key": each["meta"]["kafka"]["key"],
             "redrive": each["meta"].get("redrive"), "event_type": each["event_type"],
             "event": each["event"] if place in plan["keep"] else None}
            for place, each in zip(places, event["events"]) if place not in named
        ]
        with (HERE / "calls.jsonl").open("a") as file:
            file.write("".join(json.dumps(line) + "\\n" for line in lines))
        if named:
            return {"batchItemFailures": [
                {"itemIdentifier": {"partition": f"{place[0]}-{place[1]}", "offset": place[2]}} for place in named
            ]}

    def mend(letter):
        """For `--transform`: what never was an event becomes one."""
        if letter["event"] is not None:
            return {"event_type": letter["event_type"], "event": letter["event"]}
        return {"event_type": "EntityChangeEvent_v1", "event": {"mended": letter["meta"]["kafka"]["offset"]}}
''')


class Delivered(NamedTuple):
    """An event in a call that ended well, in the order of the calls."""

    place: Place
    key: str | None
    redrive: dict[str, Any] | None
    event: Any


class Try(NamedTuple):
    """A call with a record: when it began (epoch seconds), and how many events of the record's partition it held."""

    batch: str
    at: float
    events: int


class Poisoned:
    """The events, produced to the topics of a stage. `poison` says of which place it is poison in what way."""

    def __init__(self, stage: Stage, seed: int, events: int = EVENTS) -> None:
        self.stage = stage
        self.sent: dict[Place, Sent] = {}
        self.poison: dict[Place, Way] = {}
        self._chance = random.Random(seed)
        self._events = events
        for name, number in SCHEMAS.items():
            stage.registry.put(number, schema_text(name))
        (stage.directory / "poisoned_handler.py").write_text(HANDLER)

    def produce(self) -> None:
        """Make the topics, and put all of it there."""
        for route, partitions in PARTITIONS.items():
            self.stage.create(partitions, route)
        made = [*entity_changes(self._events * 4 // 5), *versioned_changes(self._events // 5)]
        self._chance.shuffle(made)
        ways = [way for way, count in WAYS.items() for _ in range(count)]
        marked = dict(zip(self._chance.sample(range(len(made)), len(ways)), ways, strict=True))
        records = [self._record(each, number, marked.get(number)) for number, each in enumerate(made)]
        offsets = self.stage.bed.produce_all(records)
        places = [Place(sent.topic, sent.partition, at) for sent, at in zip(records, offsets, strict=True)]
        self.sent = dict(zip(places, records, strict=True))
        self.poison = {places[number]: way for number, way in marked.items()}
        self.stage.produced.update(places)
        self.plan(fails=True)

    def _record(self, made: Made, number: int, way: Way | None) -> Sent:
        route = "pe" if made.schema == "PlatformEvent" else "mcl"
        key = self._chance.randrange(KEYS)
        value = confluent_frame(SCHEMAS[made.schema], made.body)
        if way == "undecodable":
            value = value[: len(value) // 2] if self._chance.random() < 0.5 else b"\x7f" + self._chance.randbytes(40)
        if way == "large":
            route, value = "pe", confluent_frame(14, platform_event("entityChangeEvent", _large()))
        headers = [("trace", str(number).encode()), ("bytes", b"\xff\x00")] if self._chance.random() < 0.3 else []
        partition = key % PARTITIONS[route]
        return Sent(self.stage.topics[route], partition, value, f"key-{key}".encode(), headers, NOW + number)

    def plan(self, *, fails: bool, at: Place | None = None) -> None:
        """What the handler does from now on; `at`: it fails there alone."""
        failing = {place: way for place, way in self.poison.items() if fails and at in {None, place}}
        plan = {
            "raises": [place for place, way in failing.items() if way in {"raises", "large"}],
            "names": [place for place, way in failing.items() if way == "named"],
            "keep": list(self.poison),
        }
        (self.stage.directory / "plan.json").write_text(json.dumps(plan))

    # -- what came out

    def delivered(self) -> list[Delivered]:
        """Since this was asked last."""
        path = self.stage.directory / "calls.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return [Delivered(Place(*line["place"]), line["key"], line["redrive"], line["event"]) for line in lines]

    def tries(self) -> dict[Place, list[Try]]:
        """Every call up to now in which there was one that is poison, and so failed, by the places of those."""
        found: dict[Place, list[Try]] = defaultdict(list)
        for line in (self.stage.directory / "tries.jsonl").read_text().splitlines():
            told = json.loads(line)
            places = [Place(*each) for each in told["places"]]
            for place in places:
                if place in self.poison:
                    events = sum(each.tp == place.tp for each in places)
                    found[place].append(Try(told["batch"], told["at"], events))
        return found


def as_datahub_reads(sent: Sent) -> tuple[str, Any]:
    """The type and the event that DataHub Actions' own source makes of a record."""
    schema = "PlatformEvent" if sent.value[4] == SCHEMAS["PlatformEvent"] else "MetadataChangeLog"
    source = io.BytesIO(sent.value[5:])
    value = fastavro.schemaless_reader(source, _PARSED[schema], None, return_record_name=True)
    message = _Message(value)
    if schema == "PlatformEvent":
        (made,) = KafkaEventSource.handle_pe(message)
    else:
        change = build_metadata_change_log_event(message)
        made = EventEnvelope(METADATA_CHANGE_LOG_EVENT_V1_TYPE, change, build_kafka_meta(message))
    return made.event_type, json.loads(made.as_json())["event"]


class _Message:
    """As Confluent's consumer hands a record out; where it stood is of no interest."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def value(self) -> Any:
        return self._value

    def topic(self) -> str:
        return "any"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0


def in_order_by_key(delivered: list[Delivered]) -> None:
    """Raises AssertionError where an event of a key came before an earlier one of it."""
    by_key: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for each in delivered:
        by_key[each.place.topic, each.key].append(each.place.offset)
    for offsets in by_key.values():
        assert offsets == sorted(offsets)


def _large() -> bytes:
    stamp = {"actor": "urn:li:corpuser:jdoe", "time": NOW}
    what = {"entityUrn": "urn:li:dataset:large", "entityType": "dataset", "category": "TAG", "operation": "ADD"}
    return json.dumps({**what, "modifier": "x" * LARGE, "auditStamp": stamp, "version": 0}).encode()
