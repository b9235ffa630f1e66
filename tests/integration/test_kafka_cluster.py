"""The test bed itself: a broker that starts, keeps what it was given over kill -9, and tells groups apart."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from kafka.cluster import ClusterError, KafkaCluster, kafka_libs
from support.brokers import KafkaBed, MockBed, Sent, eventually, patiently
from support.jars import UnavailableError, resolve

POM = Path(__file__).parent.parent / "kafka" / "pom.xml"


def commit(bed, group, topic, partition, offset, metadata):
    consumer = Consumer({"bootstrap.servers": bed.bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        where = TopicPartition(topic, partition, offset, metadata)
        patiently(lambda: consumer.commit(offsets=[where], asynchronous=False))
    finally:
        consumer.close()


def read(bed, topic, partition, count):
    consumer = Consumer({"bootstrap.servers": bed.bootstrap, "group.id": "reader", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        found = consumer.consume(count, 20)
        assert [m.error() for m in found] == [None] * count
        return found
    finally:
        consumer.close()


def test_a_record_comes_back_as_it_was_sent(bed, unique):
    topic = unique("records")
    bed.create_topic(topic, 2)
    headers = [("h", b"1"), ("h", b"2"), ("null", None), ("empty", b"")]
    offsets = bed.produce_all(
        [
            Sent(topic, 1, b"v", b"k", headers, 1_700_000_000_123),
            Sent(topic, 0, b"other"),
            Sent(topic, 1, None, b"tombstone"),
            Sent(topic, 1, b"no key"),
        ]
    )
    assert offsets == [0, 0, 1, 2]
    assert bed.partitions(topic) == [0, 1]
    assert bed.end_offsets(topic) == {0: 1, 1: 3}
    found = read(bed, topic, 1, 3)
    assert [(m.key(), m.value()) for m in found] == [(b"k", b"v"), (b"tombstone", None), (None, b"no key")]
    assert found[0].headers() == headers
    assert found[0].timestamp()[1] == 1_700_000_000_123


def test_committed_offsets_and_their_metadata_are_read_from_the_broker(bed, unique):
    topic, group = unique("committed"), unique("group")
    bed.create_topic(topic, 3)
    assert bed.committed(group, topic) == {}
    commit(bed, group, topic, 1, 7, "since=5")
    assert bed.committed(group, topic) == {1: (7, "since=5")}
    assert bed.committed(unique("group"), topic) == {}


def test_records_can_be_taken_away_below_an_offset(bed, unique):
    topic = unique("retention")
    bed.create_topic(topic)
    bed.produce_all(Sent(topic, 0, b"%d" % n) for n in range(5))
    bed.delete_records(topic, 0, 3)
    consumer = Consumer({"bootstrap.servers": bed.bootstrap, "group.id": "looks-only"})
    try:
        assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (3, 5)
    finally:
        consumer.close()


def test_partitions_can_be_added(kafka, unique):
    topic = unique("growing")
    kafka.create_topic(topic, 1)
    kafka.add_partitions(topic, 3)
    assert kafka.partitions(topic) == [0, 1, 2]
    assert kafka.produce(topic, 2, b"late") == 0


def test_one_broker_keeps_records_and_offsets_over_kill_9(new_kafka):
    cluster = new_kafka(1)
    bed = KafkaBed(cluster.bootstrap)
    bed.create_topic("t")
    bed.produce_all(Sent("t", 0, b"%d" % n) for n in range(10))
    commit(bed, "g", "t", 0, 4, "m")
    cluster.kill(1)
    cluster.restart(1)
    again = KafkaBed(cluster.bootstrap)
    assert [m.value() for m in read(again, "t", 0, 10)] == [b"%d" % n for n in range(10)]
    assert again.committed("g", "t") == {0: (4, "m")}


def test_three_brokers_go_on_when_one_is_killed_and_it_comes_back(new_kafka):
    cluster = new_kafka(3)
    bed = KafkaBed(cluster.bootstrap)
    bed.create_topic("t", 3)
    bed.produce_all(Sent("t", p, b"before") for p in range(3))
    cluster.kill(2)
    bed.produce_all(Sent("t", p, b"without") for p in range(3))
    cluster.restart(2)
    bed.produce_all(Sent("t", p, b"after") for p in range(3))
    for partition in range(3):
        assert [m.value() for m in read(bed, "t", partition, 3)] == [b"before", b"without", b"after"]


def test_a_node_that_cannot_run_ends_the_start_with_its_log(kafka_jars, tmp_path):
    cluster = KafkaCluster(kafka_jars, tmp_path / "kafka", heap="2m")
    with pytest.raises(ClusterError, match=r"(?i)memory|heap"):
        cluster.start()


def test_a_broker_dies_with_the_process_that_started_it(tmp_path):
    script = """
import subprocess, sys, time
from support.tether import tethered
child = subprocess.Popen(tethered(["/bin/sleep", "600"]))
print(child.pid, flush=True)
time.sleep(600)
"""
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent is gone")
    environment = {**os.environ, "PYTHONPATH": str(POM.parent.parent)}
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    with parent:
        child = Path("/proc") / parent.stdout.readline().decode().strip() / "cmdline"
        eventually(lambda: child.read_bytes() == b"/bin/sleep\x00600\x00", "the child is not the program")
        parent.send_signal(signal.SIGKILL)
    eventually(lambda: not child.exists() or child.read_bytes() == b"", "the child lives on")


def test_without_java_the_reason_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"^no java on PATH$"):
        kafka_libs({})


def executable(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_without_maven_jars_that_are_there_are_used(tmp_path, monkeypatch):
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", str(bin_))
    with pytest.raises(UnavailableError, match=r"^no mvn on PATH$"):
        resolve("kafka", POM, environ)
    executable(bin_ / "mvn", '/bin/mkdir -p "${6#*=}"')
    libs = resolve("kafka", POM, environ)
    assert libs.is_dir()
    assert libs.is_relative_to(tmp_path / "cache" / "datahub-poller" / "kafka")
    (bin_ / "mvn").unlink()
    assert resolve("kafka", POM, environ) == libs
    assert sorted(p.name for p in libs.parent.iterdir()) == ["libs", "lock"]


def test_when_maven_fails_its_error_is_the_reason_and_nothing_is_left_behind(tmp_path, monkeypatch):
    executable(tmp_path / "mvn", 'echo "noise"; echo "[ERROR] no such repository"; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"^mvn could not fetch the jars: no such repository$"):
        resolve("kafka", POM, {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert not list(tmp_path.glob("cache/**/libs"))
    assert not list(tmp_path.glob("cache/**/part-*"))


def test_a_kafka_home_without_kafka_is_refused(tmp_path):
    with pytest.raises(UnavailableError, match=r"KAFKA_HOME is .*, and its libs. holds no kafka_"):
        kafka_libs({"KAFKA_HOME": str(tmp_path)})


def test_the_mock_cluster_takes_faults_to_order(mock_bed: MockBed):
    mock_bed.create_topic("t")
    assert mock_bed.produce("t", 0, b"v", key=b"k") == 0
    mock_bed.cluster.push_errors(9, [15])
    assert mock_bed.committed("g", "t") == {}
