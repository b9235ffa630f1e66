"""A topic that is deleted and made again under its name: every record of the new one is delivered.

Only its id tells, so this is for a real Apache Kafka; the mock cluster tells no ids, and has to do without.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from datahub_poller.errors import Transient
from datahub_poller.kafka import topic_ids
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.source import KafkaSource
from datahub_poller.model import TopicPartition
from datahub_poller.source import Start
from datahub_poller.start import Mark, mark, topic_id_in
from kafka.secure_bed import SecureBed
from kafka.security import Access
from support.brokers import QUIET, Sent, eventually
from support.members import Member, drive, until

pytestmark = pytest.mark.timeout(90)

RANGE = {"partition.assignment.strategy": "range"}
COOPERATIVE = {"partition.assignment.strategy": "cooperative-sticky"}
KIP_848 = {"group.protocol": "consumer"}
CLASSIC = [pytest.param(RANGE, id="range"), pytest.param(COOPERATIVE, id="cooperative")]
ALL = [*CLASSIC, pytest.param(KIP_848, id="kip-848")]
ANOTHER = "A" * 21 + "Q"


class Settling(Member):
    """As the loop does: what was delivered has succeeded, and where a topic was made anew that begins anew."""

    def __init__(self, source, topics):
        self.begun = {}
        super().__init__(source, topics, on_revoke=Settling.settle)

    def gap(self, tp, low, high, new_topic=False):
        self.begun[tp] = (len(self.records), low)
        return super().gap(tp, low, high, new_topic)

    def settle(self, gone):
        offsets = {}
        for tp in gone:
            seen, low = self.begun.get(tp, (0, None))
            read = [record.offset + 1 for record in self.records[seen:] if record.tp == tp]
            if read or low is not None:
                offsets[tp] = read[-1] if read else low
        if offsets:
            with contextlib.suppress(Transient):  # refused: it comes again
                self.source.commit_now(offsets)


class Scene:
    """Members of one group, and topics that come and go under their names."""

    def __init__(self, bed, unique):
        self.bed, self.unique, self.group = bed, unique, unique("g")
        self._open = []

    def member(self, *topics, protocol=RANGE, start="earliest", **properties):
        config = {
            "bootstrap.servers": self.bed.bootstrap,
            "group.id": self.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "topic.metadata.refresh.interval.ms": 60_000,
            **self.bed.consumer,
            **protocol,
            **properties,
        }
        if protocol is KIP_848:
            for key in ("session.timeout.ms", "heartbeat.interval.ms"):
                config.pop(key, None)
        logger = logging.getLogger("test.source")
        source = KafkaSource(config, start, time.monotonic, logger)
        self._open.append(source)
        return Settling(source, topics)

    def leave(self, member):
        self._open.remove(member.source)
        member.source.close()

    def close(self):
        while self._open:
            self._open.pop().close()

    def topic(self, partitions=1):
        name = self.unique("t")
        self.bed.create_topic(name, partitions)
        return name

    def fill(self, topic, word, count, partitions=1, timestamp=0):
        self.bed.produce_all(
            Sent(topic, partition, b"%s %d" % (word, n), timestamp=timestamp)
            for partition in range(partitions)
            for n in range(count)
        )

    def delete(self, topic):
        admin = AdminClient({"bootstrap.servers": self.bed.bootstrap, **QUIET})
        admin.delete_topics([topic])[topic].result(20)

    def make_again(self, topic, count, partitions=1, timestamp=0):
        self.bed.create_topic(topic, partitions)
        self.fill(topic, b"new", count, partitions, timestamp)

    def stored(self, topic):
        return self.bed.committed(self.group, topic)

    def commit(self, topic, offset, metadata):
        """As somebody who is not in the group, or not any more."""
        consumer = Consumer({"bootstrap.servers": self.bed.bootstrap, "group.id": self.group, **QUIET})
        consumer.commit(offsets=[KafkaPartition(topic, 0, offset, metadata)], asynchronous=False)
        consumer.close()


@pytest.fixture
def scene(kafka, unique, monkeypatch):
    monkeypatch.setattr(topic_ids, "EVERY_SECONDS", 0.5)
    made = Scene(kafka, unique)
    yield made
    made.close()


@pytest.fixture
def secure(secure_kafka, unique, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    made = Scene(SecureBed(secure_kafka, "OAUTHBEARER"), unique)
    made.access = Access(secure_kafka.bootstrap)
    yield made
    made.close()


@pytest.fixture
def on_mock(mock_bed, unique):
    made = Scene(mock_bed, unique)
    yield made
    made.close()


def values(member, partition=0, word=b"new"):
    of = [record.value for record in member.records if record.tp.partition == partition]
    return [value.decode() for value in of if value.startswith(word)]


def all_new(member, count, partitions=1):
    wanted = [f"new {n}" for n in range(count)]
    return all(set(values(member, partition)) == set(wanted) for partition in range(partitions))


def in_order_from_the_first(member, count, partition=0):
    """The last reading of it is whole and in order; before it, some may have come from the middle."""
    assert values(member, partition)[-count:] == [f"new {n}" for n in range(count)]


def known(member, *tps):
    """Which topic it reads is known, and its commits say so."""
    until(lambda: set(tps) <= member.source._ids.read.keys() and member.settled, member)


# -- while it runs


@pytest.mark.parametrize("protocol", ALL)
def test_one_made_again_at_once_that_has_grown_past_the_position_is_read_from_its_beginning(scene, protocol):
    topic = scene.topic(2)
    zero, one = (TopicPartition(topic, n) for n in (0, 1))
    scene.fill(topic, b"old", 10, 2)
    member = scene.member(topic, protocol=protocol)
    until(lambda: len(member.records) == 20, member)
    known(member, zero, one)
    member.source.commit_now({zero: 10, one: 10})
    old = {topic_id_in(each.metadata) for each in scene.stored(topic).values()}
    scene.delete(topic)
    scene.make_again(topic, 20, 2)
    until(lambda: all_new(member, 20, 2), member)
    assert {tp for tp, _, _ in member.told("made anew")} == {zero, one}
    for partition in (0, 1):
        in_order_from_the_first(member, 20, partition)
    # A rebalance may still come, of KIP-848: what is committed then is the new topic's.
    drive(1.0, member)
    member.source.commit_now({zero: 20, one: 20})
    stored = scene.stored(topic)
    assert {each.offset for each in stored.values()} == {20}
    assert len(old) == len({topic_id_in(each.metadata) for each in stored.values()}) == 1
    assert not old & {topic_id_in(each.metadata) for each in stored.values()}
    scene.leave(member)
    scene.bed.produce(topic, 0, b"later")
    second = scene.member(topic, protocol=protocol)
    until(lambda: len(second.records) == 1, second)
    known(second, zero, one)
    drive(0.7, second)
    assert second.starts == {zero: Start(20, 20), one: Start(20, 20)}
    assert second.told("made anew") == second.told("gap") == []
    assert len(second.records) == 1


@pytest.mark.parametrize("protocol", CLASSIC)
def test_one_made_again_that_is_shorter_is_no_gap(scene, protocol):
    topic = scene.topic()
    scene.fill(topic, b"old", 10)
    member = scene.member(topic, protocol=protocol)
    until(lambda: len(member.records) == 10, member)
    known(member, TopicPartition(topic, 0))
    scene.delete(topic)
    scene.make_again(topic, 5)
    until(lambda: all_new(member, 5), member)
    assert member.told("gap") == []
    assert member.told("made anew")
    assert values(member) == [f"new {n}" for n in range(5)]


@pytest.mark.parametrize("protocol", ALL)
def test_one_that_was_away_for_a_while_is_read_from_its_beginning_however_old_its_records_are(scene, protocol):
    """With `latest`, whose beginning is a time: a topic that is restored from a copy holds older ones."""
    topic = scene.topic()
    tp = TopicPartition(topic, 0)
    member = scene.member(topic, protocol=protocol, start="latest", **{"topic.metadata.refresh.interval.ms": 500})
    until(lambda: member.owned == {tp}, member)
    known(member, tp)
    scene.delete(topic)
    until(lambda: not member.owned, member)
    drive(1.0, member)
    scene.make_again(topic, 20, timestamp=1_700_000_000_000)
    until(lambda: all_new(member, 20), member)
    in_order_from_the_first(member, 20)


@pytest.mark.parametrize("protocol", ALL)
def test_one_made_again_with_fewer_and_with_more_partitions(scene, protocol):
    topic = scene.topic(3)
    tps = [TopicPartition(topic, n) for n in range(3)]
    scene.fill(topic, b"old", 10, 3)
    member = scene.member(topic, protocol=protocol, start="latest", **{"topic.metadata.refresh.interval.ms": 500})
    until(lambda: member.owned == set(tps), member)
    known(member, *tps)
    scene.delete(topic)
    scene.make_again(topic, 20, 1)
    # Where the deletion goes unnoticed, the client's sticky assignor leaves a member what is gone.
    left = [{tps[0]}, set(tps)] if protocol is COOPERATIVE else [{tps[0]}]
    until(lambda: all_new(member, 20) and member.owned in left and member.troubles[-1:] in ([], [None]), member)
    drive(0.7, member)
    assert member.troubles[-1:] in ([], [None])
    scene.delete(topic)
    member.records.clear()
    member.begun.clear()
    scene.make_again(topic, 30, 3, timestamp=1_700_000_000_000)
    until(lambda: all_new(member, 30, 3) and member.owned == set(tps), member)
    for partition in range(3):
        in_order_from_the_first(member, 30, partition)


@pytest.mark.parametrize("protocol", ALL)
def test_every_member_finds_it_for_its_own_partitions_and_other_topics_are_left_alone(scene, protocol):
    topic, other = scene.topic(2), scene.topic(2)
    tps = [TopicPartition(name, n) for name in (topic, other) for n in (0, 1)]
    first = scene.member(topic, other, protocol=protocol)
    second = scene.member(topic, other, protocol=protocol)
    until(lambda: len(first.owned) == len(second.owned) == 2 and first.settled and second.settled, first, second)
    for name in (topic, other):
        scene.fill(name, b"old", 10, 2)
    until(lambda: len(first.records) == len(second.records) == 20, first, second)
    known(first, *first.owned)
    known(second, *second.owned)
    kept = [tp for tp in first.owned if tp.topic == other]
    first.source.set_paused(frozenset(kept))
    scene.fill(other, b"more", 5, 2)
    scene.delete(topic)
    scene.make_again(topic, 20, 2)

    def everything():
        found = {(r.tp, r.value) for member in (first, second) for r in member.records}
        return {(tp, b"new %d" % n) for tp in tps[:2] for n in range(20)} <= found

    until(everything, first, second)
    drive(0.5, first, second)
    told = {about[0] for member in (first, second) for about in member.told("made anew")}
    assert told == set(tps[:2])
    if protocol is not KIP_848:  # which may have moved partitions; a pause does not move with them
        assert [r.value for tp in kept for r in first.of(tp) if r.value.startswith(b"more")] == []
    first.source.set_paused(frozenset())
    for tp in tps[2:]:
        until(lambda tp=tp: any(m.of(tp) and m.of(tp)[-1].value == b"more 4" for m in (first, second)), first, second)


# -- while it does not run


def test_a_late_commit_of_what_was_read_of_the_old_one_does_not_count_for_the_new_one(scene):
    topic = scene.topic()
    tp = TopicPartition(topic, 0)
    scene.fill(topic, b"new", 20)
    scene.commit(topic, 15, mark(Mark(1, ANOTHER)))
    member = scene.member(topic, start="latest")
    until(lambda: all_new(member, 20), member)
    assert member.starts == {tp: Start(15, 15)}
    assert [told[0] for told in member.told("made anew")] == [tp]
    in_order_from_the_first(member, 20)


@pytest.mark.parametrize("metadata", ["", mark(Mark(1)), "reset by ops"])
def test_a_commit_that_does_not_say_of_which_topic_counts_and_the_next_one_says_it(scene, metadata):
    topic = scene.topic()
    tp = TopicPartition(topic, 0)
    scene.fill(topic, b"new", 20)
    scene.commit(topic, 15, metadata)
    member = scene.member(topic)
    until(lambda: len(member.records) == 5, member)
    known(member, tp)
    drive(0.7, member)
    assert member.offsets(tp) == [15, 16, 17, 18, 19]
    assert member.told("made anew") == []
    member.source.commit_now({tp: 20})
    assert topic_id_in(scene.stored(topic)[0].metadata) == member.source._ids.read[tp]


def test_one_made_again_while_nobody_was_there_begins_by_start_as_the_broker_has_deleted_its_commits(scene):
    topic = scene.topic()
    scene.fill(topic, b"old", 10)
    first = scene.member(topic)
    until(lambda: len(first.records) == 10 and first.settled, first)
    first.source.commit_now({TopicPartition(topic, 0): 10})
    scene.leave(first)
    scene.delete(topic)
    scene.make_again(topic, 20)
    eventually(lambda: scene.stored(topic) == {}, "the commits are still there")
    second = scene.member(topic)
    until(lambda: all_new(second, 20), second)
    assert second.told("made anew") == []
    assert values(second) == [f"new {n}" for n in range(20)]


# -- asking


@pytest.mark.xdist_group("secure-kafka")
def test_with_a_token_ids_are_told_too_and_the_token_is_the_consumers(secure, caplog):
    caplog.set_level(logging.INFO, "test.source")
    topic = secure.topic()
    tp = TopicPartition(topic, 0)
    secure.access.give(topics=[topic], groups=[secure.group])
    token = TokenSource("kafka.unsecured_tokens:token", "")
    asked = []
    given = token._function
    token._function = lambda config: asked.append(config) or given(config)
    member = secure.member(topic, oauth_cb=token)
    known(member, tp)
    assert asked == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_where_no_ids_are_told_all_goes_on_without_and_it_is_said_once(on_mock, monkeypatch, caplog):
    monkeypatch.setattr(topic_ids, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(topic_ids, "RARELY_SECONDS", 0.1)
    caplog.set_level(logging.INFO, "test.source")
    topic = on_mock.topic()
    tp = TopicPartition(topic, 0)
    on_mock.fill(topic, b"new", 5)
    member = on_mock.member(topic)

    def said():
        return [r for r in caplog.records if r.getMessage().startswith("kafka tells no topic ids")]

    until(lambda: len(member.records) == 5 and bool(said()) and member.settled, member)
    assert topic_id_in(on_mock.stored(topic)[0].metadata) == ""
    drive(2.0, member)
    assert len(said()) == 1
    assert member.troubles == []
    assert member.source.positions([tp]) == {tp: 5}
    began = time.monotonic()
    on_mock.leave(member)
    assert time.monotonic() - began < 20.0


def test_nothing_is_asked_before_anything_is_assigned(on_mock):
    member = on_mock.member(on_mock.unique("not-there"))
    drive(0.5, member)
    assert member.source._ids._client is None
