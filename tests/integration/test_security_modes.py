"""Each way into a secured Kafka: the poller reads, delivers and commits, and tells nobody the password."""

from __future__ import annotations

import json

import pytest

from kafka.secure_bed import SecureStage
from kafka.security import MODES
from support.commands import started
from support.recorded import all_accounted_for, first_hand_outs_in_order

pytestmark = pytest.mark.xdist_group("secure-kafka")


@pytest.mark.parametrize("mode", MODES)
def test_it_reads_delivers_and_commits(mode, secure_kafka, tmp_path, unique):
    with SecureStage(secure_kafka, mode, tmp_path, unique) as stage:
        stage.create(2, "pe", "mcl")
        stage.give("pe", "mcl")
        stage.send("pe", 0, 20)
        stage.send("mcl", 1, 20)
        action = stage.action()
        check = started("check", "--json", "-c", str(action), cwd=tmp_path)
        poller = stage.start(action)
        poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
        all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
        first_hand_outs_in_order(stage.recorded())
        status = poller.status()
        assert (status["red"], status["counters"].get("commits_failed", 0)) == (False, 0)
        assert poller.stop() == 0
        checked, err = check.communicate(timeout=20)
        assert (check.returncode, err) == (0, ""), checked
        assert {each["verdict"] for each in json.loads(checked)["findings"]} == {"ok"}
        for output in (poller.text(), checked, json.dumps(status)):
            assert stage.security.password not in output
