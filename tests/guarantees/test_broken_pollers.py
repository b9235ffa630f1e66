"""Pollers that are broken on purpose: the oracle that is there for it catches each, on a real broker."""

from __future__ import annotations

import re

import pytest

from guarantees import churn, oracles
from guarantees.broken import BROKEN
from guarantees.field import Field
from guarantees.setting import Setting
from guarantees.traffic import Mix
from kafka.cluster import KafkaCluster

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("broken-pollers"), pytest.mark.deep]
EVENTS = 1500


@pytest.fixture(scope="module")
def cluster(kafka_jars, tmp_path_factory):
    with KafkaCluster(kafka_jars, tmp_path_factory.mktemp("broken"), 1, proxied=True) as started:
        yield started


def trace_of(cluster, directory, name, environ, patience=5.0):
    """A rolling restart and a kill under traffic; what is not drained then is not waited for long."""
    setting = Setting(total=EVENTS, rate=300, mix=Mix(0.01, 0.01), size=20, members=2)
    with Field(cluster, directory, name, 5, setting) as field:
        field.environ = environ
        field.plan(sleep=[0.1, 0.2])  # so that there is a backlog to do wrong things with
        field.start_all()
        field.traffic.start()
        field.progress()
        churn.rolling_restart(field, field.chance)
        churn.kill(field, field.chance)
        field.traffic.finish()
        field.plan()
        try:
            field.drain(patience)
        except AssertionError as error:
            print(f"not drained: {error}")
        for slot in field.processes.running():
            field.processes.kill(slot)
        return field.trace()


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_the_oracle_for_it_catches(name, cluster, tmp_path, unique):
    for number in range(3):  # where a machine is slow, all is done before partitions move, and nothing comes to light
        directory = tmp_path / str(number)
        directory.mkdir()
        accused = accused_in(trace_of(cluster, directory, unique(name), {"BROKEN": name}))
        print(f"{name}: {sorted(accused)}")
        if BROKEN[name].oracle in accused:
            return
    raise AssertionError(f"{name}: {BROKEN[name].oracle} saw nothing in three runs")


def accused_in(trace):
    """The names of the oracles that accuse."""
    try:
        oracles.judge(trace)
    except AssertionError as error:
        return set(re.findall(r"\b(" + "|".join(oracles.ORACLES) + r")\b", str(error)))
    return set()


def test_the_same_run_of_a_whole_poller_is_acquitted(cluster, tmp_path, unique):
    print(oracles.judge(trace_of(cluster, tmp_path, unique("whole"), {}, patience=60.0)))


def test_every_oracle_has_a_broken_poller():
    assert {broken.oracle for broken in BROKEN.values()} == set(oracles.ORACLES)
