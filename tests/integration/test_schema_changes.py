"""A schema id that names another schema while the poller runs, as in GMS's own registry when DataHub is upgraded."""

from __future__ import annotations

import json
import random

import pytest

from datahub_poller.demo import samples
from datahub_poller.demo.registry import Interference, RegistryServer
from support.brokers import Sent
from support.decoding import CHANGE_LOG, STAMP, avro
from support.failure_rows import lane, settled
from support.recorded import Place
from support.running import CHANGE_LOG_SCHEMA, Stage

CHANGED = "schema has changed under its id"
OLD = samples.schema_text("MetadataChangeLog")


def upgraded() -> str:
    """The change log's schema with a nullable field more, as an upgrade of DataHub brings one."""
    schema = json.loads(OLD)
    schema["fields"].append({"name": "traceId", "type": ["null", "string"], "default": None})
    return json.dumps(schema)


NEW = upgraded()


@pytest.fixture
def stage(bed, tmp_path, unique):
    with Stage(bed, tmp_path, unique) as stage:
        stage.registry.stop()
        stage.registry = RegistryServer(style="datahub")
        stage.registry.put(CHANGE_LOG_SCHEMA, OLD)
        stage.registry.start()
        stage.create(2, "mcl")
        yield stage


def event(text: str, number: int) -> bytes:
    datum = {**CHANGE_LOG, "entityUrn": f"urn:li:dataset:{number}", "created": STAMP}
    return samples.confluent_frame(
        CHANGE_LOG_SCHEMA, avro(text, datum | ({"traceId": f"t{number}"} if text is NEW else {}))
    )


def send(stage, values, partitions=2):
    """The values over so many partitions; what they are, by place."""
    topic = stage.topics["mcl"]
    sent = [Sent(topic, number % partitions, value) for number, value in enumerate(values)]
    offsets = stage.bed.produce_all(sent)
    places = [Place(topic, each.partition, offset) for each, offset in zip(sent, offsets, strict=True)]
    stage.produced.update(places)
    return places


def delivered(stage, poller, places):
    """All of them reach the handler, and none has a letter."""
    poller.until(
        lambda: set(places) <= stage.recorded().done,
        f"{len(set(places) & stage.recorded().done)} of {len(places)} delivered",
    )
    assert stage.letters() == []


def test_an_upgrade_while_it_runs_loses_nothing_and_needs_no_restart(stage):
    poller = stage.start()
    delivered(stage, poller, send(stage, [event(OLD, number) for number in range(80)]))
    stage.registry.put(CHANGE_LOG_SCHEMA, NEW)
    delivered(stage, poller, send(stage, [event(NEW, number) for number in range(80)]))
    change = poller.wait_for(CHANGED)
    assert (change["level"], change["id"], change["came"], change["went"]) == (
        "warning",
        CHANGE_LOG_SCHEMA,
        ["traceId"],
        [],
    )
    assert len(poller.lines(CHANGED)) == 1
    status = poller.status_when(lambda status: status["counters"].get("schema_changes") == 1, "it is not counted")
    assert not status["red"]
    settled(stage, poller)
    assert poller.stop() == 0


def test_records_of_before_and_after_the_upgrade_are_read_each_by_its_own_schema(stage):
    poller = stage.start()
    delivered(stage, poller, send(stage, [event(OLD, 0), event(OLD, 1)]))
    stage.registry.put(CHANGE_LOG_SCHEMA, NEW)
    chance = random.Random(5)
    delivered(stage, poller, send(stage, [event(chance.choice((OLD, NEW)), number) for number in range(80)]))
    assert len(poller.lines(CHANGED)) == 1
    settled(stage, poller)
    assert poller.stop() == 0


def test_bad_bytes_are_letters_within_seconds_and_what_is_behind_them_goes_on(stage):
    poller = stage.start()
    delivered(stage, poller, send(stage, [event(OLD, 0), event(OLD, 1)]))
    good = [event(OLD, number) for number in range(20)]
    bad = [good[0] + b"\x00", good[1][:-9]]
    places = send(stage, [*good[:10], *bad, *good[10:]])
    settled(stage, poller, patience=15.0)
    kinds = sorted(letter["meta"]["failure"]["kind"] for letter in stage.letters())
    assert kinds == ["left_over_bytes", "not_avro"]
    assert set(stage.lettered()) == set(places[10:12])
    assert poller.lines(CHANGED) == []
    assert poller.stop() == 0


def test_a_registry_that_is_away_meanwhile_makes_no_letters(stage):
    poller = stage.start()
    delivered(stage, poller, send(stage, [event(OLD, 0), event(OLD, 1)]))
    stage.registry.put(CHANGE_LOG_SCHEMA, NEW)
    stage.registry.interfere = lambda _: Interference(status=503)
    places = send(stage, [event(NEW, number) for number in range(80)])
    places += send(stage, [event(OLD, 80)[:-9]])
    tp = stage.tp("mcl")
    status = poller.status_when(
        lambda status: lane(status, tp).get("state") == "waiting_schema" and "503" in lane(status, tp)["reason"],
        "it does not wait",
    )
    assert status["red"]
    assert lane(status, tp)["attempts"] == 0
    assert stage.letters() == []
    stage.registry.interfere = None
    poller.until(stage.drained, "not delivered")
    assert stage.lettered() == places[-1:]
    settled(stage, poller)
    assert poller.stop() == 0
