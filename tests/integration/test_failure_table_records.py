"""What failure does, rows "no Avro, no JSON, field missing", "schema id unknown" and "too large", on the wire."""

from __future__ import annotations

import json
import time

import pytest

from datahub_poller.demo import samples
from datahub_poller.demo.registry import RegistryServer
from support import outcomes
from support.brokers import Sent
from support.decoding import CHANGE_LOG_ID, CHANGE_LOG_UUID, PLATFORM_ID, change_log
from support.failure_rows import lane, settled
from support.letters import record_of
from support.moto_server import REGION
from support.recorded import Place, first_hand_outs_in_order
from support.running import CHANGE_LOG_SCHEMA, PLATFORM_SCHEMA, Stage

NO_RECORD_ID, NEW = 98, 77
DEAD = "dead letter: "


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe", "mcl")
        yield stage


def poison_rows():
    """Every undecodable record of the README's table, but for the one that depends on the action file."""
    rows = [row for row in outcomes.rows() if row.outcome.startswith(DEAD)]
    kinds = {row.outcome.removeprefix(DEAD) for row in rows}
    assert {"not_avro", "payload_not_json", "missing_field", "wrong_framing"} <= kinds
    unusable = samples.confluent_frame(NO_RECORD_ID, b"\x02a")
    return [
        row._replace(value=unusable) if row.outcome == f"{DEAD}unusable_schema" else row
        for row in rows
        if row.outcome != f"{DEAD}wrong_framing"
    ]


def test_each_record_that_is_no_event_becomes_a_letter_with_its_raw_bytes_and_the_others_go_on(stage):
    assert (CHANGE_LOG_ID, PLATFORM_ID) == (CHANGE_LOG_SCHEMA, PLATFORM_SCHEMA)
    stage.registry.put(outcomes.OTHER_ID, outcomes.OTHER_SCHEMA)
    stage.registry.put(outcomes.UNION_ID, outcomes.UNION_SCHEMA)
    stage.registry.put(NO_RECORD_ID, json.dumps({"type": "string"}))
    routes = {samples.VERSIONED_TOPIC: "mcl", samples.PLATFORM_TOPIC: "pe"}
    wanted = {}
    for row in poison_rows():
        route = routes[row.topic]
        stage.send(route, 0, 1)
        sent = Sent(stage.topics[route], 0, row.value, b"key of " + row.what.encode(), row.headers)
        (offset,) = stage.bed.produce_all([sent])
        wanted[Place(sent.topic, 0, offset)] = row, sent
        stage.send(route, 0, 1)
    good = set(stage.produced)
    stage.produced |= wanted.keys()
    registries = {"type": "auto", "timeout": "5s", "region": REGION, "endpoint": stage.registry.url}
    poller = stage.start(stage.action({"source/config/schema_registry": registries}))
    settled(stage, poller)
    assert stage.recorded().begun == stage.recorded().done == good
    assert sorted(stage.lettered()) == sorted(wanted)
    for letter, place in zip(stage.letters(), stage.lettered(), strict=True):
        row, sent = wanted[place]
        meta, record = letter["meta"], record_of(letter)
        assert (meta["failure"]["stage"], meta["failure"]["kind"]) == ("decode", row.outcome.removeprefix(DEAD)), row
        assert (record.value, record.key, record.headers) == (sent.value, sent.key, tuple(sent.headers)), row.what
        assert (meta["attempts"], meta["batch_id"], letter["event"]) == (0, None, None)
    first_hand_outs_in_order(stage.recorded())
    assert poller.stop() == 0


def test_a_batch_of_nothing_but_undecodable_records_invokes_nothing(stage):
    value = samples.glue_frame(CHANGE_LOG_UUID, change_log())
    places = [stage.send_raw("mcl", 0, value) for _ in range(12)]
    stage.produced.update(places)
    poller = stage.start()
    settled(stage, poller)
    assert stage.lettered() == places
    assert {letter["meta"]["failure"]["kind"] for letter in stage.letters()} == {"wrong_framing"}
    assert stage.recorded().calls == []
    status = poller.status_when(lambda status: status["counters"].get("dead_letters") == 12, "they are not counted")
    assert "invocations" not in status["counters"]
    assert poller.stop() == 0


# -- too large


def test_calls_are_split_by_bytes_before_they_are_made_and_a_record_larger_than_that_goes_alone(stage):
    """A Python handler takes events of any size; what a sink does not take is the sinks' tests'."""
    tp = stage.tp("mcl")
    sizes = [700, 700, 700, 700, 9000, 700, 700, 700]
    values = [
        samples.confluent_frame(
            CHANGE_LOG_SCHEMA, change_log(aspect={"value": b'"' + b"x" * size + b'"', "contentType": "text/plain"})
        )
        for size in sizes
    ]
    offsets = stage.bed.produce_all([Sent(tp.topic, 0, value) for value in values])
    stage.produced.update(Place(*tp, offset) for offset in offsets)
    poller = stage.start(stage.action({"batch": {"size": 100, "bytes": "2KiB", "window": "1s"}}))
    settled(stage, poller)
    calls = [[place.offset for place in call.places] for call in stage.recorded().calls]
    assert calls == [[0, 1], [2, 3], [4], [5, 6], [7]]
    assert stage.letters() == []
    assert poller.stop() == 0


# -- schema id unknown


@pytest.mark.timeout(120)
def test_an_unknown_schema_id_waits_for_half_a_minute_then_is_undecodable_and_a_wrong_registry_drains_nothing(
    stage, unique
):
    """The whole half minute, for two actions: one asks the registry that knows other ids, one asks a wrong one."""
    asked: list[float] = []
    stage.registry.interfere = lambda request: asked.append(time.monotonic()) if str(NEW) in request else None
    before, unknown, behind = stage.send("pe", 0, 5), stage.send("pe", 0, 3, schema=NEW), stage.send("pe", 0, 5)
    stage.send("mcl", 0, 5)
    other = unique("other")
    with RegistryServer() as wrong:
        mistaken = stage.action({"name": other, "source/config/connection/schema_registry_url": wrong.url})
        mistaken = mistaken.rename(stage.directory / "mistaken.json")
        poller, second = stage.start(), stage.start(mistaken, "mistaken.log")
        poller.until(lambda: asked, "not asked for")
        status = poller.status_when(
            lambda status: lane(status, unknown[0].tp).get("state") == "waiting_schema", "the lane does not wait"
        )
        assert status["red"]
        poller.until(lambda: set(before) <= stage.recorded().done, "what stands before it is not delivered")
        while time.monotonic() < asked[0] + 20.0:
            assert stage.letters() == []
            assert stage.committed()[unknown[0].tp] <= unknown[0].offset
            status = poller.status_when(lambda status: lane(status, unknown[0].tp), "no status")
            assert lane(status, unknown[0].tp)["attempts"] == 0
            others = set(stage.send("mcl", 0, 2))
            poller.until(lambda others=others: others <= stage.recorded().done, "the other lane does not go on")
            assert not stage.recorded().begun & {*unknown, *behind}
            time.sleep(2.0)
        settled(stage, poller)
        assert time.monotonic() >= asked[0] + 30.0
        assert stage.lettered() == unknown
        assert {letter["meta"]["failure"]["kind"] for letter in stage.letters()} == {"unknown_schema_id"}
        assert set(behind) <= stage.recorded().done
        poller.status_when(lambda status: not status["red"], "it stays red")
        # The wrong registry has said "not found" for as long, and about every id.
        status = second.status_when(lambda status: status["red"], "the other is not red")
        assert {each["state"] for each in status["partitions"]} == {"waiting_schema"}
        assert {call.pid for call in stage.recorded().calls} == {poller.pid}
        for topic in (stage.topics["pe"], stage.topics["mcl"]):
            assert {each.offset for each in stage.bed.committed(other, topic).values()} <= {0}
        assert (poller.stop(), second.stop()) == (0, 0)
