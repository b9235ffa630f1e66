"""What the source over librdkafka must not do to the loop's account, on the mock cluster."""

from __future__ import annotations

import ctypes
import logging
import time

import confluent_kafka.cimpl
import pytest

from datahub_poller.demo.broker import (
    API_FETCH,
    API_JOIN_GROUP,
    API_OFFSET_COMMIT,
    API_OFFSET_FETCH,
    COORDINATOR_LOADING,
    GROUP_AUTHORIZATION_FAILED,
    NO_ERROR,
    TOPIC_AUTHORIZATION_FAILED,
    UNKNOWN_TOPIC,
)
from datahub_poller.kafka import trouble
from datahub_poller.kafka.source import KafkaSource
from datahub_poller.model import TopicPartition
from support.brokers import Sent
from support.members import Member, drive, until


@pytest.fixture(autouse=True)
def _recovery_is_looked_for_soon(monkeypatch):
    monkeypatch.setattr(trouble, "RECOVERY_CHECK_SECONDS", 0.3)


@pytest.fixture
def member_of(mock_bed, unique):
    opened = []
    group = unique("g")

    def make(*topics, start="earliest", **properties):
        config = {
            "bootstrap.servers": mock_bed.bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "topic.metadata.refresh.interval.ms": 500,
            "partition.assignment.strategy": "range",
            **mock_bed.consumer,
            **properties,
        }
        if properties.get("group.protocol"):
            for key in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
                del config[key]
        source = KafkaSource(config, start, time.monotonic, logging.getLogger("t"))
        member = Member(source, topics)
        opened.append(source)
        return member

    yield make
    for source in opened:
        source.close()


def fill(bed, tp, count):
    bed.produce_all(Sent(tp.topic, tp.partition, b"v" * 100) for _ in range(count))


def test_records_read_before_a_gap_are_with_the_loop_before_it_is_asked_about_the_gap(mock_bed, member_of, unique):
    """The loop settles up to where a gap ends: what it was not given by then would never be handed out."""
    topic = unique("t")
    mock_bed.create_topic(topic, 1)
    tp = TopicPartition(topic, 0)
    fill(mock_bed, tp, 10)
    member = member_of(topic, **{"queued.min.messages": 5})
    given_at_gap = []
    member._on_gap = lambda tp, low, high: given_at_gap.append(len(member.records)) or low
    end = time.monotonic() + 20
    while not member.records and time.monotonic() < end:
        member.turn(limit=1)
    # The client holds the others, and reads on only when there are less than five of them: by then they are gone.
    time.sleep(0.5)
    fill(mock_bed, tp, 90)
    mock_bed.delete_records(topic, 0, 50)
    while len(member.records) < 7:
        member.turn(limit=1)
    time.sleep(1.0)
    until(lambda: len(member.records) >= 60, member)
    assert member.offsets(tp) == [*range(10), *range(50, 100)]
    assert given_at_gap == [10]


def test_a_commit_that_was_waited_for_is_not_taken_for_the_answer_to_the_next_one(mock_bed, member_of, unique):
    """Else a refused commit passes for done, and is not tried again."""
    topic = unique("t")
    mock_bed.create_topic(topic, 2)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    member = member_of(topic)
    until(lambda: member.owned == {zero, one} and member.settled, member)
    member.answers.clear()
    member.source.commit_now({zero: 0})
    mock_bed.cluster.push_errors(API_OFFSET_COMMIT, [GROUP_AUTHORIZATION_FAILED])
    member.commit({one: 0})
    until(lambda: member.settled, member)
    drive(0.5, member)
    assert [(answer.offsets, answer.error is None) for answer in member.answers] == [({}, False)]


class _Bytes(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("number", ctypes.c_int32),
        ("parts", ctypes.c_void_p * 3),
        ("_", ctypes.c_char * 64),
    )


class _Argument(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("value", _Bytes))


def produce_with_header(bootstrap, topic, name, count):
    """By librdkafka's C interface: Python's producer takes no header whose name is not text."""
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    pointer, text = ctypes.c_void_p, ctypes.create_string_buffer(512)
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = library.rd_kafka_produceva.restype = pointer
    library.rd_kafka_conf_set.argtypes = (pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    library.rd_kafka_new.argtypes = (ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t)
    library.rd_kafka_produceva.argtypes = (pointer, ctypes.POINTER(_Argument), ctypes.c_size_t)
    library.rd_kafka_flush.argtypes = (pointer, ctypes.c_int)
    library.rd_kafka_destroy.argtypes = (pointer,)
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"bootstrap.servers", bootstrap.encode(), text, 512)
    producer = library.rd_kafka_new(0, configuration, text, 512)
    named, told = ctypes.create_string_buffer(name), ctypes.create_string_buffer(b"x")
    arguments = (_Argument * 3)()
    arguments[0].kind, arguments[0].value.text = 1, topic.encode()
    arguments[1].kind, arguments[1].value.number = 3, 0
    arguments[2].kind, arguments[2].value.parts[:] = 9, (ctypes.addressof(named), ctypes.addressof(told), 1)
    for _ in range(count):
        assert library.rd_kafka_produceva(producer, arguments, 3) is None
    assert library.rd_kafka_flush(producer, 10_000) == 0
    library.rd_kafka_destroy(producer)


def test_headers_whose_name_is_no_text_do_not_end_the_poller(mock_bed, member_of, unique, caplog):
    """Many of them: once it has seen a call often, Python looks less closely at what comes back."""
    topic = unique("t")
    mock_bed.create_topic(topic, 1)
    tp = TopicPartition(topic, 0)
    produce_with_header(mock_bed.bootstrap, topic, b"not \xff text", 200)
    mock_bed.produce_all([Sent(topic, 0, b"value", None, [("name", b"text")])])
    member = member_of(topic)
    until(lambda: len(member.records) == 201, member)
    assert member.offsets(tp) == list(range(201))
    assert {record.headers for record in member.records[:200]} == {()}
    assert member.records[200].headers == (("name", b"text"),)
    assert "without its headers" in caplog.text


def test_a_topic_that_is_refused_stays_trouble_while_others_are_read(mock_bed, member_of, unique):
    """Somebody has to act: the status must not turn green on the records of another topic."""
    open_one, refused = unique("a"), unique("b")
    for topic in (open_one, refused):
        mock_bed.create_topic(topic, 1)
    member = member_of(open_one, refused)
    until(lambda: len(member.owned) == 2 and member.settled, member)
    mock_bed.cluster.topic_error(refused, TOPIC_AUTHORIZATION_FAILED)
    until(lambda: bool(member.troubles), member)
    for _ in range(4):
        fill(mock_bed, TopicPartition(open_one, 0), 1)
        drive(0.5, member)
    assert member.troubles[-1] is not None
    assert "uthoriz" in member.troubles[-1]
    mock_bed.cluster.topic_error(refused, NO_ERROR)
    until(lambda: member.troubles[-1] is None, member)


def test_records_that_may_not_be_read_stay_trouble_until_one_is_read(mock_bed, member_of, unique):
    """The right to describe a topic without the right to read it: asking for the topic goes well all the time."""
    topic = unique("t")
    mock_bed.create_topic(topic, 1)
    tp = TopicPartition(topic, 0)
    member = member_of(topic)
    until(lambda: member.owned == {tp} and member.settled, member)
    mock_bed.cluster.push_errors(API_FETCH, [TOPIC_AUTHORIZATION_FAILED] * 2000)
    until(lambda: bool(member.troubles), member)
    drive(1.0, member)
    assert member.troubles[-1] is not None
    # Nor is it forgotten over a rebalance.
    other = member_of(topic)
    until(lambda: len(member.told("assigned")) == 2 and bool(other.owned | member.owned), member, other)
    (owner,) = (each for each in (member, other) if each.owned)
    drive(1.0, member, other)
    assert owner.troubles[-1] is not None
    mock_bed.cluster.clear_errors(API_FETCH)
    fill(mock_bed, tp, 1)
    until(lambda: owner.troubles[-1] is None, member, other)


def test_a_group_that_may_not_be_joined_stays_trouble_until_it_is(mock_bed, member_of, unique):
    topic = unique("t")
    mock_bed.create_topic(topic, 1)
    mock_bed.cluster.push_errors(API_JOIN_GROUP, [GROUP_AUTHORIZATION_FAILED] * 2000)
    member = member_of(topic)
    until(lambda: bool(member.troubles), member)
    drive(1.0, member)
    assert member.troubles[-1] is not None
    mock_bed.cluster.clear_errors(API_JOIN_GROUP)
    until(lambda: member.owned == {TopicPartition(topic, 0)}, member)
    until(lambda: member.troubles[-1] is None, member)


def test_the_name_of_the_group_protocol_may_be_written_as_the_client_takes_it(mock_bed, member_of, unique):
    topic = unique("t")
    mock_bed.create_topic(topic, 2)
    fill(mock_bed, TopicPartition(topic, 1), 3)
    member = member_of(topic, **{"group.protocol": "CONSUMER"})
    until(lambda: len(member.records) == 3, member)
    assert member.owned == {TopicPartition(topic, 0), TopicPartition(topic, 1)}


def test_a_topic_described_without_partitions_is_never_one_that_the_group_has_not_seen(mock_bed, member_of, unique):
    """Else what came while the group was away would be skipped."""
    topic = unique("t")
    mock_bed.create_topic(topic, 1)
    mock_bed.cluster.push_errors(API_OFFSET_FETCH, [COORDINATOR_LOADING] * 2000)
    member = member_of(topic, **{"topic.metadata.refresh.interval.ms": 300_000})
    until(lambda: bool(member.troubles), member)
    mock_bed.cluster.topic_error(topic, UNKNOWN_TOPIC)
    mock_bed.cluster.clear_errors(API_OFFSET_FETCH)
    until(lambda: "described without partitions" in str(member.troubles[-1]), member)
    assert member.told("assigned") == []
    mock_bed.cluster.topic_error(topic, NO_ERROR)
    until(lambda: member.owned == {TopicPartition(topic, 0)}, member)
