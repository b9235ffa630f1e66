"""The proxy of the guarantee runs: every fault is what it says, on plain sockets and as a Kafka client sees it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from guarantees.frames import OFFSET_COMMIT
from guarantees.proxy import Proxy, ProxyError
from kafka.cluster import KafkaCluster, free_ports
from support.bad_servers import accepting
from support.brokers import KafkaBed, eventually

pytestmark = pytest.mark.deep

PATIENCE = 20.0
SHORT = 0.3
"""Seconds in which something does not happen."""


# -- plain sockets: what is done to bytes


@pytest.fixture
def echo():
    """A proxy in front of a server that sends back what it gets; gives its port and the proxy."""

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    (port,) = free_ports(1)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        accepting(server, serve),
        Proxy({port: server.getsockname()[1]}) as proxy,
    ):
        yield port, proxy


def connected(port):
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def received(connection, count):
    found = b""
    while len(found) < count:
        piece = connection.recv(count - len(found))
        assert piece, f"closed after {len(found)} of {count} bytes"
        found += piece
    return found


def echoed(connection, text):
    connection.sendall(text)
    return received(connection, len(text)) == text


def nothing_comes(connection):
    connection.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(PATIENCE)


def until_reset(connection):
    with pytest.raises(ConnectionResetError):
        received(connection, 1)


def test_what_is_no_frame_passes_as_it_is_however_much(echo):
    port, _ = echo
    data = bytes(range(256)) * 40_000
    with connected(port) as connection:
        threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
        assert received(connection, len(data)) == data


def test_closing_reaches_the_other_side(echo):
    port, proxy = echo
    with connected(port) as connection:
        connection.sendall(b"\0\0\0\x0clast request")
        assert received(connection, 16)
    eventually(lambda: proxy.stats().open == 0, "the connection stays open", PATIENCE)


def test_latency_delays_each_way_and_takes_no_bandwidth(echo):
    port, proxy = echo
    with connected(port) as connection:
        proxy.latency(0.2)
        began = time.monotonic()
        for number in range(100):
            connection.sendall(b"%04d" % number * 1000)
            time.sleep(0.001)
        sent = time.monotonic() - began
        data = received(connection, 400_000)
        took = time.monotonic() - began
        assert data == b"".join(b"%04d" % number * 1000 for number in range(100))
        assert 0.4 <= took < sent + 0.4 + 15.0  # one after the other they would take 40 s


def test_a_shorter_latency_overtakes_nothing(echo):
    port, proxy = echo
    with connected(port) as connection:
        proxy.latency(0.5)
        connection.sendall(b"first")
        eventually(lambda: proxy.stats().open == 1, "not connected", PATIENCE)
        proxy.latency(0.0)
        connection.sendall(b"second")
        assert received(connection, 11) == b"firstsecond"


def test_cut_resets_all_that_is_open_and_nothing_to_come(echo):
    port, proxy = echo
    with connected(port) as one, connected(port) as two:
        for connection in (one, two):
            assert echoed(connection, b"hello")
        assert proxy.cut() == 2
        until_reset(one)
        until_reset(two)
    with connected(port) as three:
        assert echoed(three, b"hello")
    assert proxy.stats().cut == 2


def test_refuse_resets_new_connections_and_leaves_open_ones(echo):
    port, proxy = echo
    with connected(port) as old:
        assert echoed(old, b"hello")
        proxy.refuse(True)
        with pytest.raises(ConnectionResetError), connected(port) as new:
            received(new, 1)
        assert echoed(old, b"still")
        proxy.refuse(False)
        with connected(port) as new:
            assert echoed(new, b"again")
    assert proxy.stats().refused == 1


def test_a_blackhole_is_silent_and_gives_back_what_it_held(echo):
    port, proxy = echo
    with connected(port) as old:
        assert echoed(old, b"hello")
        proxy.blackhole(True)
        old.sendall(b"held")
        with connected(port) as new:
            new.sendall(b"newer")
            nothing_comes(new)
            nothing_comes(old)
            proxy.heal()
            assert received(old, 4) == b"held"
            assert received(new, 5) == b"newer"


def test_a_blackhole_hides_that_a_side_has_closed(echo):
    port, proxy = echo
    with connected(port) as connection:
        assert echoed(connection, b"hello")
        proxy.blackhole(True)
    assert proxy.stats().open == 1
    proxy.blackhole(False)
    eventually(lambda: proxy.stats().open == 0, "the connection stays open", PATIENCE)


def test_a_broker_that_is_down_resets_its_clients():
    port, down = free_ports(2)
    with Proxy({port: down}), connected(port) as connection:
        until_reset(connection)


def test_faults_are_ordered_by_broker():
    def serve(connection):
        with connection:
            connection.sendall(b"welcome")

    ports = free_ports(2)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        accepting(server, serve),
        Proxy(dict.fromkeys(ports, server.getsockname()[1])) as proxy,
    ):
        proxy.refuse(True, ports[0])
        with pytest.raises(ConnectionResetError), connected(ports[0]) as refused:
            received(refused, 1)
        with connected(ports[1]) as welcome:
            assert received(welcome, 7) == b"welcome"
        assert proxy.stats(ports[0]).connections == proxy.stats(ports[1]).connections == 1
        with pytest.raises(ProxyError, match="none of"):
            proxy.refuse(True, 1)


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ProxyError):
        Proxy({taken.getsockname()[1]: 1}).start()


# -- a Kafka client


@pytest.fixture(scope="module")
def behind(kafka_jars, tmp_path_factory):
    """A broker behind a proxy, both for this module; gives the cluster, its bed and the proxy."""
    with (
        KafkaCluster(kafka_jars, tmp_path_factory.mktemp("proxied"), proxied=True) as cluster,
        Proxy({ports.advertised: ports.bound for ports in cluster.proxied_ports.values()}) as proxy,
    ):
        yield cluster, KafkaBed(cluster.bootstrap), proxy


CLASSIC = {"session.timeout.ms": 6000}
KIP_848 = {"group.protocol": "consumer"}


class Member:
    """A consumer behind the proxy that has its partition, with the broker asked beside the proxy."""

    def __init__(self, behind, unique, protocol=CLASSIC, count=0):
        self.cluster, self.bed, self.proxy = behind
        self.proxy.heal()
        self.topic, self.group = unique("topic"), unique("group")
        self.bed.create_topic(self.topic)
        self.produce(1)
        config = {
            "bootstrap.servers": self.cluster.proxied_bootstrap,
            "group.id": self.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "socket.timeout.ms": 2000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,
            **protocol,
        }
        self.consumer = Consumer(config)
        self.consumer.subscribe([self.topic])
        self.read(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.heal()
        self.consumer.close()

    def produce(self, count):
        for number in range(count):
            self.bed.produce(self.topic, 0, b"%d" % number)

    def read(self, count):
        found = []

        def enough():
            found.extend(each for each in self.consumer.consume(count, 0.1) if each.error() is None)
            return len(found) >= count

        eventually(enough, "records do not come")

    def commit(self, offset):
        """Asynchronously, so that a commit that nobody answers is not waited for."""
        self.consumer.commit(offsets=[TopicPartition(self.topic, 0, offset)], asynchronous=True)

    def commit_now(self, offset):
        return self.consumer.commit(offsets=[TopicPartition(self.topic, 0, offset)], asynchronous=False)

    def stored(self):
        found = self.bed.committed(self.group, self.topic).get(0)
        return OFFSET_INVALID if found is None else found.offset


@pytest.mark.parametrize("protocol", [CLASSIC, KIP_848], ids=["classic", "kip-848"])
def test_a_client_behind_it_reads_and_commits(behind, unique, protocol):
    with Member(behind, unique, protocol) as member:
        before = member.proxy.stats()
        member.commit_now(1)
        assert member.stored() == 1
        after = member.proxy.stats()
        assert after.requests[OFFSET_COMMIT] == before.requests[OFFSET_COMMIT] + 1
        assert after.open >= 2


def test_thousands_of_small_frames_a_second(behind, unique):
    cluster, bed, proxy = behind
    topic = unique("topic")
    bed.create_topic(topic)
    config = {"bootstrap.servers": cluster.proxied_bootstrap, "linger.ms": 0, "batch.num.messages": 1, "log_level": 0}
    producer = Producer(config)
    before = proxy.stats().requests[0]
    spent = time.process_time()  # of this process, in which the proxy runs
    began = time.monotonic()
    for number in range(3000):
        producer.produce(topic, b"%d" % number, partition=0)
        producer.poll(0)
    assert producer.flush(30) == 0
    took = time.monotonic() - began
    assert proxy.stats().requests[0] == before + 3000
    print(f"{3000 / took:.0f} requests a second")
    assert time.process_time() - spent < 10


def test_a_client_goes_on_after_a_cut(behind, unique):
    with Member(behind, unique) as member:
        assert member.proxy.cut() >= 2
        member.produce(3)
        member.read(3)


def test_a_client_goes_on_after_a_blackhole(behind, unique):
    with Member(behind, unique) as member:
        member.proxy.blackhole(True)
        member.produce(3)
        assert member.consumer.consume(3, SHORT) == []
        member.commit(1)  # one that is waited for is waited for as long as this lasts, in a call that hears no signal
        assert member.stored() == OFFSET_INVALID
        member.proxy.blackhole(False)
        member.read(3)
        eventually(lambda: member.consumer.consume(1, 0.05) == [] and member.stored() == 1, "the commit is lost")


@pytest.mark.parametrize(("lost", "stored"), [("request", OFFSET_INVALID), ("answer", 1)])
def test_a_commit_loses_its_request_or_its_answer(behind, unique, lost, stored):
    with Member(behind, unique) as member:
        member.proxy.cut_requests(OFFSET_COMMIT, None, lost)
        before = member.proxy.stats().requests_cut
        member.commit(1)
        eventually(lambda: member.proxy.stats().requests_cut > before, "no commit was cut")
        assert member.stored() == stored
        member.proxy.cut_requests(OFFSET_COMMIT, 0)
        eventually(lambda: member.consumer.consume(1, 0.05) == [] and _commits(member, 1), "no commit gets through")
        member.produce(1)
        member.read(1)


def _commits(member, offset):
    try:
        member.commit_now(offset)
    except KafkaException:
        return False
    return member.stored() == offset


def test_as_many_requests_are_cut_as_were_ordered(behind, unique):
    with Member(behind, unique) as member:
        member.proxy.cut_requests(OFFSET_COMMIT, 2)
        before = member.proxy.stats().requests_cut
        eventually(lambda: _commits(member, 1), "no commit gets through")
        assert member.proxy.stats().requests_cut == before + 2


REFUSALS = [
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    113,  # STALE_MEMBER_EPOCH
]


@pytest.mark.parametrize("keeps", [False, True], ids=["not stored", "stored"])
@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("protocol", [CLASSIC, KIP_848], ids=["classic", "kip-848"])
def test_a_commit_is_refused_with_the_code_that_was_ordered(behind, unique, protocol, code, keeps):
    with Member(behind, unique, protocol) as member:
        member.proxy.refuse_commits(code, 1, stored=keeps)
        before = member.proxy.stats().errors_swapped
        with pytest.raises(KafkaException) as refused:
            member.commit_now(1)
        assert refused.value.args[0].code() == code
        assert member.proxy.stats().errors_swapped == before + 1
        assert member.stored() == (1 if keeps else OFFSET_INVALID)
