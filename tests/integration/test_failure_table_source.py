"""What failure does, rows "authorization refused" and "offset out of range", where they meet the whole poller."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.demo.broker import NO_ERROR, TOPIC_AUTHORIZATION_FAILED
from datahub_poller.demo.registry import Interference
from datahub_poller.gaps import COMMIT_PAST_END, RETENTION
from support.failure_rows import lane, settled
from support.recorded import all_accounted_for, first_hand_outs_in_order
from support.running import Stage


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe", "mcl")
        yield stage


# -- authorization refused


def test_a_topic_that_is_refused_at_the_start_ends_it_with_the_reason(stage):
    stage.send("pe", 0, 3)
    stage.bed.cluster.topic_error(stage.topics["pe"], TOPIC_AUTHORIZATION_FAILED)
    poller = stage.start()
    assert poller.wait() == 3
    (line,) = poller.lines("could not start")
    assert f"topic {stage.topics['pe']}" in line["reason"]
    assert stage.recorded().calls == []


def test_a_topic_that_is_refused_while_it_runs_is_waited_for_red_with_the_reason_and_the_others_go_on(stage):
    stage.send("pe", 0, 3)
    stage.send("mcl", 0, 3)
    poller = stage.start(stage.action(None, topic_metadata_refresh_interval_ms=500))
    settled(stage, poller)
    stage.bed.cluster.topic_error(stage.topics["pe"], TOPIC_AUTHORIZATION_FAILED)
    status = poller.status_when(lambda status: status["red"], "it does not say so")
    assert any(stage.topics["pe"] in reason and "uthoriz" in reason for reason in status["reasons"]), status["reasons"]
    others = set(stage.send("mcl", 0, 5))
    poller.until(lambda: others <= stage.recorded().done, "the other topic does not go on")
    assert poller.exit_code is None
    stage.bed.cluster.topic_error(stage.topics["pe"], NO_ERROR)
    stage.send("pe", 0, 3)
    settled(stage, poller)
    poller.status_when(lambda status: not status["red"], "it stays red")
    assert stage.letters() == []
    assert poller.stop() == 0


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_refuses_is_waited_for_red_with_the_reason_from_the_start_on(stage, status):
    """Not fatal, even at the start: the registry is asked only when a record names a schema."""
    stage.registry.interfere = lambda _: Interference(status=status, body=b'{"message":"not you"}')
    sent = stage.send("pe", 0, 5)
    poller = stage.start()
    seen = poller.status_when(
        lambda seen: str(status) in lane(seen, sent[0].tp).get("reason", ""), "no lane waits with the reason"
    )
    assert seen["red"]
    assert any(str(status) in reason for reason in seen["reasons"])
    assert lane(seen, sent[0].tp)["state"] == "waiting_schema"
    assert not stage.recorded().calls
    assert stage.committed()[sent[0].tp] == 0
    stage.registry.interfere = None
    settled(stage, poller)
    assert stage.letters() == []
    assert poller.stop() == 0


# -- offset out of range


def with_a_gap(stage):
    """Ten records are done, the next twenty are gone, and twenty more are there; those."""
    first = stage.start()
    stage.send("pe", 0, 10)
    stage.send("mcl", 0, 10)
    settled(stage, first)
    assert first.stop() == 0
    gone, left = stage.send("pe", 0, 20), stage.send("pe", 0, 20)
    stage.bed.delete_records(stage.topics["pe"], 0, left[0].offset)
    stage.produced -= set(gone)
    return left


def goes_on_behind_the_gap(stage, left):
    """A poller with `on_gap: earliest` counts what is gone, says so as an error, and delivers the rest."""
    poller = stage.start(stage.action({"source/config/on_gap": "earliest"}))
    settled(stage, poller)
    (line,) = poller.lines(RETENTION)
    assert line["level"] == "error"
    assert (line["topic"], line["partition"]) == left[0].tp
    assert (line["position"], line["low"], line["high"], line["missing"]) == (10, 30, 50, 20)
    assert (line["committed"], line.get("read"), line["then"]) == (10, None, "reading from offset 30")
    counters = poller.status_when(lambda status: status["counters"].get("gaps"), "it is not counted")["counters"]
    assert (counters["gaps"], counters["records_missing"]) == (1, 20)
    all_accounted_for(stage.recorded(), (), stage.produced)
    first_hand_outs_in_order(stage.recorded())
    assert max(stage.recorded().times_done.values()) == 1
    assert poller.stop() == 0


def test_where_retention_was_faster_on_gap_earliest_counts_it_says_so_and_goes_on(stage):
    goes_on_behind_the_gap(stage, with_a_gap(stage))


def test_a_committed_offset_past_the_end_is_told_as_that_and_the_log_is_read_from_its_beginning(stage):
    sent = stage.send("pe", 0, 4)
    ahead = Consumer({**stage.bed.consumer, "bootstrap.servers": stage.bed.bootstrap, "group.id": stage.name})
    ahead.commit(offsets=[KafkaPartition(*sent[0].tp, 1000)], asynchronous=False)
    ahead.close()
    halted = stage.start(stage.action({"source/config/on_gap": "halt"}))
    assert halted.wait() == 1
    (line,) = halted.lines("failed")
    assert f"cannot be read from 1000: {COMMIT_PAST_END}; the log holds 0 to 4 (on_gap: halt)" in line["reason"]
    assert halted.lines(COMMIT_PAST_END)[0]["then"] == "stopping"
    poller = stage.start()
    settled(stage, poller)
    (line,) = poller.lines(COMMIT_PAST_END)
    assert (line["level"], line["committed"], line["low"], line["high"]) == ("error", 1000, 0, 4)
    assert "missing" not in line
    assert poller.lines(RETENTION) == []
    all_accounted_for(stage.recorded(), (), stage.produced)
    assert poller.stop() == 0


def test_where_retention_was_faster_on_gap_halt_ends_with_1_and_commits_nothing_past_it(stage):
    left = with_a_gap(stage)
    calls = len(stage.recorded().calls)
    for _ in range(2):
        poller = stage.start(stage.action({"source/config/on_gap": "halt"}))
        assert poller.wait() == 1
        assert poller.lines(RETENTION)[0]["missing"] == 20
        (line,) = poller.lines("failed")
        assert (
            f"{left[0].tp} cannot be read from 10: {RETENTION}; the log holds 30 to 50 (on_gap: halt)" in line["reason"]
        )
        assert stage.committed()[left[0].tp] == 10
    assert len(stage.recorded().calls) == calls
    goes_on_behind_the_gap(stage, left)
