"""DataHub's own events through a real broker, a registry over HTTP and the running poller, against DataHub Actions.

The events are made by acryl-datahub's classes, the envelopes expected are what acryl-datahub-actions makes of them.
"""

from __future__ import annotations

import itertools
import json
import uuid
import zlib

import boto3
import pytest

from datahub_poller.demo.samples import confluent_frame, glue_frame
from support.brokers import Sent
from support.moto_server import REGION, MotoServer
from support.recorded import Place, all_accounted_for, first_hand_outs_in_order
from support.running import Stage

pytestmark = pytest.mark.timeout(90)
COUNT = 250
PARTITIONS = 3
IDS = {"MetadataChangeLog": 21, "PlatformEvent": 0}  # 0 is a real id
VERSIONS = {name: str(uuid.UUID(int=2**127 + number)) for name, number in IDS.items()}


@pytest.fixture(scope="module")
def datahub():
    """Importing it takes seconds."""
    from support import datahub_events

    return datahub_events


@pytest.fixture(scope="module")
def theirs():
    """What acryl-datahub-actions hands out for an event, as JSON."""
    from integration.test_parity_datahub import theirs

    return lambda made, offset: json.loads(theirs(made, offset).as_json())


@pytest.fixture(scope="module")
def events(datahub):
    """Of every kind the same number, mixed."""
    makers = (
        datahub.entity_changes,
        datahub.relationship_changes,
        datahub.versioned_changes,
        datahub.timeseries_changes,
    )
    return [event for four in zip(*(make(COUNT, seed=6) for make in makers), strict=True) for event in four]


@pytest.fixture
def stage(bed, tmp_path, unique, datahub):
    with Stage(bed, tmp_path, unique) as stage:
        stage.create(PARTITIONS, "pe", "mcl", "mcl_timeseries")
        for name in datahub.SCHEMA_NAMES:
            stage.registry.put(IDS[name], datahub.schema_text(name))
            stage.registry.put_version(VERSIONS[name], datahub.schema_text(name))
        yield stage


def produce(stage, datahub, events, frame):
    """Where each event went."""
    routes = {datahub.PLATFORM: "pe", datahub.VERSIONED: "mcl", datahub.TIMESERIES: "mcl_timeseries"}
    sent = [
        Sent(stage.topics[routes[event.topic]], number % PARTITIONS, frame(number, event), event.key)
        for number, event in enumerate(events)
    ]
    offsets = stage.bed.produce_all(sent)
    places = [Place(each.topic, each.partition, offset) for each, offset in zip(sent, offsets, strict=True)]
    stage.produced.update(places)
    return dict(zip(places, events, strict=True))


def run_and_compare(stage, file, sent, theirs):
    stage.plan(keep=True)
    poller = stage.start(file)
    poller.until(stage.all_committed, "not all committed", 60)
    recorded = stage.recorded()
    assert not stage.letters()
    all_accounted_for(recorded, (), sent)
    first_hand_outs_in_order(recorded)
    assert recorded.times_done.total() == len(sent)
    envelopes = recorded.envelopes
    for place, event in sent.items():
        wanted, envelope = theirs(event, place.offset), envelopes[place]
        assert envelope["event_type"] == wanted["event_type"]
        assert json.dumps(envelope["event"]) == json.dumps(wanted["event"])
        kafka = envelope["meta"]["kafka"]
        assert (kafka["topic"], kafka["partition"], kafka["offset"]) == place
        assert kafka["key"] == event.key.decode()
        assert kafka["id"].endswith(f"/{place.topic}/{place.partition}/{place.offset}")
    assert len({envelope["meta"]["kafka"]["id"] for envelope in envelopes.values()}) == len(sent)
    assert poller.stop() == 0


def registry(kind, stage, endpoint=None):
    settings = {"type": kind, "timeout": "5s"}
    if kind != "confluent":
        settings |= {"region": REGION, "endpoint": stage.registry.url if endpoint is None else endpoint}
    return stage.action({"source/config/schema_registry": settings, "batch/size": 100})


def test_by_a_confluent_registry(stage, datahub, events, theirs):
    sent = produce(stage, datahub, events, lambda _, event: confluent_frame(IDS[event.schema], event.body))
    run_and_compare(stage, registry("confluent", stage), sent, theirs)
    assert sorted(stage.registry.requests) == sorted(f"GET /schemas/ids/{number}" for number in IDS.values())


def test_by_a_glue_registry_plain_and_deflated(stage, datahub, events, theirs):
    sent = produce(
        stage, datahub, events, lambda number, event: glue_frame(VERSIONS[event.schema], event.body, number % 2 == 0)
    )
    run_and_compare(stage, registry("glue", stage), sent, theirs)
    assert sorted(stage.registry.requests) == sorted(f"GetSchemaVersion {version}" for version in VERSIONS.values())


def test_while_a_registry_is_migrated_both_framings_in_one_topic(stage, datahub, events, theirs):
    def frame(number, event):
        if number % 3:
            return confluent_frame(IDS[event.schema], event.body)
        return glue_frame(VERSIONS[event.schema], event.body, compress=True)

    run_and_compare(stage, registry("auto", stage), produce(stage, datahub, events, frame), theirs)


def test_by_glue_as_moto_serves_it(stage, datahub, events, theirs, moto_server, monkeypatch, unique):
    for name, value in MotoServer.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    glue = boto3.client("glue", region_name=REGION, endpoint_url=moto_server.url)
    versions = {}
    for name in datahub.SCHEMA_NAMES:
        made = glue.create_schema(
            SchemaName=unique(name),
            DataFormat="AVRO",
            Compatibility="NONE",
            SchemaDefinition=datahub.schema_text(name),
        )
        versions[name] = made["SchemaVersionId"]
    glue.close()
    sent = produce(stage, datahub, events, lambda _, event: glue_frame(versions[event.schema], event.body))
    run_and_compare(stage, registry("glue", stage, moto_server.url), sent, theirs)


@pytest.mark.parametrize("compression", ["NONE", "ZLIB"])
def test_glue_framed_by_awss_own_java_serializer_as_datahub_uses_it(
    stage, datahub, events, theirs, glue_java, compression
):
    by_topic = sorted(events, key=lambda event: event.topic)
    values, written = [], []
    for topic, group in itertools.groupby(by_topic, key=lambda event: event.topic):
        mine = list(group)
        name = f"{stage.topics['pe']}-{topic}"
        framed = glue_java.frame(datahub.schema_text(mine[0].schema), [each.body for each in mine], name, compression)
        # Java writes maps in an order of its own: what is expected is made of the bytes that it wrote.
        bodies = [value[18:] if compression == "NONE" else zlib.decompress(value[18:]) for value in framed]
        values += framed
        written += [event._replace(body=body) for event, body in zip(mine, bodies, strict=True)]
    sent = produce(stage, datahub, written, lambda number, _: values[number])
    run_and_compare(stage, registry("glue", stage, glue_java.server.url), sent, theirs)
