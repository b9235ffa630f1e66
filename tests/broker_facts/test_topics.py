"""A topic that is deleted and made again under its name, seen by a consumer that runs or comes later.

The new topic's offsets begin at 0 again, and neither the client nor the broker compares topics by more than their
name on the way of a fetch or a classic commit. What tells them apart is the topic's id.
"""

from __future__ import annotations

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from broker_facts.raw import KIP_848, RANGE, Raw, drive, until
from support.brokers import QUIET, Sent, eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("broker-facts"), pytest.mark.deep]
PROTOCOLS = [pytest.param(RANGE, id="range"), pytest.param(KIP_848, id="kip-848")]


class Topic:
    """One name, under which topics come and go. Ten records are in the first, and all are read and committed."""

    def __init__(self, kafka, name, group):
        self.kafka, self.name, self.group = kafka, name, group
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
        kafka.create_topic(name)
        self.fill(b"old", 10)

    def fill(self, word, count):
        self.kafka.produce_all(Sent(self.name, 0, b"%s %d" % (word, n)) for n in range(count))

    def delete(self):
        self.admin.delete_topics([self.name])[self.name].result(20)

    def make_again(self, count):
        self.kafka.create_topic(self.name)
        self.fill(b"new", count)

    def id(self):
        return str(self.admin.describe_topics(TopicCollection([self.name]))[self.name].result(10).topic_id)

    def stored(self):
        return {number: each.offset for number, each in self.kafka.committed(self.group, self.name).items()}


@pytest.fixture
def topic(kafka, unique):
    return Topic(kafka, unique("facts"), unique("group"))


@pytest.fixture
def start(topic):
    """A member that has read all of the topic, as the poller does it: it begins where the test says, never by reset."""
    opened = []

    def member(protocol, **properties):
        first = Raw(topic.kafka.bootstrap, topic.group, topic.name)
        first.commit({0: 0})
        first.close()
        settings = {"auto_offset_reset": "error", "topic_metadata_refresh_interval_ms": 500, **properties}
        opened.append(Raw(topic.kafka.bootstrap, topic.group, topic.name, protocol, **settings).join())
        until(lambda: len(opened[-1].records) == 10, opened[-1])
        assert opened[-1].commit({0: 10}) == {0: None}
        return opened[-1]

    yield member
    for each in opened:
        each.close()


def new(member):
    """The records of the topic that was made again, by their values."""
    return [value.decode() for value in member.values if value.startswith(b"new")]


def test_a_topic_made_again_has_another_id_and_its_leader_epoch_begins_at_zero_again(topic):
    before = topic.id()
    topic.delete()
    topic.make_again(1)
    assert topic.id() != before
    consumer = Raw(topic.kafka.bootstrap, topic.group, topic.name)
    consumer.consumer.assign([consumer.at(0, 0)])
    found = []
    eventually(lambda: found.extend(consumer.turn()) or found, "no record")
    assert found[0].leader_epoch() == 0
    consumer.close()


def test_with_the_topic_the_offsets_of_its_groups_are_deleted(topic, start):
    member = start(RANGE)
    assert topic.stored() == {0: 10}
    topic.delete()
    topic.make_again(1)
    eventually(lambda: topic.stored() == {}, "the offsets are still there")
    # And a commit of what was read of the old one is taken for the new one.
    member.send_commit({0: 10})
    until(lambda: member.answers, member)
    assert member.answers[0].error is None
    assert topic.stored() == {0: 10}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_topic_made_again_at_once_that_has_grown_past_the_position_is_read_from_the_middle(topic, start, protocol):
    """And nothing tells so before it has happened: a classic member hears nothing at all."""
    member = start(protocol, topic_metadata_refresh_interval_ms=60_000 if protocol == RANGE else 500)
    told = len(member.told)
    topic.delete()
    topic.make_again(20)
    until(lambda: new(member), member)
    assert new(member)[0] == "new 10"
    if protocol == RANGE:
        drive(1.5, member)
        assert new(member) == [f"new {number}" for number in range(10, 20)]
        assert member.told[told:] == []
        assert member.message_errors == []


def test_a_topic_made_again_at_once_that_is_shorter_is_out_of_range(topic, start):
    member = start(RANGE)
    topic.delete()
    topic.make_again(5)
    until(lambda: member.message_errors, member)
    assert {error for error, _ in member.message_errors} <= {"_AUTO_OFFSET_RESET", "UNKNOWN_TOPIC_OR_PART"}
    drive(0.3, member)
    assert "_AUTO_OFFSET_RESET" in {error for error, _ in member.message_errors}
    assert new(member) == []


def test_kip_848_revokes_a_topic_made_again_and_assigns_it_without_an_offset(topic, start):
    member = start(KIP_848)
    topic.delete()
    topic.make_again(20)
    until(lambda: member.told[-1] == ("assign", [0]) and len(member.told) > 2, member)
    assert ("revoke", [0]) in member.told
    assert [told for told in member.told if told[0] == "lost"] == []
    until(lambda: ("_AUTO_OFFSET_RESET", 0) in member.message_errors, member)


def test_a_topic_whose_deletion_was_noticed_is_revoked_and_assigned_without_an_offset(topic, start):
    member = start(RANGE)
    topic.delete()
    until(lambda: ("revoke", [0]) in member.told, member)
    assert member.message_errors == [("UNKNOWN_TOPIC_OR_PART", 0)]
    topic.make_again(20)
    until(lambda: member.told[-1] == ("assign", [0]) and len(member.told) > 2, member)
    until(lambda: ("_AUTO_OFFSET_RESET", 0) in member.message_errors, member)
    assert new(member) == []
