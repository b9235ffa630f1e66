"""What a real broker writes down of a group, read back: against what it answers when it is asked."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from datahub_poller.model import TopicPartition
from guarantees.gather import under_present_clients
from guarantees.group_log import read_group, topic_ids
from guarantees.timelines import Accounts
from guarantees.trace import Life
from support.brokers import eventually, patiently

PROTOCOLS = {
    "range": {"partition.assignment.strategy": "range"},
    "cooperative": {"partition.assignment.strategy": "cooperative-sticky"},
    "kip-848": {"group.protocol": "consumer"},
}
PARTITIONS = 6


class Members:
    """Consumers that a test drives; nothing is produced, so that they do nothing but hold partitions."""

    def __init__(self, bed, group, topic, protocol):
        self._bed, self._topic = bed, topic
        timing = {} if protocol == "kip-848" else {"session.timeout.ms": 6000, "heartbeat.interval.ms": 200}
        self._config = {
            "bootstrap.servers": bed.bootstrap,
            "log_level": 0,
            "group.id": group,
            "enable.auto.commit": False,
            **timing,
            **PROTOCOLS[protocol],
        }
        self.now = {}

    def join(self, client, **config):
        self.now[client] = Consumer({**self._config, "client.id": client, **config})
        self.now[client].subscribe([self._topic])

    def leave(self, client):
        self.now.pop(client).close()

    def held(self):
        return {
            client: frozenset(TopicPartition(each.topic, each.partition) for each in consumer.assignment())
            for client, consumer in self.now.items()
        }

    def settle(self):
        """Drive them until each has its even share."""
        share, more = divmod(PARTITIONS, len(self.now))

        def settled():
            for consumer in self.now.values():
                consumer.poll(0.02)
            held = self.held().values()
            return (
                sorted(map(len, held)) == sorted([share + (n < more) for n in range(len(self.now))])
                and len(frozenset().union(*held)) == PARTITIONS
            )

        eventually(settled, f"not shared out: {self.held()}")

    def close(self):
        for client in list(self.now):
            self.leave(client)


@pytest.fixture
def group(kafka, unique):
    name, topic = unique("group"), unique("t")
    kafka.create_topic(topic, PARTITIONS)
    with ExitStack() as stack:

        def of(protocol):
            members = Members(kafka, name, topic, protocol)
            stack.callback(members.close)
            return name, topic, members

        yield of


def described(bed, group):
    """Who holds what, when the broker is asked."""
    admin = AdminClient({"bootstrap.servers": bed.bootstrap, "log_level": 0})
    found = patiently(lambda: admin.describe_consumer_groups([group])[group].result(5)).members
    return {
        member.client_id: frozenset(TopicPartition(p.topic, p.partition) for p in member.assignment.topic_partitions)
        for member in found
    }


def last_account(bed, group):
    return dict(read_group(bed.bootstrap, group).ownerships[-1].held)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_accounts_are_what_the_members_hold(kafka, group, protocol):
    name, _, members = group(protocol)
    began = time.time()
    seen = []
    for act, clients in ((members.join, "a"), (members.join, "bc"), (members.leave, "b")):
        for client in clients:
            act(client)
        members.settle()
        eventually(lambda: last_account(kafka, name) == members.held(), f"the log does not say {members.held()}")
        assert described(kafka, name) == members.held()
        seen.append(members.held())
    members.close()
    ownerships = read_group(kafka.bootstrap, name).ownerships
    assert [each for each in ownerships if each.held in seen]
    assert ownerships[-1].held == {}
    assert all(began - 1 <= each.at <= time.time() for each in ownerships)
    assert [each.at for each in ownerships] == sorted(each.at for each in ownerships)
    assert [each.epoch for each in ownerships] == sorted(each.epoch for each in ownerships)
    for each in ownerships:
        assert sum(map(len, each.held.values())) == len(frozenset().union(*each.held.values())), "held twice"
    # What stays with a member is given to it anew in an eager group alone.
    alone, shared = seen[:2]
    came = next(each.at for each in ownerships if each.held == shared)
    gained = {Accounts(ownerships).gained("a", tp, came) for tp in alone["a"] & shared["a"]}
    assert len(gained) == 1
    assert (gained == {came}) == (protocol == "range")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_commits_are_what_the_group_has_committed(kafka, group, protocol, unique):
    name, topic, members = group(protocol)
    members.join("a")
    members.settle()
    began = time.time()
    for number, offset in ((0, 3), (1, 7), (0, 5), (2, 2**40)):
        wanted = KafkaPartition(topic, number, offset, metadata=f"mark={number}")
        patiently(lambda wanted=wanted: members.now["a"].commit(offsets=[wanted], asynchronous=False))
    commits = read_group(kafka.bootstrap, name).commits
    assert [(each.tp.partition, each.offset) for each in commits] == [(0, 3), (1, 7), (0, 5), (2, 2**40)]
    assert {each.tp.topic for each in commits} == {topic}
    assert all(each.metadata.startswith(f"mark={each.tp.partition}") for each in commits)
    assert all(began - 1 <= each.at <= time.time() + 1 for each in commits)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)])[name].result(5)
    asked = {each.partition: each.offset for each in found.topic_partitions}
    assert {each.tp.partition: each.offset for each in commits} == asked
    assert read_group(kafka.bootstrap, unique("nobody")) == ([], [])


@pytest.mark.parametrize("protocol", ["range", "kip-848"])
def test_a_static_member_that_comes_back_under_another_client_id(kafka, group, protocol):
    """The broker goes on telling the first client.id of a classic group's static member: the lives tell the present."""
    name, _, members = group(protocol)
    began = time.time()
    members.join("a1", **{"group.instance.id": "a"})
    members.join("b1", **{"group.instance.id": "b"})
    members.settle()
    before = members.held()
    members.leave("a1")
    between = time.time()
    members.join("a2", **{"group.instance.id": "a"})
    members.settle()
    assert members.held() == {"a2": before["a1"], "b1": before["b1"]}
    told = read_group(kafka.bootstrap, name).ownerships
    lives = [Life("a1", began, between, "stopped"), Life("b1", began, None, "running")]
    lives.append(Life("a2", between, None, "running"))
    present = under_present_clients(told, lives, {"a1": "a", "a2": "a", "b1": "b"})
    assert dict(present[-1].held) == members.held()
    assert ("a1" in told[-1].held) == (protocol == "range")


def test_topics_that_are_gone_keep_their_names_where_something_was_committed(kafka, group):
    name, topic, members = group("kip-848")
    members.join("a")
    members.settle()
    patiently(lambda: members.now["a"].commit(offsets=[KafkaPartition(topic, 0, 1)], asynchronous=False))
    members.close()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    assert topic in topic_ids(kafka.bootstrap).values()
    admin.delete_topics([topic])[topic].result(20)
    eventually(lambda: topic not in topic_ids(kafka.bootstrap).values(), "the topic is still there")
    log = read_group(kafka.bootstrap, name)
    held = frozenset().union(*(tps for each in log.ownerships for tps in each.held.values()))
    assert {tp.topic for tp in held} == {topic}
    assert [each.offset for each in log.commits] == [1]


def test_brokers_that_are_not_there(unique):
    with pytest.raises(TimeoutError, match="not read within 1 s"):
        read_group("127.0.0.1:9", unique("group"), patience=1.0)
