"""The topic's sink and store over a producer and a log that are the test's own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from datahub_poller.config.producer import letters_consumer_properties, producer_properties
from datahub_poller.deadletter.kafka import KafkaSink
from datahub_poller.deadletter.kafka_headers import LEDGER
from datahub_poller.deadletter.kafka_store import KafkaStore
from datahub_poller.deadletter.store import Mark, Stored
from datahub_poller.errors import CannotStart, TooLarge, Transient
from datahub_poller.model import Failure, Record, TopicPartition
from support.action_files import action_of
from support.letters import event_letter, record

ZERO, ONE = TopicPartition("letters", 0), TopicPartition("letters", 1)


class Topic:
    """A producer and a log in one: what is sent lies there; what is larger than `room` bytes is refused."""

    servers = "host:9092"

    def __init__(self, room=10**9):
        self.room = room
        self.failure = None
        self.sent = []
        self.log = []
        self.read = []
        self.closed = False

    def ask(self, topic, limit, *, keeps_all=False):
        assert keeps_all
        raise CannotStart(f"no {topic} within {limit:g}")

    def send(self, messages):
        if self.failure is not None:
            raise Transient(self.failure)
        large = tuple(number for number, message in enumerate(messages) if size(message) > self.room)
        self.sent += [message for number, message in enumerate(messages) if number not in large]
        if large:
            raise TooLarge("too large", large)
        self.put(*messages)

    def put(self, *messages, tp=ZERO):
        for message in messages:
            self.log.append(Record(tp, self.end(tp), 1, "CREATE_TIME", message.key, message.value, message.headers))

    def end(self, tp):
        return sum(each.tp == tp for each in self.log)

    def records(self, begins):
        for each in list(self.log):
            if each.offset >= begins.get(each.tp, 0):
                self.read.append(each)
                yield each

    def close(self):
        self.closed = True


def size(message):
    return len(message.value or b"") + sum(len(value or b"") for _, value in message.headers)


def sink(topic):
    return KafkaSink(topic, "letters", "datahub-poller", 3.0)


def long_letter(offset):
    return replace(event_letter(offset), failure=Failure("handler", "E", "m", "s" * 7000))


def told(message):
    header = json.loads(message.headers[-1][1])
    return header["meta"]["kafka"]["offset"], header["meta"].get("left_out", []) != []


# -- the sink


def test_a_letter_is_its_record_again():
    topic = Topic()
    sink(topic).write([event_letter(1), replace(event_letter(2), record=record(2, None, None))])
    assert [(each.topic, each.key, each.value) for each in topic.sent] == [
        ("letters", b"urn:li:x", b"\x00bytes"),
        ("letters", None, None),
    ]
    assert sink(topic).place == "topic letters on host:9092"


def test_what_is_too_large_goes_short_and_what_came_behind_it_goes_again():
    topic = Topic(room=4000)
    sink(topic).write([event_letter(1), long_letter(2), event_letter(3), long_letter(4), event_letter(5)])
    assert [told(each) for each in topic.sent[3:]] == [(2, True), (3, False), (4, True), (5, False)]


def test_what_is_too_large_even_short_is_waited_for_and_says_what_to_raise():
    topic = Topic(room=1500)
    huge = replace(event_letter(9), record=record(9, b"v" * 5000))
    with pytest.raises(Transient) as refused:
        sink(topic).write([event_letter(1), huge])
    for word in ("PlatformEvent_v1-0@9", "topic letters on host:9092", "max.message.bytes", "message.max.bytes"):
        assert word in str(refused.value)
    assert not isinstance(refused.value, TooLarge)


def test_what_the_producer_says_is_passed_on():
    topic = Topic()
    topic.failure = "topic letters on host:9092: no leader"
    with pytest.raises(Transient, match="dead letters cannot be written: topic letters on host:9092: no leader"):
        sink(topic).write([event_letter()])
    with pytest.raises(CannotStart, match="dead letters cannot be written to topic letters on host:9092: no letters"):
        sink(topic).check()
    sink(topic).close()
    assert topic.closed


# -- the store


def mark(letter, done="delivered", at=5.0):
    return Mark("tag-sync", letter, 0, done, at, "me", "run-1", "here", "error")


def store(topic):
    return KafkaStore(topic, topic, "letters")


def some(topic):
    sink(topic).write([event_letter(1)])
    found = Stored(b"", "")
    store(topic).mark([(found, mark("a", at=7.0)), (found, mark("b", "dropped", 6.0))])
    sink(topic).write([event_letter(2)])


def test_letters_and_the_ledger_lie_in_one_topic():
    topic = Topic()
    some(topic)
    both = store(topic)
    assert [json.loads(each.line)["meta"]["kafka"]["offset"] for each in both.scan()] == [1, 2]
    assert [each.where for each in both.scan()] == ["letters-0@0", "letters-0@3"]
    assert list(both.marks()) == [mark("b", "dropped", 6.0), mark("a", at=7.0)]
    assert [each.key for each in topic.log if each.headers == ((LEDGER, b"1"),)] == [b"a", b"b"]


def test_the_ledger_after_a_scan_reads_only_what_has_come_since():
    topic = Topic()
    some(topic)
    both = store(topic)
    list(both.scan())
    topic.read.clear()
    assert len(list(both.marks())) == 2
    assert topic.read == []
    both.mark([(Stored(b"", ""), mark("c", at=1.0))])
    assert [each.letter for each in both.marks()] == ["c", "b", "a"]
    assert len(topic.read) == 1


def test_the_ledger_before_a_scan_and_a_scan_that_is_given_up_count_nothing_twice():
    topic = Topic()
    some(topic)
    both = store(topic)
    assert len(list(both.marks())) == 2
    next(iter(both.scan()))
    assert len(list(both.scan())) == 2
    assert len(list(both.marks())) == 2
    fresh = store(topic)
    next(iter(fresh.scan()))
    assert len(list(fresh.marks())) == 2


def test_what_nobody_can_read_in_the_ledger_is_passed_over():
    topic = Topic()
    some(topic)
    (line,) = (each for each in topic.log if each.key == b"a")
    told = json.loads(line.value)
    for value in (
        None,
        b"",
        b"[]",
        b"{}",
        json.dumps({**told, "done": "lost"}).encode(),
        json.dumps({**told, "at": "now"}).encode(),
        json.dumps({**told, "redrives": "2"}).encode(),
        json.dumps({**told, "who": None}).encode(),
        json.dumps({**told, "later": 1, "letter": "kept"}).encode(),
    ):
        topic.put(line._replace(value=value), tp=ONE)
    assert [each.letter for each in store(topic).marks()] == ["b", "a", "kept"]


def test_nothing_can_be_deleted_and_the_store_says_so():
    topic = Topic()
    assert store(topic).remove([Stored(b"", "")]) == 0
    assert "deleted" in store(topic).caution
    store(topic).mark([])
    assert topic.sent == []
    topic.failure = "away"
    with pytest.raises(Transient, match="cannot be written down: away"):
        store(topic).mark([(Stored(b"", ""), mark("a"))])


# -- what the client is made of


SECURE = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "me",
    "sasl.password": "not-for-others",
    "ssl.ca.location": "/ca.pem",
    "client.rack": "a",
    "session.timeout.ms": 6000,
    "max.partition.fetch.bytes": 5000,
}


def action(config, consumer=SECURE):
    connection = {"bootstrap": "source:9092", "consumer_config": dict(consumer)}
    letters = {"type": "kafka", "config": {"topic": "letters", **config}}
    return action_of({"source.config.connection": connection, "dead_letter": letters})


def test_to_the_sources_cluster_the_producer_goes_as_the_consumer_does():
    assert producer_properties(action({}), {"KAFKA_PROPERTIES_SSL_KEY_PASSWORD": "pass"}) == {
        "client.id": "datahub-poller",
        "bootstrap.servers": "source:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "not-for-others",
        "ssl.ca.location": "/ca.pem",
        "ssl.key.password": "pass",
        "partitioner": "murmur2_random",
        "batch.num.messages": "1",
        "linger.ms": "0",
        "message.max.bytes": "67108864",
        "reconnect.backoff.max.ms": "1000",
        "topic.metadata.propagation.max.ms": "5000",
        "acks": "all",
        "enable.idempotence": "true",
        "allow.auto.create.topics": "false",
    }


def test_to_another_cluster_nothing_of_the_consumers_security_goes_along():
    properties = producer_properties(action({"bootstrap": "other:9092"}), {"KAFKA_PROPERTIES_SASL_PASSWORD": "secret"})
    assert properties["bootstrap.servers"] == "other:9092"
    assert [key for key in properties if key.startswith(("sasl.", "ssl.", "security."))] == []


def test_what_is_configured_counts_under_whichever_of_its_names():
    given = {"sasl.mechanisms": "PLAIN", "queue.buffering.max.ms": 50, "partitioner": "consistent", "client.id": "x"}
    properties = producer_properties(action({"producer_config": given}), {})
    assert {key: properties.get(key) for key in (*given, "sasl.mechanism", "linger.ms")} == {
        "sasl.mechanisms": "PLAIN",
        "queue.buffering.max.ms": "50",
        "partitioner": "consistent",
        "client.id": "x",
        "sasl.mechanism": None,
        "linger.ms": None,
    }


def test_the_topic_is_read_by_the_producers_connection_and_committed_records_only():
    given = {"sasl.password": "of-the-letters", "compression.type": "zstd"}
    properties = letters_consumer_properties(action({"bootstrap": "other:9092", "producer_config": given}), {})
    assert properties == {
        "client.id": "datahub-poller",
        "reconnect.backoff.max.ms": "1000",
        "bootstrap.servers": "other:9092",
        "sasl.password": "of-the-letters",
        "group.id": "tag-sync",
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": "8192",
        "fetch.queue.backoff.ms": "10",
    }
