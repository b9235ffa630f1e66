"""infra/dead-letters/topic.sh, with Apache Kafka's own tool on a real broker, and used wrongly."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from support.jars import UnavailableError, resolve
from support.templates import INFRA

pytestmark = [pytest.mark.timeout(90)]
POM = Path(__file__).parents[1] / "kafka" / "tools" / "pom.xml"
SCRIPT = INFRA / "dead-letters" / "topic.sh"
REQUIRED = ["--bootstrap", "b:1", "--topic", "t", "--partitions", "3"]


def ran(*words, **environ):
    return subprocess.run(
        ["sh", str(SCRIPT), *words],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def tool(kafka_jars, tmp_path):
    """kafka-topics.sh as a download of Kafka has it: a class of its jars."""
    try:
        jars = resolve("kafka-tools", POM)
    except UnavailableError as reason:
        pytest.skip(f"not run: Kafka's command line tools ({reason})")
    java = shutil.which("java")
    path = tmp_path / "kafka-topics.sh"
    path.write_text(f'#!/bin/sh\nexec {java} -cp "{jars}/*" org.apache.kafka.tools.TopicCommand "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_the_topic_is_made_once_with_room_for_letters_and_time(kafka, tool, unique):
    topic = unique("letters")
    words = ["--bootstrap", kafka.bootstrap, "--topic", topic, "--partitions", "4", "--replicas", "1", "--days", "7"]
    for _ in range(2):
        done = ran(*words, KAFKA_TOPICS=tool)
        assert done.returncode == 0, done.stderr
    assert kafka.partitions(topic) == [0, 1, 2, 3]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    found = {name: entry.value for name, entry in answer.result(10).items()}
    assert found["retention.ms"] == str(7 * 86_400_000)
    assert found["min.insync.replicas"] == "1"
    assert found["cleanup.policy"] == "delete"
    assert int(found["max.message.bytes"]) == 10 * 2**20


def test_a_dry_run_prints_the_command_and_runs_nothing(tmp_path):
    (tmp_path / "iam.properties").write_text("security.protocol=SASL_SSL\n")
    done = ran("--dry-run", *REQUIRED, "--command-config", str(tmp_path / "iam.properties"))
    assert done.returncode == 0
    words = shlex.split(done.stdout)
    assert words[0] == "kafka-topics.sh"
    assert words[words.index("--replication-factor") + 1] == "3"
    assert "min.insync.replicas=2" in words
    assert words[words.index("--command-config") + 1].endswith("iam.properties")


def test_msk_serverless_is_told_only_what_it_lets_one_say():
    """https://docs.aws.amazon.com/msk/latest/developerguide/serverless-config.html"""
    words = shlex.split(ran("--dry-run", "--serverless", *REQUIRED).stdout)
    said = dict(word.split("=") for word in words if "=" in word)
    assert said.keys() <= {"cleanup.policy", "max.message.bytes", "message.timestamp.type", "retention.ms"}
    assert int(said["max.message.bytes"]) <= 8_388_608
    assert "--replication-factor" not in words


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--bootstrap is required"),
        (["--bootstrap", "b:1"], "--topic is required"),
        (REQUIRED[:4], "--partitions is required"),
        ([*REQUIRED, "--days", "0"], "--days must be a whole number above 0, not 0"),
        ([*REQUIRED, "--replicas", "two"], "--replicas must be a whole number above 0, not two"),
        ([*REQUIRED, "--topic"], "--topic needs a value"),
        ([*REQUIRED, "--force"], "--force is no option"),
        ([*REQUIRED, "--command-config", "/nowhere"], "--command-config: /nowhere cannot be read"),
    ],
)
def test_used_wrongly_it_says_what_and_makes_nothing(words, says):
    done = ran(*words)
    assert done.returncode == 2
    assert done.stderr == f"topic.sh: {says}. See topic.sh --help\n"


def test_without_kafkas_tool_it_says_where_to_get_it():
    done = ran(*REQUIRED)
    assert done.returncode == 3
    assert "KAFKA_TOPICS" in done.stderr


def test_its_help_has_examples():
    done = ran("--help")
    assert done.returncode == 0
    assert "Examples:" in done.stdout
