"""That the recording of calls hears everything: an emulator in another process, a proxy that never passes on."""

from __future__ import annotations

import uuid

import boto3
import pytest

from datahub_poller.decode.glue import GlueRegistry
from datahub_poller.errors import SchemaNotFound, Transient
from datahub_poller.model import SchemaKey
from support import recorded_calls
from support.faulting_proxy import FaultingProxy
from support.moto_server import REGION, MotoServer
from support.policies import Call
from support.recorded_calls import NOBODY, POLLER, Asked, Recording, read

ASKED = Call("glue:GetSchemaVersion", "*")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A recording of its own, in this process and in those that it starts."""
    made = tmp_path / "recorded"
    made.mkdir()
    monkeypatch.setenv(recorded_calls.VARIABLE, str(made))
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "here")
    own = Recording(made, "here")
    monkeypatch.setattr(recorded_calls, "recording", lambda: own)
    for name, value in MotoServer.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return made


def test_the_pollers_calls_are_heard_and_nobody_elses(directory, tmp_path):
    key = SchemaKey("glue", str(uuid.uuid4()))
    with MotoServer(tmp_path) as moto, FaultingProxy(moto.url) as proxy:
        boto3.client("glue", region_name=REGION, endpoint_url=moto.url).list_registries()
        assert read(directory) == []
        recorded_calls.recording().test_begins("one")
        with pytest.raises(SchemaNotFound):
            GlueRegistry(REGION, moto.url).fetch(key)
        recorded_calls.recording().test_begins("two")
        proxy.fault("cut")
        with pytest.raises(Transient):
            GlueRegistry(REGION, proxy.url).fetch(key)
    assert sorted(read(directory)) == [Asked("one", POLLER, ASKED), Asked("two", POLLER, ASKED)]


def test_a_client_of_ours_that_does_not_say_who_it_is_is_heard_where_nobody_else_asks(directory, tmp_path):
    with MotoServer(tmp_path) as moto, FaultingProxy(moto.url) as proxy:
        recorded_calls.recording().test_begins("one")
        boto3.client("glue", region_name=REGION, endpoint_url=proxy.url).list_registries()
    assert read(directory) == [Asked("one", NOBODY, Call("glue:ListRegistries", "*"))]
