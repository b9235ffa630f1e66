"""`tail`: what it shows of a broker's topics, and that the group and the broker notice nothing of it."""

from __future__ import annotations

import json
import logging
import os
import pty
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from datahub_poller.demo import samples
from datahub_poller.demo.registry import Interference
from datahub_poller.kafka.browse import Browser
from datahub_poller.start import Earliest
from kafka.cluster import free_ports
from kafka.secure_bed import SecureStage
from support.brokers import MockBed, Sent
from support.commands import POLLER, Ran, environment, ran, started
from support.running import PLATFORM_SCHEMA, Stage

pytestmark = pytest.mark.timeout(90)
NEW = 77
CONNECTION = "source/config/connection"
TAGS_ONLY = [{"type": "event_type", "config": {"filter": {"EntityChangeEvent_v1": {"event": [{"category": "TAG"}]}}}}]


@pytest.fixture
def on_mock(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        yield stage


def tail(stage: Stage, *arguments: str, changes: dict[str, Any] | None = None) -> Ran:
    return ran("tail", "-c", str(stage.action(changes)), *arguments, cwd=stage.directory)


def follows(stage: Stage, *arguments: str) -> subprocess.Popen[str]:
    return started("tail", "-c", str(stage.action()), "--follow", *arguments, cwd=stage.directory)


def shown(done: Ran) -> list[str]:
    """`topic-partition@offset` of each line."""
    return [line.split()[1] for line in done.out.splitlines()]


def names(places) -> list[str]:
    return [str(place) for place in places]


def change(stage: Stage, number: int, category: str = "TAG", *, time_ms: int = 0, **more: Any) -> Sent:
    event = {
        "entityUrn": f"urn:li:dataset:{number}",
        "entityType": "dataset",
        "category": category,
        "operation": "ADD",
        "modifier": "urn:li:tag:gold",
        "auditStamp": {"time": 1, "actor": "urn:li:corpuser:jdoe"},
        "version": 0,
        **more,
    }
    value = samples.confluent_frame(PLATFORM_SCHEMA, samples.entity_change(event).body)
    return Sent(stage.topics["pe"], 0, value, timestamp=time_ms)


# -- what is shown


def test_it_shows_what_was_produced_a_line_for_each(stage):
    stage.create(2, "pe", "mcl")
    stage.bed.produce_all([change(stage, 1, time_ms=1_769_846_400_005)])
    places = [*stage.send("pe", 1, 3), *stage.send("mcl", 0, 2)]
    done = tail(stage)
    assert done.code == 0
    assert done.out.splitlines()[0] == (
        f"2026-01-31T08:00:00.005Z {stage.topics['pe']}-0@0 EntityChangeEvent_v1 "
        "urn:li:dataset:1 TAG ADD urn:li:tag:gold"
    )
    assert sorted(shown(done)[1:]) == sorted(names(places))
    assert sum(line.endswith(",PROD) status UPSERT") for line in done.out.splitlines()) == 2
    assert done.err == "datahub-poller: 6 shown\n"
    assert "\x1b" not in done.out


def test_topics_that_hold_nothing_end_it_at_once(stage):
    stage.create(2, "pe")
    done = tail(stage)
    assert (done.code, done.out, done.err) == (0, "", "datahub-poller: 0 shown\n")


def test_the_group_and_its_commits_stay_as_they_are(on_kafka):
    stage = on_kafka
    stage.create(2, "pe")
    stage.send("pe", 0, 5)
    poller = stage.start()
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained")
    stage.plan(hold="go")
    held = stage.send("pe", 1, 4)
    poller.until(lambda: any(call.ended is None for call in stage.recorded().calls), "no call")
    admin = AdminClient({"bootstrap.servers": stage.bed.bootstrap})

    def seen():
        group = admin.describe_consumer_groups([stage.name])[stage.name].result(20)
        members = sorted(member.member_id for member in group.members)
        return stage.committed(), members, group.state, sorted(admin.list_topics(timeout=10).topics)

    before = seen()
    done = tail(stage, "--since", "earliest")
    assert done.code == 0
    assert len(shown(done)) == 9
    assert set(names(held)) <= set(shown(done))
    assert seen() == before
    groups = [group.group_id for group in admin.list_consumer_groups().result(20).valid]
    assert [name for name in groups if name.startswith(stage.name)] == [stage.name]
    stage.release("go")
    poller.until(lambda: stage.drained() and stage.all_committed(), "the poller does not go on")
    assert poller.status_when(lambda status: status["assigned"] == 2, "partitions were taken away")
    assert len(poller.lines("partition assigned")) == 2
    assert poller.stop() == 0


def test_filters_hold_and_can_be_left_out(stage):
    stage.create(1, "pe", "mcl")
    stage.bed.produce_all([change(stage, 1), change(stage, 2, "OWNER"), change(stage, 3)])
    stage.send("mcl", 0, 2)
    filtered = tail(stage, changes={"filters": TAGS_ONLY})
    assert [line.split()[3] for line in filtered.out.splitlines()] == ["urn:li:dataset:1", "urn:li:dataset:3"]
    assert filtered.err == ("datahub-poller: 2 shown; not shown: 1 dropped by the filters (--no-filter shows them)\n")
    everything = tail(stage, "--no-filter", changes={"filters": TAGS_ONLY})
    assert len(everything.out.splitlines()) == 5
    marked = [line for line in everything.out.splitlines() if line.endswith("(dropped by the filters)")]
    assert len(marked) == 3


def test_selective_filters_are_looked_behind_for_the_newest(on_mock):
    on_mock.create(1, "pe")
    on_mock.bed.produce_all([change(on_mock, 1), *(change(on_mock, 2, "OWNER") for _ in range(100))])
    done = tail(on_mock, "--last", "1", changes={"filters": TAGS_ONLY})
    assert [line.split()[3] for line in done.out.splitlines()] == ["urn:li:dataset:1"]


def test_since_begins_at_a_time(on_kafka):
    stage = on_kafka
    stage.create(1, "pe")
    now = int(time.time() * 1000)
    hours = [now - hour * 3_600_000 for hour in (5, 3, 1)]
    stage.bed.produce_all([change(stage, number, time_ms=at) for number, at in enumerate(hours)])
    moment = datetime.fromtimestamp((now - 4 * 3_600_000) / 1000, UTC).isoformat(timespec="seconds")
    offsets = {
        since: [place.rpartition("@")[2] for place in shown(tail(stage, "--since", since))]
        for since in ("6h", moment, "2h", "10m", "earliest")
    }
    assert offsets == {"6h": ["0", "1", "2"], moment: ["1", "2"], "2h": ["2"], "10m": [], "earliest": ["0", "1", "2"]}


def test_the_newest_of_all_partitions_are_shown_by_their_time(stage):
    stage.create(2, "pe")
    times = [1_769_846_400_000 + number for number in range(8)]
    sent = [change(stage, number, time_ms=at)._replace(partition=number % 2) for number, at in enumerate(times)]
    stage.bed.produce_all(sent)
    done = tail(stage, "--last", "3")
    assert [line.split()[3] for line in done.out.splitlines()] == [f"urn:li:dataset:{number}" for number in (5, 6, 7)]


def test_a_limit_ends_it(stage):
    stage.create(1, "pe")
    places = stage.send("pe", 0, 10)
    assert shown(tail(stage, "--since", "earliest", "--limit", "4")) == names(places[:4])


def test_one_topic_may_be_chosen(stage):
    stage.create(1, "pe", "mcl")
    stage.send("pe", 0, 2)
    places = stage.send("mcl", 0, 2)
    assert shown(tail(stage, "--topic", stage.topics["mcl"])) == names(places)


def test_json_is_what_a_handler_gets(stage):
    stage.create(2, "pe", "mcl")
    stage.plan(keep=True)
    stage.send("pe", 0, 3)
    stage.send("mcl", 1, 3)
    evil = change(stage, 9, parameters={"\x1b[2J": "\u2028\x9b"}, modifier="\x1b[31m")
    stage.bed.produce_all([evil._replace(headers=[("trace", b"\xff"), ("trace", None)])])
    poller = stage.start()
    poller.until(lambda: len(stage.recorded().begun) == 7, "not delivered")
    assert poller.stop() == 0
    done = tail(stage, "--since", "earliest", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    assert "\x1b" not in done.out
    got = [envelope for call in stage.recorded().calls for envelope in call.envelopes]

    def by_id(envelopes):
        return sorted(envelopes, key=lambda each: each["meta"]["kafka"]["id"])

    assert by_id(map(json.loads, done.out.splitlines())) == by_id(got)


def test_what_cannot_be_decoded_is_shown_with_its_reason(stage):
    stage.create(1, "pe")
    stage.send("pe", 0, 1)
    stage.send_raw("pe", 0, b"{}")
    stage.send_raw("pe", 0, samples.confluent_frame(PLATFORM_SCHEMA, b"\x02\x1b[2J"))
    stage.send_raw("pe", 0, None)
    done = tail(stage)
    assert done.code == 0
    _, second, third = done.out.splitlines()
    assert f"{stage.topics['pe']}-0@1 UNDECODABLE unknown_framing: " in second
    assert "(2 bytes)" in second
    assert f"{stage.topics['pe']}-0@2 UNDECODABLE not_avro: " in third
    assert "\x1b" not in done.all
    assert done.err == "datahub-poller: 3 shown; not shown: 1 without a value\n"
    as_json = tail(stage, "--json")
    assert len(as_json.out.splitlines()) == 1
    assert [line.split()[2] for line in as_json.err.splitlines()] == ["UNDECODABLE", "UNDECODABLE"]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_on_a_terminal_it_has_colours_unless_they_are_not_wanted(on_mock, no_color):
    on_mock.create(1, "pe")
    on_mock.send("pe", 0, 1)
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [*POLLER, "tail", "-c", str(on_mock.action())],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=environment({"NO_COLOR": no_color, "TERM": "xterm"}),
            check=True,
            timeout=30,
        )
        os.close(theirs)
        said = terminal.read(4096)
    assert done.stderr == b"datahub-poller: 1 shown\n"
    assert (b"\x1b[" in said) == (no_color == "")


# -- going on, and ending


def test_it_follows_until_ctrl_c(stage):
    stage.create(2, "pe")
    before = stage.send("pe", 0, 3)
    with follows(stage, "--last", "2") as process:
        assert process.stdout is not None
        first = [process.stdout.readline().split()[1] for _ in range(2)]
        after = stage.send("pe", 1, 2)
        more = [process.stdout.readline().split()[1] for _ in range(2)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (first, more) == (names(before[1:]), names(after))
    assert (process.returncode, out, err) == (0, "", "datahub-poller: 4 shown\n")


def test_only_what_is_new_is_followed_where_nothing_else_is_asked_for(stage):
    stage.create(1, "pe")
    stage.send("pe", 0, 3)
    with follows(stage, "--last", "0", "--limit", "2") as process:
        sent: list[str] = []
        while process.poll() is None:  # when it has found its beginning is its own affair
            sent += names(stage.send("pe", 0, 1))
            time.sleep(0.1)
        out, _ = process.communicate(timeout=20)
    lines = [line.split()[1] for line in out.splitlines()]
    assert len(lines) == 2
    assert lines == sent[sent.index(lines[0]) :][:2]


@pytest.mark.parametrize("more", ["", "2>&1", "--follow"])
def test_a_reader_that_has_seen_enough_ends_it_quietly(stage, more):
    stage.create(1, "pe")
    places = stage.send("pe", 0, 2000)
    tails = f"{' '.join(POLLER)} tail -c {stage.action()} --since earliest"
    command = f"{tails} {more} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment({}), check=True, timeout=60
    )
    line, code = done.stdout.splitlines()
    assert line.split()[1] == str(places[0])
    assert (code, done.stderr) == ("0", "")


# -- what is away


def test_a_registry_that_is_away_is_told_once_and_given_up_with_a_count(stage):
    stage.create(1, "pe", "mcl")
    stage.send("pe", 0, 3, schema=NEW)
    others = stage.send("mcl", 0, 2)
    asked = f"GET /schemas/ids/{NEW}"
    stage.registry.interfere = lambda request: Interference(status=503, body=b"down") if request == asked else None
    began = time.monotonic()
    done = tail(stage, changes={f"{CONNECTION}/client_timeout_seconds": 4})
    assert time.monotonic() - began < 45
    assert done.code == 1
    assert shown(done) == names(others)
    waiting, summary, end = done.err.splitlines()
    assert waiting.startswith(
        f"datahub-poller: waiting for confluent schema {NEW}: the schema registry http://127.0.0.1"
    )
    assert "503" in waiting
    assert summary == "datahub-poller: 2 shown"
    assert "gave up after 4 s in which nothing came: 3 records of 1 partition not shown: confluent schema 77: " in end


def test_a_registry_that_comes_back_is_asked_again(stage):
    stage.create(1, "pe")
    stage.registry.stop()
    places = stage.send("pe", 0, 3)
    with started("tail", "-c", str(stage.action()), cwd=stage.directory) as process:
        assert process.stderr is not None
        assert "waiting for confluent schema 4" in process.stderr.readline()
        stage.registry.start()
        out, err = process.communicate(timeout=40)
    assert process.returncode == 0
    assert [line.split()[1] for line in out.splitlines()] == names(places)
    assert err == "datahub-poller: 3 shown\n"


def test_a_topic_that_does_not_exist_cannot_be_shown_and_is_not_made(stage):
    stage.create(1, "pe")
    stage.route("mcl")
    action = str(stage.action(allow_auto_create_topics=True))
    for _ in range(2):
        done = ran("tail", "-c", action, cwd=stage.directory)
        assert (done.code, done.out) == (3, "")
    assert done.err.startswith(
        f"datahub-poller: could not start: topic {stage.topics['mcl']}: does not exist. See source.config.topic_routes"
    )
    stage.send("pe", 0, 1)
    assert len(shown(tail(stage, "--topic", stage.topics["pe"]))) == 1


def test_where_no_broker_answers_it_says_what_run_says(on_mock):
    (port,) = free_ports(1)
    on_mock.route("pe")
    changes = {f"{CONNECTION}/bootstrap": f"127.0.0.1:{port}", f"{CONNECTION}/client_timeout_seconds": 2}
    done = tail(on_mock, changes=changes)
    assert (done.code, done.out) == (3, "")
    (line,) = done.err.splitlines()
    poller = on_mock.start(on_mock.action(changes))
    assert poller.wait() == 3
    (reason,) = [said["reason"] for said in poller.lines("could not start")]
    assert line == f"datahub-poller: could not start: {reason}"


def test_a_broker_that_goes_away_is_told_once_and_when_it_is_back(on_mock):
    on_mock.create(1, "pe")
    on_mock.send("pe", 0, 1)
    with follows(on_mock) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        on_mock.bed.cluster.down(1)
        assert process.stderr.readline().startswith(f"datahub-poller: the Kafka broker {on_mock.bed.bootstrap}: ")
        on_mock.bed.cluster.up(1)
        (place,) = on_mock.send("pe", 0, 1)
        shown = [process.stdout.readline().split()[1]]
        while shown[-1] != str(place):  # the first try may be in the log too, when its answer was what went away
            shown.append(process.stdout.readline().split()[1])
        assert process.stderr.readline() == f"datahub-poller: the Kafka broker {on_mock.bed.bootstrap} answers again\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, f"datahub-poller: {1 + len(shown)} shown\n")
    assert len(set(shown)) == len(shown)


def test_records_that_retention_takes_meanwhile_are_told(mock_bed: MockBed, unique):
    topic, said = unique("t"), []
    mock_bed.create_topic(topic, 1)
    mock_bed.produce_all([Sent(topic, 0, b"x") for _ in range(5)])
    properties = {"bootstrap.servers": mock_bed.bootstrap, "group.id": "g", **mock_bed.consumer}
    browser = Browser(properties, time.monotonic, said.append, logging.getLogger("t"))
    try:
        spans = browser.begin([topic], Earliest(), 10.0)
        assert [tuple(span) for span in spans.values()] == [(0, 5)]
        mock_bed.delete_records(topic, 0, 3)
        browser.assign({tp: span.begin for tp, span in spans.items()})
        offsets: list[int] = []
        end = time.monotonic() + 20
        while offsets[-1:] != [4] and time.monotonic() < end:
            offsets += [record.offset for record in browser.read(10, 0.1).records]
    finally:
        browser.close()
    assert offsets == [3, 4]
    assert said == [f"{topic}-0: retention deleted records before they were read: going on at 3"]


# -- who may look


@pytest.mark.xdist_group("secure-kafka")
def test_who_may_read_the_topics_may_look_without_any_right_on_a_group(secure_kafka, tmp_path: Path, unique):
    with SecureStage(secure_kafka, "SCRAM-SHA-512", tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.give("pe", group=False)
        places = stage.send("pe", 0, 3)
        done = tail(stage)
        assert (done.code, done.err) == (0, "datahub-poller: 3 shown\n")
        assert shown(done) == names(places)
        stage.take("pe")
        refused = tail(stage)
        assert (refused.code, refused.out) == (3, "")
        assert f"topic {stage.topics['pe']}: " in refused.err
        assert "READ and DESCRIBE" in refused.err


@pytest.mark.xdist_group("secure-kafka")
def test_a_token_function_beside_the_handler_is_found(secure_kafka, tmp_path: Path, unique):
    with SecureStage(secure_kafka, "OAUTHBEARER", tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.give("pe")
        stage.send("pe", 0, 3)
        assert len(shown(tail(stage))) == 3
