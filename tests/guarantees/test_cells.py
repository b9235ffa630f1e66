"""The fault matrix in its short form, on a real Apache Kafka of three brokers: every oracle judges every cell."""

from __future__ import annotations

import pytest

from guarantees.cells import CELLS
from guarantees.play import play
from kafka.cluster import KafkaCluster

# One cluster for all, and so one process: what breaks a cell's brokers must not break another's.
pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("guarantees"), pytest.mark.deep]


@pytest.fixture(scope="module")
def cluster(kafka_jars, tmp_path_factory):
    with KafkaCluster(kafka_jars, tmp_path_factory.mktemp("guarantees"), 3, proxied=True, secure=True) as started:
        yield started


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_cell(cell, cluster, tmp_path, unique):
    print(f"seed {cell.seed}")
    print(play(cell, cluster, tmp_path, unique(cell.name)))
