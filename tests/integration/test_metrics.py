"""Metrics, health and explanations of a real poller, as Prometheus, CloudWatch, a load balancer and a person ask."""

from __future__ import annotations

import json
import shutil
import socket

import pytest

from support.commands import ran
from support.running import Running, Stage
from support.status_pages import address, get, metrics

pytestmark = pytest.mark.timeout(90)
GARBAGE = b"\xff\xfeno event at all"


def settled(stage: Stage, poller: Running) -> None:
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")


def test_the_figures_are_what_happened(stage):
    stage.create(2, "pe")
    stage.send("pe", 0, 30, poison=[7])
    stage.send("pe", 1, 12)
    stage.send_raw("pe", 1, GARBAGE)
    poller = stage.start(stage.action({"retry/attempts": 2, "retry/backoff": "10ms", "batch/size": 10}))
    poller.until(lambda: sum(stage.committed().values()) == 43, "not committed")
    # The snapshot is at most a second old.
    poller.until(lambda: metrics(poller)["committed_events_total"][()] == 43, "the commit is not counted")
    found = metrics(poller)
    calls = len(stage.recorded().calls)
    assert found["polled_events_total"][()] == 43
    assert found["filtered_out_events_total"][()] == 0
    assert (
        found["invocations_total"][()] == found["batch_size_count"][()] == found["handler_seconds_count"][()] == calls
    )
    assert found["invoked_events_total"][()] == found["batch_size_sum"][()]
    failures = [each["meta"]["failure"] for each in stage.letters()]
    letters = {(each["kind"], each["stage"]): 1 for each in failures}
    assert len(letters) == 2
    assert found["on_failure_destination_delivered_events_total"] == letters
    assert found["schema_fetches_total"][()] == 1
    assert found["rebalances_total"][()] == 1
    assert found["assigned_partitions"][()] == 2
    assert set(found["offset_lag"].values()) == set(found["lag_seconds"].values()) == {0}
    assert found["decode_seconds_total"][()] > 0
    assert found["buffered_bytes"][()] == 0
    assert found["stuck_partitions"][()] == found["red"][()] == 0


def test_it_is_ready_when_it_can_work_and_says_what_is_in_the_way(stage):
    stage.create(1, "pe")
    poller = stage.start(stage.action({"retry/attempts": 1}))
    poller.wait_for("partition assigned")
    poller.until(lambda: get(poller, "/readyz")[0] == 200, "not ready")
    letters = stage.letters_directory
    aside = letters.rename(letters.with_name("aside"))
    letters.touch()
    stage.send_raw("pe", 0, GARBAGE)
    poller.until(lambda: get(poller, "/readyz")[0] == 503, "ready without a place for its letters")
    assert get(poller, "/readyz")[2].startswith("every partition stands still: waiting sink: ")
    assert get(poller, "/livez")[0] == 200
    told = ran("explain", "--port", str(address(poller)[1]), cwd=stage.directory)
    assert told.code == 0
    (name, why, remedy) = told.out.splitlines()
    assert name == f"{stage.tp('pe')}: waiting sink"
    assert why.startswith("  Its dead letters cannot be written: ")
    assert "datahub-poller check" in remedy
    letters.unlink()
    aside.rename(letters)
    poller.until(lambda: get(poller, "/readyz")[0] == 200, "not ready again")
    assert len(stage.letters()) == 1


def test_a_stuck_partition_is_told_once_with_its_reason_and_the_stacks(stage):
    stage.create(2, "pe")
    poller = stage.start(stage.action({"status/stuck_after": "2s", "batch/window": 0, "retry/attempts": 1}))
    poller.wait_for("partition assigned", count=2)
    letters = stage.letters_directory
    shutil.move(letters, letters.with_name("aside"))
    letters.touch()
    stage.send_raw("pe", 1, GARBAGE)
    stage.send("pe", 0, 3)
    told = poller.wait_for("partition is stuck")
    assert (told["topic"], told["partition"], told["state"]) == (stage.topics["pe"], 1, "waiting_sink")
    assert told["seconds"] >= 2
    assert "dead letters cannot be written" in told["reason"]
    stacks = poller.wait_for("stacks of all threads")["stacks"]
    assert "thread poll:" in stacks
    assert "loop.py" in stacks
    assert metrics(poller)["stuck_partitions"][()] == 1
    assert metrics(poller)["seconds_since_progress"][()] >= 2
    asked = ran("explain", str(stage.tp("pe", 1)), "--json", "--port", str(address(poller)[1]), cwd=stage.directory)
    (one,) = json.loads(asked.out)["partitions"]
    assert (one["state"], one["moves"]) == ("waiting_sink", False)
    letters.unlink()
    shutil.move(letters.with_name("aside"), letters)
    poller.wait_for("partition goes on", partition=1)
    poller.until(lambda: sum(stage.committed().values()) == 4, "not committed")
    assert len(poller.lines("partition is stuck")) == len(poller.lines("stacks of all threads")) == 1


def test_explain_says_what_a_poller_does_that_has_nothing_to_do(stage, tmp_path):
    stage.create(2, "pe")
    poller = stage.start(stage.action())
    poller.wait_for("partition assigned", count=2)
    poller.status_when(lambda status: len(status["partitions"]) == 2, "not assigned")
    port = str(address(poller)[1])
    assert (
        ran("explain", "--port", port, cwd=tmp_path).out == "2 partition(s), and each has nothing to do or is at it.\n"
    )
    one = ran("explain", str(stage.tp("pe", 1)), "--port", port, cwd=tmp_path)
    assert one.out.splitlines()[0] == f"{stage.tp('pe', 1)}: idle"
    wrong = ran("explain", "nothing-7", "--port", port, cwd=tmp_path)
    assert (wrong.code, wrong.out) == (1, "")
    assert "nothing-7 is not a partition of this poller" in wrong.err
    poller.stop()
    gone = ran("explain", "--port", port, cwd=tmp_path)
    assert gone.code == 1
    assert "Is the poller running" in gone.err


def test_without_metrics_emf_standard_output_has_none(stage):
    stage.create(1, "pe")
    poller = stage.start(stage.action())
    poller.wait_for("partition assigned")
    assert poller.stop() == 0
    assert "_aws" not in poller.text()


def test_beyond_loopback_only_where_it_is_asked_for(stage):
    stage.create(1, "pe")
    poller = stage.start(stage.action({"status/host": "0.0.0.0"}))
    poller.wait_for("partition assigned")
    assert address(poller)[0] == "0.0.0.0"
    assert get(poller, "/metrics", "127.0.0.2", Host="poller.internal:8470")[0] == 200
    default = stage.start(stage.action(), "default.log")
    default.wait_for("status is served")
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", address(default)[1]), 5):
        pass
    assert get(default, "/metrics", Host="poller.internal")[0] == 403
