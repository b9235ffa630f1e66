"""What pollers in processes of their own are run with: a stage on either broker, or on a real Apache Kafka."""

from __future__ import annotations

import pytest

from support.running import Stage


@pytest.fixture
def stage(bed, tmp_path, unique):
    with Stage(bed, tmp_path, unique) as stage:
        yield stage


@pytest.fixture
def on_kafka(kafka, tmp_path, unique):
    with Stage(kafka, tmp_path, unique) as stage:
        yield stage
