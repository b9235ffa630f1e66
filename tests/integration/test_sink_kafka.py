"""Dead letters in a topic of a broker: they are there when a write returns, and when it does not, it says why."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from datahub_poller import letterbox
from datahub_poller.demo.broker import API_PRODUCE, TOPIC_AUTHORIZATION_FAILED, MockCluster
from datahub_poller.errors import CannotStart, Transient
from datahub_poller.model import Failure
from kafka.listeners import SASL
from kafka.security import USER
from support.action_files import action_of
from support.brokers import PATIENCE, QUIET, KafkaBed, MockBed, eventually
from support.letters import event_letter, record, undecodable_letter

OUT_OF_ORDER_SEQUENCE = 45
SLACK = 6.0
"""Seconds: what a write may take beyond its time-out, for asking what is wrong."""


def action_on(bootstrap, topic, consumer=None, *, patience=10, letters=None, **config):
    connection = {
        "bootstrap": bootstrap,
        "consumer_config": {} if consumer is None else dict(consumer),
        "client_timeout_seconds": patience,
    }
    config = {"topic": topic, "timeout": "5s", **config, **({} if letters is None else letters)}
    return action_of({"source.config.connection": connection, "dead_letter": {"type": "kafka", "config": config}})


@pytest.fixture
def sink_on():
    """Makes sinks as the poller does, of its action file."""
    made = []

    def make(bed, topic, consumer=None, **config):
        sink = letterbox.sink(action_on(bed.bootstrap, topic, consumer, **config), {})
        made.append(sink)
        return sink

    yield make
    for sink in made:
        sink.close()


def messages(bed, topic, count, bootstrap=None):
    """The first `count` of a topic, by a client of its own: (partition, key, value, headers)."""
    config = {"group.id": "looks-only", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    consumer = Consumer({"bootstrap.servers": bootstrap or bed.bootstrap, **config, **QUIET})
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in bed.partitions(topic)])
    found = []
    end = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < end:
        for each in consumer.consume(count, 0.2):
            assert each.error() is None, each.error()
            found.append((each.partition(), each.key(), each.value(), each.headers()))
    consumer.close()
    assert len(found) >= count
    return found


def refused(call, *words, within=None):
    """The Transient that a call raises, in time, with these words."""
    began = time.monotonic()
    with pytest.raises(Transient) as failure:
        call()
    took = time.monotonic() - began
    for word in words:
        assert word in str(failure.value)
    assert within is None or took < within, f"{took:.1f} s: {failure.value}"
    return str(failure.value)


# -- what is there


@pytest.mark.parametrize("dialect", ["datahub-poller", "spring", "connect"])
def test_a_letter_is_its_record_byte_for_byte_with_ours_behind_its_headers(bed, unique, sink_on, dialect):
    topic = unique("letters")
    bed.create_topic(topic)
    letters = [event_letter(1), undecodable_letter(2), replace(event_letter(3), record=record(3, None, None))]
    letters.append(replace(event_letter(4), record=record(4, b"", b"")._replace(headers=())))
    sink = sink_on(bed, topic, headers=dialect)
    sink.write(letters)
    found = messages(bed, topic, 4)
    assert [(key, value) for _, key, value, _ in found] == [(each.record.key, each.record.value) for each in letters]
    for (_, _, _, headers), letter in zip(found, letters, strict=True):
        own = len(letter.record.headers)
        assert tuple(headers[:own]) == letter.record.headers
        assert headers[own][0] == "datahub-poller-letter"
        names = [name for name, _ in headers[own + 1 :]]
        assert len(names) == (0 if dialect == "datahub-poller" else 10)
        assert all(name.startswith(("kafka_dlt-", "__connect.errors.")) for name in names)


def test_a_keys_letters_are_in_one_partition_java_s_in_their_order(bed, unique, sink_on):
    topic = unique("letters")
    bed.create_topic(topic, 8)
    # Of Kafka's own tests: the murmur2 of these texts.
    hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    sink = sink_on(bed, topic)
    for turn in range(5):
        letters = [
            replace(event_letter(number), record=record(number, b"%d" % number, key))
            for number in range(turn * 10, turn * 10 + 10)
            for key in hashes
        ]
        sink.write(letters)
    found = messages(bed, topic, 150)
    for key, hashed in hashes.items():
        mine = [(partition, int(value)) for partition, other, value, _ in found if other == key]
        assert {partition for partition, _ in mine} == {(hashed & 0x7FFFFFFF) % 8}
        assert [number for _, number in mine] == list(range(50))


def test_eight_threads_write_at_once(bed, unique, sink_on):
    topic = unique("letters")
    bed.create_topic(topic, 3)
    sink = sink_on(bed, topic)
    failures = []

    def write(thread):
        try:
            for turn in range(5):
                offsets = range(100 * thread + 10 * turn, 100 * thread + 10 * turn + 10)
                sink.write([replace(event_letter(), record=record(n, b"%d" % n)) for n in offsets])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert failures == []
    values = [int(value) for _, _, value, _ in messages(bed, topic, 400)]
    assert sorted(values) == [100 * thread + n for thread in range(8) for n in range(50)]


def test_another_cluster_than_the_source_s(mock_bed, unique, sink_on):
    topic = unique("letters")
    with MockCluster() as cluster:
        other = MockBed(cluster)
        other.create_topic(topic)
        config = {"bootstrap": other.bootstrap}
        sink = sink_on(mock_bed, topic, {"security.protocol": "SSL"}, letters=config)
        sink.check()
        sink.write([event_letter()])
        assert len(messages(other, topic, 1)) == 1
        assert sink.place == f"topic {topic} on {other.bootstrap}"


# -- what is not there


def test_a_topic_that_does_not_exist_is_told_and_not_made(bed, unique, sink_on):
    topic = unique("letters")
    sink = sink_on(bed, topic, timeout="2s", producer_config={"topic.metadata.propagation.max.ms": 500})
    with pytest.raises(CannotStart) as failure:
        sink.check()
    for word in (topic, bed.bootstrap, "does not exist", "Create it", "dead_letter.config.topic"):
        assert word in str(failure.value)
    refused(lambda: sink.write([event_letter()]), topic, "does not exist", within=2 + SLACK)
    with pytest.raises(CannotStart):
        sink.check()
    bed.create_topic(topic)
    sink.check()
    sink.write([event_letter()])
    assert len(messages(bed, topic, 1)) == 1


def test_brokers_that_are_not_there_are_told_in_time(unique, sink_on):
    with MockCluster() as cluster:
        bed = MockBed(cluster)
        cluster.down(1)
        sink = sink_on(bed, "letters", patience=1, timeout="1s")
        began = time.monotonic()
        with pytest.raises(CannotStart) as failure:
            sink.check()
        assert time.monotonic() - began < 1 + SLACK
        for word in (bed.bootstrap, "within 1 s", "refused", "source.config.connection.bootstrap"):
            assert word in str(failure.value)
        refused(lambda: sink.write([event_letter()]), "topic letters", bed.bootstrap, within=1 + SLACK)


def test_a_broker_that_goes_away_and_comes_back_needs_no_restart(mock_bed, unique, sink_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink = sink_on(mock_bed, topic, timeout="2s")
    sink.write([event_letter(1)])
    mock_bed.cluster.down(1)
    refused(lambda: sink.write([event_letter(2)]), topic, "Connection refused", within=2 + SLACK)
    mock_bed.cluster.up(1)
    eventually(lambda: written(sink, event_letter(3)), "it does not come back")
    kept = [headers[-1][1] for _, _, _, headers in messages(mock_bed, topic, 2)]
    assert [b'"offset":1' in each or b'"offset":3' in each for each in kept] == [True, True]


def written(sink, letter):
    try:
        sink.write([letter])
    except Transient:
        return False
    return True


def test_a_partition_without_a_leader_is_named(mock_bed, unique, sink_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink = sink_on(mock_bed, topic, timeout="2s")
    mock_bed.cluster.set_leader(topic, 0, -1)
    refused(lambda: sink.write([event_letter()]), topic, "no leader for partition 0", within=2 + SLACK)
    mock_bed.cluster.set_leader(topic, 0, 1)
    sink.write([event_letter()])


def test_a_broker_that_does_not_answer_is_not_waited_for_longer_than_told(mock_bed, unique, sink_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink = sink_on(mock_bed, topic, timeout="4s")
    sink.write([event_letter()])
    mock_bed.cluster.set_rtt(1, 20_000)
    refused(lambda: sink.write([event_letter()]), topic, within=4 + SLACK)


def test_a_producer_that_has_failed_for_good_is_made_anew(mock_bed, unique, sink_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink = sink_on(mock_bed, topic, timeout="30s")
    sink.write([event_letter(1)])
    mock_bed.cluster.push_errors(API_PRODUCE, [OUT_OF_ORDER_SEQUENCE])
    refused(lambda: sink.write([event_letter(2)]), topic, "sequence", "The next write makes a new one", within=15)
    sink.write([event_letter(3)])
    assert len(messages(mock_bed, topic, 2)) == 2


def test_a_refusal_that_is_over_is_over_for_the_next_write(mock_bed, unique, sink_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink = sink_on(mock_bed, topic, timeout="30s")
    mock_bed.cluster.push_errors(API_PRODUCE, [TOPIC_AUTHORIZATION_FAILED])
    refused(lambda: sink.write([event_letter()]), topic, "authorization failed", "WRITE", within=15)
    sink.write([event_letter()])


def test_a_full_queue_is_waited_for_and_told(mock_bed, unique, sink_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink = sink_on(mock_bed, topic, timeout="4s", producer_config={"queue.buffering.max.messages": 2})
    sink.write([event_letter(number) for number in range(20)])
    mock_bed.cluster.down(1)
    refused(lambda: sink.write([event_letter(number) for number in range(20)]), topic, within=4 + SLACK)


def test_a_producer_is_closed_at_once_whatever_it_waits_for(mock_bed, unique, sink_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink = sink_on(mock_bed, topic, timeout="30s")
    mock_bed.cluster.down(1)
    said = []

    def write():
        try:
            sink.write([event_letter()])
        except Transient as error:
            said.append(str(error))

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.2)  # it is waiting by now; if it is not, it is refused all the same
    began = time.monotonic()
    sink.close()
    thread.join(20)
    assert time.monotonic() - began < 15
    assert len(said) == 1
    assert "closed" in said[0]
    refused(lambda: sink.write([event_letter()]), "closed", within=15)
    sink.close()


def test_properties_that_the_client_does_not_take_are_told_with_their_setting(mock_bed, sink_on):
    config = {"producer_config": {"max.in.flight": 10}, "timeout": "30s"}
    sink = sink_on(mock_bed, "letters", **config)
    with pytest.raises(CannotStart, match=r"dead_letter\.config\.producer_config.*max\.in\.flight"):
        sink.check()
    refused(lambda: sink.write([event_letter()]), "max.in.flight", within=15)


# -- on a real Kafka


def make_topic(bootstrap, name, partitions=1, **config):
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    placed = config.pop("on", None)
    settings = {key.replace("_", "."): str(value) for key, value in config.items()}
    topic = (
        NewTopic(name, partitions, config=settings)
        if placed is None
        else NewTopic(name, len(placed), replica_assignment=placed, config=settings)
    )
    admin.create_topics([topic])[name].result(PATIENCE)
    eventually(
        lambda: all(each.leader > 0 for each in admin.list_topics(name, timeout=5).topics[name].partitions.values()),
        "no leaders",
    )


def test_what_is_too_large_for_the_topic_goes_with_less_about_it_and_never_is_dropped(kafka, unique, sink_on):
    topic = unique("letters")
    make_topic(kafka.bootstrap, topic, max_message_bytes=6000)
    sink = sink_on(kafka, topic, timeout="30s")
    long = replace(event_letter(2), failure=Failure("handler", "E", "m", "s" * 7000))
    sink.write([event_letter(1), long, event_letter(3)])
    found = messages(kafka, topic, 4)
    assert [b'"left_out"' in headers[-1][1] for _, _, _, headers in found] == [False, False, True, False]
    huge = replace(event_letter(4), record=record(4, b"x" * 20_000))
    refused(lambda: sink.write([huge]), topic, "PlatformEvent_v1-0@4", "max.message.bytes", within=15)
    sink.write([event_letter(5)])


def test_a_topic_that_is_compacted_is_refused(kafka, unique, sink_on):
    topic = unique("letters")
    make_topic(kafka.bootstrap, topic, cleanup_policy="compact,delete")
    not_startable(sink_on(kafka, topic), topic, "cleanup.policy is compact,delete", "dead_letter.config.topic")


def test_a_cluster_of_three_says_why_it_does_not_take_letters(new_kafka, unique, sink_on):
    cluster = new_kafka(3)
    bed = KafkaBed(cluster.bootstrap)
    alone, strict, good = unique("alone"), unique("strict"), unique("good")
    make_topic(cluster.bootstrap, alone, on=[[3]])
    make_topic(cluster.bootstrap, strict, on=[[1, 2, 3]], min_insync_replicas=3)
    make_topic(cluster.bootstrap, good, on=[[1, 2, 3]], min_insync_replicas=2)
    sinks = {topic: sink_on(bed, topic, timeout="3s") for topic in (alone, strict, good)}
    for sink in sinks.values():
        sink.write([event_letter(1)])
    cluster.kill(3)
    eventually(lambda: written(sinks[good], event_letter(2)), "two of three do not take it")

    def says(topic, words):
        try:
            sinks[topic].write([event_letter(2)])
        except Transient as error:
            return words in str(error)
        return False

    eventually(lambda: says(alone, "no leader for partition 0"), "no leader is not told")
    eventually(lambda: says(strict, "not enough replicas in sync for partition 0"), "replicas are not told")
    cluster.restart(3)
    for topic in (alone, strict):
        eventually(lambda topic=topic: written(sinks[topic], event_letter(3)), f"{topic} stays refused")


# -- who may write


class Rights:
    """What the principal may do with a topic, beyond what everybody may."""

    def __init__(self, cluster, topic):
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap, **QUIET})
        self._what = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{USER}", "*")

    def give(self, operation):
        binding = AclBinding(*self._what, operation, AclPermissionType.ALLOW)
        for answer in self._admin.create_acls([binding]).values():
            answer.result(PATIENCE)

    def take(self, operation):
        binding = AclBindingFilter(*self._what, operation, AclPermissionType.ALLOW)
        for answer in self._admin.delete_acls([binding]).values():
            answer.result(PATIENCE)


def not_startable(sink, *words):
    with pytest.raises(CannotStart) as failure:
        sink.check()
    for word in words:
        assert word in str(failure.value)
    return str(failure.value)


@pytest.mark.xdist_group("secure-kafka")
def test_who_may_not_write_is_told_before_and_while_it_runs(secure_kafka, unique, sink_on):
    topic = unique("letters")
    KafkaBed(secure_kafka.bootstrap).create_topic(topic)
    password = secure_kafka.security.password
    bed = KafkaBed(secure_kafka.bootstrap)
    bed.bootstrap = secure_kafka.addresses(SASL)
    sink = sink_on(bed, topic, secure_kafka.security.client("SCRAM-SHA-512"))
    rights = Rights(secure_kafka, topic)
    said = [not_startable(sink, topic, "WRITE and DESCRIBE")]
    said.append(refused(lambda: sink.write([event_letter()]), topic))
    rights.give(AclOperation.READ)
    eventually(lambda: "may not be written to" in not_startable(sink, topic), "READ counts as enough")
    rights.give(AclOperation.WRITE)
    eventually(lambda: written(sink, event_letter()), "it may write, and does not")
    sink.check()
    rights.take(AclOperation.WRITE)
    eventually(lambda: not written(sink, event_letter()), "it may not write, and does")
    said.append(refused(lambda: sink.write([event_letter()]), topic, "WRITE"))
    rights.give(AclOperation.WRITE)
    eventually(lambda: written(sink, event_letter()), "it may write again, and does not")
    assert not any(password in each for each in said)


@pytest.mark.xdist_group("secure-kafka")
def test_a_wrong_password_is_told_at_once_and_never_shown(secure_kafka, unique, sink_on, caplog):
    bed = KafkaBed(secure_kafka.bootstrap)
    bed.bootstrap = secure_kafka.addresses(SASL)
    wrong = "not-the-password-4711"
    consumer = {**secure_kafka.security.client("PLAIN"), "sasl.password": wrong}
    began = time.monotonic()
    sink = sink_on(bed, "letters", consumer, timeout="2s", patience=30)
    said = not_startable(sink, "Invalid username or password", "sasl.", "source.config.connection.consumer_config")
    assert time.monotonic() - began < 20
    said += refused(lambda: sink.write([event_letter()]), "Invalid username or password", within=2 + SLACK)
    assert wrong not in said + caplog.text


@pytest.mark.parametrize("own", [False, True], ids=["the source's", "the letters' own"])
def test_a_function_for_tokens_that_is_not_there_is_told_with_its_setting(mock_bed, sink_on, own):
    secure = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": "no_such_module:f"}
    sink = sink_on(mock_bed, "letters", {} if own else secure, producer_config=secure if own else {})
    where = "dead_letter.config.producer_config" if own else "source.config.connection.consumer_config"
    assert not_startable(sink, f"{where}.oauth_cb: 'no_such_module:f'").count(".oauth_cb") == 1


@pytest.mark.xdist_group("secure-kafka")
def test_a_token_s_function_lets_the_producer_in(secure_kafka, unique, sink_on, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    topic = unique("letters")
    bed = KafkaBed(secure_kafka.bootstrap)
    bed.create_topic(topic)
    Rights(secure_kafka, topic).give(AclOperation.WRITE)
    bed.bootstrap = secure_kafka.addresses(SASL)
    consumer = {**secure_kafka.security.client("OAUTHBEARER"), "oauth_cb": "kafka.unsecured_tokens:token"}
    sink = sink_on(bed, topic, consumer)
    sink.check()
    eventually(lambda: written(sink, event_letter()), "it is not let in")
