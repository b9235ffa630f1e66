"""A real process says what it waits for: a registry that gives no schema, a topic that does not exist, the brokers."""

from __future__ import annotations

import json
import shutil
import socket
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from datahub_poller.demo.registry import Interference
from support.commands import ran
from support.running import Running, Stage
from support.status_pages import address, get

FAST_METADATA = {"topic_metadata_refresh_interval_ms": 300}
REGISTRY = "source.config.connection.schema_registry_url"


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(3, "pe")
        yield stage


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def started(stage: Stage, name: str, connection: dict[str, Any]) -> Running:
    """One of several pollers on the same records, each in a group of its own."""
    changes = {f"source/config/connection/{key}": value for key, value in connection.items()}
    file = stage.directory / f"{name}.json"
    shutil.copy(stage.action({"name": f"{stage.name}-{name}", **changes}), file)
    return stage.start(file, f"{name}.log")


def test_a_registry_that_gives_no_schema_from_the_start_is_told_with_its_address_and_the_key(stage):
    for partition in range(3):
        stage.send("pe", partition, 2)
    closed = f"http://127.0.0.1:{free_port()}"
    stage.registry.interfere = lambda _: Interference(status=401, body=b'{"error_code": 401, "message": "no"}')
    pollers = {
        "closed": started(stage, "closed", {"schema_registry_url": closed.replace("//", "//reader:hunter2222@")}),
        "refused": started(stage, "refused", {}),
        "no-host": started(stage, "no-host", {"schema_registry_url": "http://no-such-host.invalid:8081"}),
    }
    said = {name: poller.wait_for("waiting for a schema") for name, poller in pollers.items()}
    for line in said.values():
        assert (line["level"], line["see"], line["schemas"]) == ("warning", REGISTRY, ["confluent schema 4"])
        assert line["partitions"] == 3
    assert f"the schema registry {closed} gives no answer" in said["closed"]["reason"]
    assert "refused" in said["closed"]["reason"]
    assert (
        f"the schema registry {stage.registry.url} answers HTTP 401: see `schema_registry_config`"
        in (said["refused"]["reason"])
    )
    assert "the schema registry http://no-such-host.invalid:8081 gives no answer" in said["no-host"]["reason"]
    assert all("hunter2222" not in poller.text() for poller in pollers.values())
    stage.registry.interfere = None
    over = pollers["refused"].wait_for("no longer waiting for a schema")
    assert over["seconds"] >= 2
    pollers["refused"].until(stage.drained, "not delivered")
    for name, poller in pollers.items():
        assert poller.stop() == 0
        assert len(poller.lines("waiting for a schema")) == 1
        assert len(poller.lines("no longer waiting for a schema")) == (name == "refused")


def test_a_topic_that_does_not_exist_is_told_until_it_does_and_when_it_is_deleted(on_kafka):
    stage = on_kafka
    stage.route("pe")
    topic = stage.topics["pe"]
    poller = stage.start(stage.action(None, **FAST_METADATA))
    line = poller.wait_for("topic does not exist yet: waiting for it", topic=topic)
    assert (line["level"], line["see"]) == ("warning", "source.config.topic_routes")
    poller.wait_for("started")
    status = poller.status_when(lambda status: status["state"] == "waiting", "it does not wait")
    assert (status["red"], status["reasons"]) == (True, [f"topic {topic} does not exist"])
    assert status["missing_topics"] == [topic]
    code, _, why = get(poller, "/readyz")
    assert (code, why) == (503, f"no partition is assigned: {topic} does not exist\n")
    assert get(poller, "/healthz")[0] == 503
    told = json.loads(ran("explain", "--json", "--port", str(address(poller)[1]), cwd=stage.directory).out)
    assert [each["why"].split(":")[0] for each in told["poller"]] == [f"Topic {topic} does not exist"]

    stage.bed.create_topic(topic, 1)
    stage.send("pe", 0, 5)
    poller.wait_for("topic exists now", topic=topic)
    poller.until(stage.drained, "not delivered")
    poller.status_when(lambda status: status["partitions"] and not status["red"], "it stays red")
    assert (get(poller, "/readyz")[0], get(poller, "/healthz")[0]) == (200, 200)

    admin = AdminClient({"bootstrap.servers": stage.bed.bootstrap})
    admin.delete_topics([topic])[topic].result(20)
    deleted = poller.status_when(lambda status: status["missing_topics"], "it does not notice")
    assert f"topic {topic} does not exist" in deleted["reasons"]
    poller.status_when(lambda status: not status["partitions"], "it keeps its partitions")
    assert get(poller, "/readyz")[0] == 503
    assert poller.stop() == 0
    assert len(poller.lines("topic does not exist yet: waiting for it")) <= 2


def test_brokers_that_do_not_answer_at_the_start_are_told(stage):
    poller = started(stage, "away", {"bootstrap": f"127.0.0.1:{free_port()}", "client_timeout_seconds": 6})
    line = poller.wait_for("kafka is in trouble")
    assert "does not answer" in line["reason"]
    status = poller.status()
    if status is not None:
        assert (status["state"], status["red"]) == ("starting", True)
    assert poller.wait() == 3


def test_a_handler_that_takes_long_to_load_is_told(stage):
    (stage.directory / "slow_handler.py").write_text(
        "import pathlib, time\n"
        "while not pathlib.Path(__file__).with_name('go').exists():\n"
        "    time.sleep(0.05)\n"
        "from recording_handler import handle\n"
    )
    poller = stage.start(stage.action({"handler/config/function": "slow_handler:handle"}))
    line = poller.wait_for("start takes long")
    assert (line["level"], line["step"]) == ("warning", "loading the handler")
    stage.release("go")
    poller.wait_for("start goes on")
    poller.wait_for("started")
    assert poller.stop() == 0
