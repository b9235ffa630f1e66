"""A few random histories of a group's beginning on a real Apache Kafka; `make beginnings` plays more."""

from __future__ import annotations

import pytest

from guarantees.beginnings import play
from kafka.cluster import KafkaCluster

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("beginnings"), pytest.mark.deep]
SEEDS = (4, 6, 7, 11, 24)
"""Between them: every protocol, topics that come later, groups taken over, compaction, kills at the start."""


@pytest.fixture(scope="module")
def cluster(kafka_jars, tmp_path_factory):
    with KafkaCluster(kafka_jars, tmp_path_factory.mktemp("beginnings"), 1) as started:
        yield started


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_at_a_groups_beginning(seed, cluster, tmp_path, unique):
    told = play(cluster.bootstrap, tmp_path, unique("h"), seed)
    print(told)
    assert told.owed > 0
