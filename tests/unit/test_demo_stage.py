"""The demo's stage: what it writes is what the poller's parts read, and the handler example does its work."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition

from datahub_poller.demo.samples import PLATFORM_TOPIC, TIMESERIES_TOPIC, VERSIONED_TOPIC
from datahub_poller.demo.stage import Stage
from datahub_poller.demo.story import events, ownership
from datahub_poller.demo.world import table_urn


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with Stage(tmp_path_factory.mktemp("a demo: with $signs, 'quotes' and spaces")) as built:
        built.tell(40)
        built.spoil()
        built.tell(8)
        yield built


@pytest.fixture
def handler(stage, monkeypatch):
    """The handler's module, as it lies beside the action file."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("demo_handler", stage.handler_file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    stage.notebook.unlink(missing_ok=True)


def envelope(sample, offset=0):
    """A sample as a handler sees it, made without the poller."""
    event = sample.datum if sample.schema == "MetadataChangeLog" else json.loads(sample.datum["payload"]["value"])
    kafka = {"topic": sample.topic, "partition": 0, "offset": offset}
    return {"event_type": sample.event_type, "event": event, "meta": {"kafka": kafka}}


def called(handler, samples):
    records = [envelope(sample, offset) for offset, sample in enumerate(samples)]
    batch = {"action": "demo", "batch_id": "b", "attempt": 1, "events": records}
    handler.handle(batch, SimpleNamespace(aws_request_id="b/1"))


def notebook(stage):
    return [json.loads(line) for line in stage.notebook.read_text().splitlines()]


class TestHandler:
    def test_it_has_words_for_every_event_and_notes_each_call(self, handler, stage):
        samples = events(600)
        called(handler, samples)
        called(handler, samples[:1])
        first, second = notebook(stage)
        assert [len(first["told"]), len(second["told"])] == [600, 1]
        assert first["events"][5] == [samples[5].topic, 0, 5]
        assert first["error"] is None
        assert "finance.public.invoices: create datasetKey" in first["told"]
        assert not [words for words in first["told"] if "urn:" in words or "(" in words]

    def test_it_cannot_do_one_event_and_says_why(self, handler, stage):
        bad = ownership(table_urn("snowflake", "a.b.c"), handler.LEFT_THE_COMPANY[0])
        with pytest.raises(handler.NoSuchUser, match=r"zoe.nobody is to own a\.b\.c"):
            called(handler, [*events(3), bad])
        (line,) = notebook(stage)
        assert line["error"].startswith("NoSuchUser: zoe.nobody")
        assert len(line["events"]) == 4


class TestStage:
    def test_the_action_file_is_yaml_whatever_the_directorys_name(self, stage):
        action = yaml.safe_load(stage.action_file.read_text())
        assert action["options"]["failed_events_dir"] == str(stage.letters)
        assert action["source"]["config"]["connection"]["bootstrap"] == stage.bootstrap
        assert action["source"]["config"]["schema_registry"]["endpoint"] == stage.registry_url
        assert action["status"]["port"] == stage.status_port

    def test_every_record_has_a_fate_and_a_place(self, stage):
        assert Counter(stage.produced.values()) == {"deliver": 48, "fail": 1, "undecodable": 1}
        assert {topic for topic, _, _ in stage.produced} == {VERSIONED_TOPIC, TIMESERIES_TOPIC, PLATFORM_TOPIC}
        assert sum(stage.ends.values()) == 50
        assert set(stage.ends) == set(stage.partitions)

    def test_the_log_holds_what_was_produced_in_every_framing(self, stage):
        reader = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": "r", "log_level": 0})
        reader.assign([TopicPartition(topic, partition, 0) for topic, partition in stage.partitions])
        values = {}
        while len(values) < 50:
            for message in reader.consume(50, 5):
                values[message.topic(), message.partition(), message.offset()] = message.value()
        reader.close()
        assert set(values) == set(stage.produced)
        framings = Counter(value[:2] if value[0] else b"\0" for value in values.values())
        assert min(framings[it] for it in (b"\0", b"\3\0", b"\3\5")) >= 10
