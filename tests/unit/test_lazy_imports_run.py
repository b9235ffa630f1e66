"""What the daemon has imported: the client of the registry that its file names, and never what it does not use.

A handler's thread writes down the process's modules when it is told to, so that the daemon itself knows nothing of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datahub_poller.demo import samples
from support.brokers import MockBed, Sent
from support.commands import ran
from support.running import Running, Stage

OBSERVER = """
import json, os, pathlib, sys, threading, time

HERE = pathlib.Path(__file__).parent

def watch():
    while True:
        for order in HERE.glob("dump-*"):
            if (draft := order.with_name(order.name.replace("dump-", "draft-"))).exists():
                continue
            resident = next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]
            draft.write_text(json.dumps({"modules": sorted(sys.modules), "rss": int(resident)}))
            draft.rename(order.with_name(order.name.replace("dump-", "modules-")))
            order.unlink()
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()

def handle(event, context):
    with (HERE / "handled").open("a") as file:
        file.write(f"{len(event['events'])}\\n")
"""
VERSION = "0a0b0c0d-0102-0304-0506-0708090a0b0c"

AWS = {"boto3", "botocore", "aws_schema_registry", "s3transfer", "jmespath"}
CONFLUENT = {"confluent_kafka.schema_registry", "httpx", "httpx2", "httpcore", "requests", "authlib", "attr"}
FOR_PEOPLE = {"rich", "pygments", "datahub_poller.observe.render", "datahub_poller.demo", "datahub_poller.checking"}
OTHERS = {"pandas", "numpy", "pytest", "setuptools", "pkg_resources"}


@pytest.fixture
def stage(mock_bed: MockBed, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Stage]:
    mock_bed.cluster.rebalance_delay(50)
    with Stage(mock_bed, tmp_path, unique) as stage:
        (tmp_path / "observer.py").write_text(OBSERVER)
        stage.create(1, "pe")
        yield stage


def started(stage: Stage, **registry: Any) -> Running:
    """A poller that has its partition and turns."""
    keys: dict[str, Any] = {"handler/config/function": "observer:handle", "source/config/schema_registry": registry}
    poller = stage.start(stage.action(keys))
    poller.wait_for("partition assigned")
    poller.status_when(lambda status: status["state"] == "running", "it does not turn")
    return poller


def dumped(stage: Stage, poller: Running, name: str) -> dict[str, Any]:
    order, answer = stage.directory / f"dump-{name}", stage.directory / f"modules-{name}"
    order.touch()
    poller.until(answer.exists, "the modules were not written down")
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def imported(modules: list[str], unwanted: set[str]) -> set[str]:
    """Which of the unwanted there are, they or anything below them."""
    return {name for name in unwanted if any(f"{module}.".startswith(f"{name}.") for module in modules)}


def test_before_the_first_record_nothing_of_aws_is_imported_and_no_registry_asked(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    poller = started(stage)
    found = dumped(stage, poller, "idle")
    assert imported(found["modules"], AWS | FOR_PEOPLE | OTHERS) == set()
    assert stage.registry.requests == []
    record_property("resident_kib", found["rss"])
    assert found["rss"] < 120 * 1024
    assert poller.stop() == 0


def test_a_confluent_record_brings_its_client_and_nothing_of_aws(stage: Stage) -> None:
    poller = started(stage)
    stage.send("pe")
    poller.until((stage.directory / "handled").exists, "the record was not handled")
    modules = dumped(stage, poller, "handled")["modules"]
    assert imported(modules, {"confluent_kafka.schema_registry"}) != set()
    assert imported(modules, AWS | FOR_PEOPLE) == set()
    assert poller.stop() == 0


def test_a_glue_record_brings_boto3_and_nothing_of_confluents_client(stage: Stage) -> None:
    stage.registry.put_version(VERSION, samples.schema_text("PlatformEvent"))
    poller = started(stage, type="glue", endpoint=stage.registry.url, region="eu-west-1")
    assert imported(dumped(stage, poller, "idle")["modules"], CONFLUENT - {"attr"} | FOR_PEOPLE) == set()
    body = samples.entity_change(
        {
            "entityUrn": "urn:li:dataset:(urn:li:dataPlatform:hive,t,PROD)",
            "entityType": "dataset",
            "category": "TAG",
            "operation": "ADD",
            "auditStamp": {"time": 1, "actor": "urn:li:corpuser:jdoe"},
            "version": 0,
        }
    ).body
    stage.bed.produce_all([Sent(stage.topics["pe"], 0, samples.glue_frame(VERSION, body))])
    poller.until((stage.directory / "handled").exists, "the record was not handled")
    modules = dumped(stage, poller, "handled")["modules"]
    assert imported(modules, {"boto3", "aws_schema_registry"}) == {"boto3", "aws_schema_registry"}
    assert imported(modules, CONFLUENT - {"attr"} | FOR_PEOPLE) == set()
    assert poller.stop() == 0


def test_help_and_a_wrong_file_import_no_kafka_client(tmp_path: Path) -> None:
    report = "PYTHONPROFILEIMPORTTIME"
    for arguments in (["--help"], ["run", "--help"], ["run", "-c", "nowhere.yaml"]):
        done = ran(*arguments, cwd=tmp_path, environ={report: "1"})
        modules = [line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")]
        assert "click" in modules
        unwanted = AWS | CONFLUENT | FOR_PEOPLE | {"confluent_kafka", "fastavro"}
        assert imported(modules, unwanted) == set()


def test_it_starts_within_seconds(stage: Stage, record_property: Callable[[str, object], None]) -> None:
    before = time.monotonic()
    poller = started(stage)
    took = time.monotonic() - before
    record_property("seconds_to_assignment", round(took, 2))
    assert took < 15
    assert poller.stop() == 0
