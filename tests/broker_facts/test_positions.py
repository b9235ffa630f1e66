"""What positions, times and the log's ends are, as a bare consumer is told them."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from broker_facts.raw import Raw, drive, until
from support.brokers import QUIET, Sent, eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("broker-facts"), pytest.mark.deep]


@pytest.fixture
def raw(kafka, unique):
    """Makes consumers, of a group each, and closes them."""
    made = []

    def make(topic, **properties):
        made.append(Raw(kafka.bootstrap, unique("group"), topic, **properties))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def topic(kafka, unique):
    name = unique("facts")
    kafka.create_topic(name, 2)
    return name


def configured(kafka, name, config):
    """A topic of one partition with settings of its own."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
    admin.create_topics([NewTopic(name, 1, config=config)])[name].result(20)
    eventually(lambda: name in admin.list_topics(timeout=5).topics, f"{name} is not there")
    return name


def from_beginning(consumer):
    consumer.consumer.assign([consumer.at(0, 0)])
    return consumer


def position(consumer):
    return consumer.consumer.position([consumer.at(0)])[0].offset


def in_transaction(kafka, unique, topic, commits):
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": unique("tx"), **QUIET})
    producer.init_transactions(20)
    for commit in commits:
        producer.begin_transaction()
        producer.produce(topic, b"committed" if commit else b"aborted", partition=0)
        producer.flush(20)
        (producer.commit_transaction if commit else producer.abort_transaction)(20)


def test_the_position_passes_control_records_and_aborted_records_are_hidden(kafka, unique, raw, topic):
    # Each transaction is a record and a marker: 0 1, 2 3, 4 5, and 6 7 that was aborted.
    in_transaction(kafka, unique, topic, [True, False, True, False])
    consumer = from_beginning(raw(topic))
    until(lambda: position(consumer) == 8, consumer)
    drive(0.2, consumer)
    assert consumer.records == [(0, 0), (0, 4)]
    assert set(consumer.values) == {b"committed"}
    assert consumer.consumer.get_watermark_offsets(consumer.at(0), timeout=5) == (0, 8)
    assert consumer.consumer.get_watermark_offsets(consumer.at(0), cached=True) == (0, 8)


def test_the_position_passes_records_that_compaction_took(kafka, unique, raw):
    quick = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"}
    topic = configured(kafka, unique("compacted"), {"cleanup.policy": "compact", **quick})
    kafka.produce_all(Sent(topic, 0, b"%d" % number, b"key-%d" % (number % 2)) for number in range(10))
    time.sleep(0.15)  # the segment's age, not a wait: only the next record closes it
    kafka.produce(topic, 0, b"last", key=b"other")

    def kept():
        consumer = from_beginning(raw(topic))
        until(lambda: position(consumer) == 11, consumer)
        return consumer.offsets()

    eventually(lambda: kept() == [8, 9, 10], "nothing was compacted")


def test_offsets_for_times_gives_minus_one_past_the_end_and_on_an_empty_partition(kafka, raw, topic):
    kafka.produce_all([Sent(topic, 0, b"a", timestamp=1000), Sent(topic, 0, b"b", timestamp=3000)])
    ask = raw(topic).consumer

    def at(partition, time_ms):
        return ask.offsets_for_times([TopicPartition(topic, partition, time_ms)], timeout=5)[0].offset

    assert [at(0, 0), at(0, 1000), at(0, 1001), at(0, 3000)] == [0, 0, 1, 1]
    assert [at(0, 3001), at(1, 0)] == [-1, -1]


def test_offsets_for_times_gives_the_ends_of_many_partitions_in_one_question(kafka, raw, topic):
    kafka.produce_all([Sent(topic, 0, b"a"), Sent(topic, 0, b"b"), Sent(topic, 1, b"c")])
    kafka.delete_records(topic, 0, 1)
    ask = raw(topic).consumer

    def of_both(at):
        return [found.offset for found in ask.offsets_for_times([TopicPartition(topic, n, at) for n in (0, 1)], 5)]

    assert of_both(OFFSET_BEGINNING) == [1, 0]
    assert of_both(OFFSET_END) == [2, 1]


def test_offsets_for_times_of_a_partition_that_is_not_there_raises_unknown_partition(raw, topic, unique):
    ask = raw(topic).consumer
    for where in (TopicPartition(topic, 7, 0), TopicPartition(unique("none"), 0, 0)):
        with pytest.raises(KafkaException) as raised:
            ask.offsets_for_times([where], timeout=5)
        assert raised.value.args[0].name() == "_UNKNOWN_PARTITION"


def test_what_was_deleted_is_told_as_auto_offset_reset_and_the_partition_stands_still(kafka, raw, topic):
    kafka.produce_all(Sent(topic, 0, b"%d" % number) for number in range(10))
    kafka.delete_records(topic, 0, 5)
    consumer = raw(topic, auto_offset_reset="error")
    consumer.consumer.assign([consumer.at(0, 2)])
    until(lambda: consumer.message_errors, consumer)
    drive(0.5, consumer)
    assert consumer.message_errors == [("_AUTO_OFFSET_RESET", 0)]
    assert consumer.records == []
    # Seeking is refused from there; assigning anew is what helps.
    with pytest.raises(KafkaException) as refused:
        consumer.consumer.seek(consumer.at(0, 5))
    assert refused.value.args[0].name() == "_STATE"
    consumer.consumer.assign([consumer.at(0, 5)])
    until(lambda: len(consumer.records) == 5, consumer)
    assert consumer.offsets() == [5, 6, 7, 8, 9]


def test_retention_under_a_running_consumer_is_told_the_same_way(kafka, unique, raw):
    topic = configured(kafka, unique("retained"), {"retention.ms": "1000", "segment.ms": "100"})
    long_ago = int(time.time() * 1000) - 60_000
    kafka.produce_all(Sent(topic, 0, b"%d" % number, timestamp=long_ago) for number in range(5))
    consumer = raw(topic, auto_offset_reset="error")
    eventually(lambda: consumer.consumer.get_watermark_offsets(consumer.at(0), timeout=5) == (5, 5), "all is kept")
    consumer.consumer.assign([consumer.at(0, 3)])
    until(lambda: consumer.message_errors, consumer)
    assert consumer.message_errors == [("_AUTO_OFFSET_RESET", 0)]


@pytest.mark.parametrize(
    ("kind", "type_seen"),
    [("LogAppendTime", TIMESTAMP_LOG_APPEND_TIME), ("CreateTime", TIMESTAMP_CREATE_TIME)],
)
def test_a_timestamp_says_whether_the_producer_or_the_broker_set_it(kafka, unique, raw, kind, type_seen):
    settings = {"message.timestamp.type": kind, "retention.ms": "-1"}
    topic = configured(kafka, unique("stamped"), settings)
    before = int(time.time() * 1000)
    kafka.produce_all([Sent(topic, 0, b"v", timestamp=1000)])
    consumer = from_beginning(raw(topic))
    found = []
    eventually(lambda: found.extend(consumer.turn()) or found, "no record")
    seen, at = found[0].timestamp()
    assert seen == type_seen
    assert at >= before if kind == "LogAppendTime" else at == 1000
