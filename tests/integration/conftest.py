"""What pollers in processes of their own are run with: a stage on either broker or on a real Apache Kafka, and AWS."""

from __future__ import annotations

import pytest

from support.on_aws import on_aws
from support.running import Stage


@pytest.fixture
def stage(bed, tmp_path, unique):
    with Stage(bed, tmp_path, unique) as stage:
        yield stage


@pytest.fixture
def on_kafka(kafka, tmp_path, unique):
    with Stage(kafka, tmp_path, unique) as stage:
        yield stage


@pytest.fixture
def aws(moto_server, monkeypatch):
    """AWS's API from the emulator, through a proxy that can be told to fail."""
    with on_aws(moto_server, monkeypatch) as found:
        yield found
