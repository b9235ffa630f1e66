"""What a running poller has imported, as Python itself tells it: the daemon stays small until it needs more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from datahub_poller.demo.registry import RegistryServer
from datahub_poller.demo.samples import VERSIONED_TOPIC, confluent_frame, metadata_change_log, schema_text
from datahub_poller.errors import PollerError
from datahub_poller.observe.render import fetch_status
from support.brokers import MockBed
from support.tether import tethered

NEVER = ("aws_schema_registry", "boto3", "botocore", "rich")
AFTER_SUBSCRIBING = ("confluent_kafka.schema_registry", "httpx", "httpx2", "requests", "urllib3")
PATIENCE = 40.0


def imported(log: Path, until: str | None = None) -> set[str]:
    """The modules in the output of `python -X importtime` up to now, or up to a line that has this in it."""
    text = log.read_text(errors="replace")
    lines = (text if until is None else text[: text.index(until)]).splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def of(modules: set[str], packages: tuple[str, ...]) -> set[str]:
    return {name for name in modules if any(name == package or name.startswith(f"{package}.") for package in packages)}


def eventually(true: Callable[[], bool], process: subprocess.Popen, log: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, said(log)
        assert time.monotonic() < ends, said(log)
        time.sleep(0.05)


def said(log: Path) -> str:
    return "\n".join(line for line in log.read_text(errors="replace").splitlines() if "import time:" not in line)


def port_of(log: Path) -> int | None:
    for line in said(log).splitlines():
        if line.startswith("{") and (url := json.loads(line).get("url")):
            return int(url.rpartition(":")[2].removesuffix("/status"))
    return None


def status(log: Path) -> dict:
    port = port_of(log)
    try:
        return {} if port is None else fetch_status(port, 2.0)
    except PollerError:
        return {}


def action_file(bed: MockBed, registry: RegistryServer, folder: Path, name: str) -> Path:
    connection = {
        "bootstrap": bed.bootstrap,
        "schema_registry_url": registry.url,
        "consumer_config": bed.consumer,
    }
    action = {
        "name": name,
        "source": {"type": "kafka", "config": {"connection": connection, "start": "earliest"}},
        "handler": {"type": "python", "config": {"function": "functions:handle", "path": str(folder)}},
        "dead_letter": {"type": "file", "config": {"ephemeral": "accept"}},
        "options": {"failure_mode": "CONTINUE", "failed_events_dir": str(folder / "letters")},
        "status": {"port": 0},
        "logs": {"format": "json"},
    }
    (folder / "functions.py").write_text("def handle(event, context):\n    pass\n")
    path = folder / "action.yaml"
    path.write_text(json.dumps(action))
    return path


def test_run_with_a_confluent_registry_loads_its_client_while_it_joins_the_group_and_never_aws_or_rich(
    mock_bed: MockBed, tmp_path: Path, unique: Callable[[str], str]
):
    sample = metadata_change_log("urn:li:tag:pii", "tagProperties", {"name": "pii"})
    for topic in (VERSIONED_TOPIC, "MetadataChangeLog_Timeseries_v1", "PlatformEvent_v1"):
        mock_bed.create_topic(topic)
    log = tmp_path / "log"
    with RegistryServer() as registry, log.open("wb") as output:
        registry.put(7, schema_text("MetadataChangeLog"))
        path = action_file(mock_bed, registry, tmp_path, unique("imports"))
        command = [sys.executable, "-X", "importtime", "-m", "datahub_poller", "run", "-c", str(path)]
        process = subprocess.Popen(tethered(command), stdout=output, stderr=subprocess.STDOUT, env={**os.environ})
        try:
            eventually(lambda: len(status(log).get("partitions", [])) == 3, process, log)
            before = imported(log, until='"event":"started"')
            assert "datahub_poller.loop" in before
            assert of(before, (*NEVER, *AFTER_SUBSCRIBING)) == set()
            eventually(lambda: "confluent_kafka.schema_registry" in imported(log), process, log)
            assert registry.requests == []

            mock_bed.produce(VERSIONED_TOPIC, 0, confluent_frame(7, sample.body))
            eventually(lambda: settled(log) == 1, process, log)
            after = imported(log)
            assert "confluent_kafka.schema_registry" in after  # else this test sees nothing
            assert of(after, NEVER) == set()

            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0, said(log)
        finally:
            process.kill()
            process.wait()


def settled(log: Path) -> int:
    partitions = status(log).get("partitions", [])
    return sum(each["settled"] or 0 for each in partitions if each["topic"] == VERSIONED_TOPIC)
