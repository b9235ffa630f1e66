"""The embedded broker as real clients see it."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from datahub_poller.demo import broker
from datahub_poller.demo.broker import MockCluster

GROUP = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "session.timeout.ms": 2000,
    "heartbeat.interval.ms": 300,
    "fetch.wait.max.ms": 10,
}


@pytest.fixture
def cluster():
    with MockCluster() as started:
        started.rebalance_delay(100)
        yield started


@pytest.fixture
def producer(cluster):
    made = Producer({"bootstrap.servers": cluster.bootstrap, "message.timeout.ms": 5000, "log_level": 0})
    yield made
    made.flush(1)


@pytest.fixture
def consumer(cluster):
    made = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "readers", "log_level": 0, **GROUP})
    yield made
    made.close()


def send(producer, topic, partition, *values):
    """Produce in order; the outcome of each as librdkafka names it."""
    outcomes = []
    for value in values:
        producer.produce(
            topic, value, partition=partition, on_delivery=lambda e, _: outcomes.append(e.name() if e else "ok")
        )
    assert producer.flush(10) == 0
    return outcomes


def read(consumer, count):
    found = []
    while len(found) < count:
        messages = consumer.consume(count - len(found), 10)
        assert messages, f"only {len(found)} of {count} arrived"
        found += [m for m in messages if not m.error()]
    return found


def test_a_topic_has_the_partitions_it_was_made_with(cluster, producer):
    cluster.create_topic("three", partitions=3)
    assert len(producer.list_topics("three", 5).topics["three"].partitions) == 3


def test_a_group_reads_what_was_produced_and_resumes_where_it_committed(cluster, producer):
    cluster.create_topic("events", partitions=2)
    send(producer, "events", 0, b"a", b"b")
    send(producer, "events", 1, b"c")
    settings = {"bootstrap.servers": cluster.bootstrap, "group.id": "g", "log_level": 0, **GROUP}
    first = Consumer(settings)
    first.subscribe(["events"])
    assert sorted(m.value() for m in read(first, 3)) == [b"a", b"b", b"c"]
    first.commit(offsets=[TopicPartition("events", 0, 1), TopicPartition("events", 1, 1)], asynchronous=False)
    first.close()
    second = Consumer(settings)
    second.subscribe(["events"])
    assert [m.value() for m in read(second, 1)] == [b"b"]
    second.close()


def test_every_broker_asked_for_is_in_the_bootstrap_list():
    with MockCluster(3) as cluster:
        assert len(cluster.bootstrap.split(",")) == 3
        assert all(address.startswith("127.0.0.1:") for address in cluster.bootstrap.split(","))


def test_pushed_errors_answer_one_request_each(cluster, producer, consumer):
    cluster.create_topic("t", 1)
    cluster.push_errors(broker.API_PRODUCE, [broker.NOT_LEADER, broker.MESSAGE_TOO_LARGE])
    assert send(producer, "t", 0, b"refused") == ["MSG_SIZE_TOO_LARGE"]
    assert send(producer, "t", 0, b"taken") == ["ok"]
    cluster.push_errors(broker.API_OFFSET_COMMIT, [broker.REBALANCE_IN_PROGRESS])
    consumer.assign([TopicPartition("t", 0, 0)])
    with pytest.raises(KafkaException) as caught:
        consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
    assert caught.value.args[0].name() == "REBALANCE_IN_PROGRESS"
    consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)


def test_cleared_errors_are_forgotten(cluster, producer):
    cluster.create_topic("t", 1)
    cluster.push_errors(broker.API_PRODUCE, [broker.TOPIC_AUTHORIZATION_FAILED] * 5)
    cluster.clear_errors(broker.API_PRODUCE)
    assert send(producer, "t", 0, b"x") == ["ok"]


def test_a_topic_can_be_refused_and_let_in_again(cluster, producer):
    cluster.create_topic("t", 1)
    cluster.topic_error("t", broker.TOPIC_AUTHORIZATION_FAILED)
    assert producer.list_topics("t", 5).topics["t"].error.name() == "TOPIC_AUTHORIZATION_FAILED"
    cluster.topic_error("t", broker.NO_ERROR)
    assert producer.list_topics("t", 5).topics["t"].error is None


def test_a_broker_that_is_down_takes_nothing_until_it_is_up_again(cluster, producer):
    cluster.create_topic("t", 1)
    assert send(producer, "t", 0, b"before") == ["ok"]
    cluster.down(1)
    outcomes = []
    producer.produce("t", b"meanwhile", partition=0, on_delivery=lambda e, _: outcomes.append(e))
    assert producer.flush(0.3) == 1
    cluster.up(1)
    assert producer.flush(5) == 0
    assert outcomes == [None]


def test_a_moved_leader_is_followed():
    with MockCluster(2) as cluster:
        cluster.create_topic("t", 1, replication=2)
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        for leader in (2, 1):
            cluster.set_leader("t", 0, leader)
            assert producer.list_topics("t", 5).topics["t"].partitions[0].leader == leader
            assert send(producer, "t", 0, b"x") == ["ok"]


def test_a_moved_coordinator_is_followed():
    with MockCluster(2) as cluster:
        cluster.create_topic("t", 1)
        settings = {"bootstrap.servers": cluster.bootstrap, "group.id": "g", "log_level": 0, **GROUP}
        consumer = Consumer(settings)
        for coordinator in (1, 2):
            cluster.set_coordinator("g", coordinator)
            consumer.commit(offsets=[TopicPartition("t", 0, coordinator)], asynchronous=False)
            assert consumer.committed([TopicPartition("t", 0)], 5)[0].offset == coordinator
        consumer.close()


def test_deleted_records_move_the_low_watermark(cluster, producer, consumer):
    cluster.create_topic("t", 1)
    send(producer, "t", 0, b"1", b"2", b"3")
    cluster.delete_records("t", 0, 2)
    consumer.list_topics("t", 5)
    assert consumer.get_watermark_offsets(TopicPartition("t", 0), 5) == (2, 3)


def test_answers_take_as_long_as_the_round_trip_was_set_to(cluster, consumer):
    import time

    cluster.create_topic("t", 1)
    consumer.committed([TopicPartition("t", 0)], 5)
    cluster.set_rtt(1, 150)
    before = time.monotonic()
    consumer.committed([TopicPartition("t", 0)], 5)
    assert time.monotonic() - before >= 0.15


def test_a_refused_call_names_the_call_and_the_error(cluster):
    cluster.create_topic("twice", 1)
    with pytest.raises(RuntimeError, match=r"rd_kafka_mock_topic_create.*twice.*TOPIC_ALREADY_EXISTS"):
        cluster.create_topic("twice", 1)
    with pytest.raises(RuntimeError, match="rd_kafka_mock_broker_set_down"):
        cluster.down(99)


def test_closing_twice_is_harmless_and_a_closed_cluster_says_so():
    cluster = MockCluster()
    cluster.close()
    cluster.close()
    with pytest.raises(RuntimeError, match="closed"):
        cluster.create_topic("t", 1)
    with pytest.raises(RuntimeError, match="closed"):
        cluster.push_errors(broker.API_FETCH, [broker.NOT_LEADER])


def test_a_library_without_the_mock_cluster_is_a_clear_error(monkeypatch):
    import _ctypes

    import confluent_kafka.cimpl

    from datahub_poller.errors import CannotStart

    monkeypatch.setattr(confluent_kafka.cimpl, "__file__", _ctypes.__file__)
    with pytest.raises(CannotStart, match=r"confluent-kafka's wheels.*rd_kafka_conf_new"):
        MockCluster()
    monkeypatch.setattr(confluent_kafka.cimpl, "__file__", "/nowhere/cimpl.so")
    with pytest.raises(CannotStart, match=r"/nowhere/cimpl\.so"):
        MockCluster()
