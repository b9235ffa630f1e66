"""The broker goes away under a running poller and comes back: it waits, says so, and loses nothing."""

from __future__ import annotations

import random

import pytest

from support.brokers import KafkaBed
from support.recorded import all_accounted_for, commits_not_ahead, first_hand_outs_in_order
from support.running import Stage
from support.traffic import EAGER, Traffic

pytestmark = pytest.mark.timeout(90)


def settled(stage, poller):
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed", 60)


def test_a_broker_that_is_killed_and_comes_back_under_load(new_kafka, tmp_path, unique):
    cluster = new_kafka(1)
    with Stage(KafkaBed(cluster.bootstrap), tmp_path, unique) as stage:
        stage.create(3, "pe", "mcl", "mcl_timeseries")
        stage.plan(sleep=[0.0, 0.05])
        poller = stage.start(stage.action({"batch/concurrency": 2}, **EAGER))
        traffic = Traffic(stage, random.Random(3), 3)
        traffic.start()
        poller.until(lambda: len(stage.recorded().done) > 200, "nothing is delivered")
        traffic.end()
        cluster.kill(1)
        status = poller.status_when(lambda status: status["red"], "it does not say so")
        assert any("kafka" in reason or "commit" in reason for reason in status["reasons"]), status["reasons"]
        assert poller.exit_code is None
        cluster.restart(1)
        commits_not_ahead(stage.committed(), stage.recorded(), stage.lettered(), stage.produced)
        for partition in range(3):
            stage.send("pe", partition, 10)
        settled(stage, poller)
        poller.status_when(lambda status: not status["red"], "it stays red")
        recorded, letters = stage.recorded(), stage.lettered()
        all_accounted_for(recorded, letters, stage.produced)
        first_hand_outs_in_order(recorded)
        assert set(letters) == stage.poison
        assert poller.stop() == 0


def test_a_broker_that_is_away_while_the_poller_stops_does_not_hold_it_up(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.plan(hold="go")
        poller = stage.start(stage.action({"shutdown/deadline": "4s"}))
        stage.send("pe", 0, 5)
        poller.until(lambda: stage.recorded().calls, "no call")
        mock_bed.cluster.down(1)
        stage.release("go")
        poller.until(lambda: stage.recorded().done, "the call does not end")
        assert poller.stop(patience=4 + 12) == 0  # what was settled could not be committed, and comes again
        mock_bed.cluster.up(1)
        again = stage.start()
        settled(stage, again)
        assert again.stop() == 0
