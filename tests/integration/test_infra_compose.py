"""infra/docker/compose.yaml without containers: its commands as processes, on a broker of ours, and its own Kafka."""

from __future__ import annotations

import re
import runpy
import shutil
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer

from datahub_poller.demo.samples import PLATFORM_TOPIC, TIMESERIES_TOPIC, VERSIONED_TOPIC
from datahub_poller.demo.story import story
from kafka.cluster import HOST, KafkaCluster, free_ports
from kafka.listeners import CLIENT, CONTROLLER
from support.brokers import KafkaBed, MockBed, eventually
from support.commands import environment
from support.dockerfile import last, stages
from support.tether import tethered

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "infra/docker/compose.yaml").read_text())["services"]
IMAGE = stages((ROOT / "infra/docker/Dockerfile").read_text())[-1]
MOUNTED = "/etc/datahub-poller"
TOPICS = (PLATFORM_TOPIC, TIMESERIES_TOPIC, VERSIONED_TOPIC)

pytestmark = pytest.mark.timeout(120)


class ComposedKafka(KafkaCluster):
    """One node with the settings of the service `kafka`, on free ports of loopback."""

    def __init__(self, jars, directory):
        super().__init__(jars, directory)
        (self._outside,) = free_ports(1)

    @property
    def outside(self) -> str:
        """What the service publishes."""
        return f"{HOST}:{self._outside}"

    def _settings(self, node):
        mine = self._listeners[node]
        ports = {"9093": mine[CONTROLLER].bound, "19092": mine[CLIENT].bound, "9092": self._outside}
        settings = {
            # As the image's start script reads its variables.
            name.removeprefix("KAFKA_").lower().replace("_", "."): re.sub(
                r"(?:\bkafka|\blocalhost|(?<=//)):(\d+)", lambda found: f"{HOST}:{ports[found[1]]}", str(value)
            )
            for name, value in SERVICES["kafka"]["environment"].items()
            if name.startswith("KAFKA_")
        }
        settings["log.dirs"] = str(self._directory / "data")
        return "".join(f"{key}={value}\n" for key, value in settings.items())


@pytest.fixture(params=["mock", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request, tmp_path):
    """The address for the services, and a bed that looks in from outside."""
    if request.param == "mock":
        bed: MockBed = request.getfixturevalue("mock_bed")
        yield bed.bootstrap, bed
        return
    with ComposedKafka(request.getfixturevalue("kafka_jars"), tmp_path / "kafka") as cluster:
        yield cluster.bootstrap, KafkaBed(cluster.outside)


@pytest.fixture
def start(tmp_path):
    """Starts a service's command as a process, with words of it replaced; the log is a file of the service's name."""
    running = []
    mounted = shutil.copytree(ROOT / "infra/docker/compose", tmp_path / "compose")
    with (mounted / "action.yaml").open("a") as action:
        action.write(
            "dead_letter: {config: {ephemeral: accept}}\n"
        )  # the tests may run in a container, without a mount

    def start(service, *more, words=(), environ=None):
        whole = SERVICES[service]
        command = [*whole.get("entrypoint", last(IMAGE, "ENTRYPOINT").listed)]
        command += whole.get("command", last(IMAGE, "CMD").listed)
        program = {"python": [sys.executable], "datahub-poller": [sys.executable, "-m", "datahub_poller"]}[command[0]]
        replaced = [*program, *command[1:], *more]
        for old, new in ((MOUNTED, str(mounted)), *words):
            replaced = [word.replace(old, new) for word in replaced]
        with (tmp_path / service).open("wb") as output:
            process = subprocess.Popen(
                tethered(replaced),
                cwd=tmp_path,
                env=environment({**(environ or {}), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def served(log):
    eventually(lambda: "registry: http" in log.read_text(), "the registry does not serve")
    return re.search(r"http://\S+", log.read_text())[0]


def healthy(service, **words):
    _, *command = SERVICES[service]["healthcheck"]["test"]
    assert command[0] == "python"
    replaced = [sys.executable, *command[1:]]
    for old, new in words.items():
        replaced = [word.replace(old.removeprefix("_"), new) for word in replaced]
    return subprocess.run(replaced, capture_output=True, timeout=20, check=False).returncode == 0


def test_the_services_commands_bring_every_sample_to_the_handler(broker, start, tmp_path):
    bootstrap, bed = broker
    registry = start("registry", "--host", HOST, words=[("8081", "0")])
    url = served(tmp_path / "registry")
    assert healthy("registry", _8081=url.rpartition(":")[2])
    producer = start("producer", "--every", "0", words=[("kafka:19092", bootstrap)])
    hosts = {"kafka:19092": bootstrap, "http://registry:8081": url, "0.0.0.0": HOST}
    environ = {name: hosts[value] for name, value in SERVICES["poller"]["environment"].items()}
    quick = {f"KAFKA_PROPERTIES_{key.upper().replace('.', '_')}": str(value) for key, value in bed.consumer.items()}
    poller = start("poller", "--status-port", "0", environ=environ | quick)
    assert producer.wait(60) == 0, (tmp_path / "producer").read_text()
    ends = {(topic, number): end for topic in TOPICS for number, end in bed.end_offsets(topic).items()}
    assert (tmp_path / "producer").read_text() == f"{sum(ends.values())} events produced\n"
    wanted = {f"{topic}-{partition}@{offset}" for (topic, partition), end in ends.items() for offset in range(end)}
    assert len(wanted) == 300

    def told():
        return re.findall(r"^(\w+-\d+@\d+) \w+_v1 urn:li:\S", (tmp_path / "poller").read_text(), re.MULTILINE)

    eventually(lambda: set(told()) == wanted or poller.poll() is not None, "not all was delivered")
    assert poller.poll() is None, (tmp_path / "poller").read_text()[-3000:]
    poller.send_signal(signal.SIGTERM)
    assert poller.wait(30) == 0
    assert sorted(told()) == sorted(wanted)
    committed = {
        (topic, number): it.offset for topic in TOPICS for number, it in bed.committed("compose-sample", topic).items()
    }
    assert committed == {at: end for at, end in ends.items() if end}
    assert (tmp_path / "dead-letters").is_dir()
    assert not [path for path in (tmp_path / "dead-letters").rglob("*.log") if path.stat().st_size]
    registry.send_signal(signal.SIGTERM)
    assert registry.wait(10) == 0
    assert not healthy("registry", _8081=url.rpartition(":")[2])


def test_a_producer_whose_broker_refuses_says_so_and_fails(mock_bed, start, tmp_path):
    """So that `restart: on-failure` begins anew."""
    for topic in TOPICS:
        mock_bed.create_topic(topic)
        mock_bed.cluster.topic_error(topic, 29)
    producer = start("producer", "--every", "0", "--first", "20", words=[("kafka:19092", mock_bed.bootstrap)])
    assert producer.wait(60) == 1
    assert "the broker did not take 20 events: " in (tmp_path / "producer").read_text()


def test_a_refusal_that_the_client_knows_of_already_counts_as_one(mock_bed):
    mock_bed.create_topic(PLATFORM_TOPIC)
    mock_bed.cluster.topic_error(PLATFORM_TOPIC, 29)
    stand_in = runpy.run_path(str(ROOT / "infra/docker/compose/stand_in.py"))
    producer = Producer({"bootstrap.servers": mock_bed.bootstrap})
    events = [event for event in islice(story(), 100) if event.topic == PLATFORM_TOPIC][:3]
    for _ in range(2):  # the second time nothing is even sent
        with pytest.raises(SystemExit, match=r"did not take 3 events: .*TOPIC_AUTHORIZATION_FAILED"):
            stand_in["send"](producer, events)


def test_a_producer_ends_on_sigterm_between_two_events(mock_bed, start, tmp_path):
    producer = start("producer", "--first", "1", "--every", "3600", words=[("kafka:19092", mock_bed.bootstrap)])
    eventually(lambda: "1 events produced" in (tmp_path / "producer").read_text(), "nothing was produced")
    producer.terminate()
    assert producer.wait(10) == 0
