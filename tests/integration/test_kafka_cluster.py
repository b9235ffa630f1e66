"""The test bed itself: a broker that starts, keeps what it was given over kill -9, and tells groups apart."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from kafka.cluster import ClusterError, KafkaCluster, kafka_libs
from support.brokers import KafkaBed, MockBed, Sent, eventually, patiently
from support.jars import UnavailableError, resolve
from support.running import Running

pytestmark = pytest.mark.deep

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


def test_all_three_brokers_come_back_from_kill_9_over_and_over(new_kafka):
    cluster = new_kafka(3)
    KafkaBed(cluster.bootstrap).create_topic("t", 3)
    for number in range(2):
        for node in cluster.nodes:
            cluster.kill(node)
        cluster.launch(2)
        with pytest.raises(ClusterError, match=r"nodes \[2\] wanted|node 2 does not listen"):
            cluster.wait(0.5)  # one of three has no majority
        cluster.restart(1, 3)
        bed = KafkaBed(cluster.bootstrap)
        assert bed.produce_all(Sent("t", p, b"%d" % number) for p in range(3)) == [number] * 3
    assert [m.value() for m in read(KafkaBed(cluster.bootstrap), "t", 0, 2)] == [b"0", b"1"]


def test_behind_a_proxy_clients_are_sent_to_the_proxy_and_brokers_are_not(new_kafka):
    cluster = new_kafka(1, proxied=True)
    ports = cluster.proxied_ports[1]
    assert cluster.proxied_bootstrap == f"127.0.0.1:{ports.advertised}"
    told = AdminClient({"bootstrap.servers": f"127.0.0.1:{ports.bound}", "log_level": 0}).list_topics(timeout=10)
    assert [(broker.host, broker.port) for broker in told.brokers.values()] == [("127.0.0.1", ports.advertised)]
    bed = KafkaBed(cluster.bootstrap)  # no proxy runs: what brokers and tests do is not its affair
    bed.create_topic("t")
    assert bed.produce("t", 0, b"v") == 0


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


# -- one to play with


def test_the_cluster_to_play_with_says_how_to_get_in_and_leaves_nothing_behind(kafka_jars, tmp_path):
    # As a shell starts what it runs in the background: deaf to Ctrl-C unless it says otherwise.
    deaf = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    play = [*deaf, sys.executable, str(POM.parent / "play.py"), "--secure"]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        play, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
    ) as process:
        try:
            said = list(iter(process.stdout.readline, "end:             Ctrl-C\n"))
            assert said[-1].startswith("produce:"), "".join(said)
            bootstrap = next(line.split()[-1] for line in said if line.startswith("  bootstrap: "))
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ten events are produced\n"
            bed = KafkaBed(bootstrap)
            assert sum(bed.end_offsets("PlatformEvent_v1").values()) == 10
            (file,) = [line.split()[-1] for line in said if line.startswith("# SCRAM-SHA-256: ")]
            poller = Running(Path(file), tmp_path / "poller.log", {})
            poller.until(lambda: poller.text().count("urn:li:tag:pii") == 10, "it does not deliver")
            assert poller.stop() == 0
            poller.log.unlink()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == "ended\n"
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as probe:
        host, _, port = bootstrap.partition(":")
        assert probe.connect_ex((host, int(port))) != 0


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--brokers", "0"], 2), (["--brokers", "x"], 2)])
def test_the_cluster_to_play_with_explains_itself(arguments, code):
    command = [sys.executable, str(POM.parent / "play.py"), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == code
    assert "make kafka" in done.stdout + done.stderr


def test_without_java_there_is_nothing_to_play_with_and_the_reason_is_told(tmp_path):
    command = [sys.executable, str(POM.parent / "play.py")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "make kafka: no java on PATH\n")
