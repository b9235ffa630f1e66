"""A broker that is killed or hangs: what commits answer and when, and what a consumer gets meanwhile."""

from __future__ import annotations

import signal
import time

import pytest
from confluent_kafka.admin import AdminClient

from broker_facts.raw import KIP_848, RANGE, Raw, drive, until
from support.brokers import QUIET, KafkaBed, Sent, patiently

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("broker-facts"), pytest.mark.deep]


def coordinator(admin, group):
    return patiently(lambda: admin.describe_consumer_groups([group])[group].result(10)).coordinator.id


def group_led_by(admin, unique, node):
    """The name of a group that this node coordinates: which one does is the name's hash."""
    while True:
        group = unique("group")
        if coordinator(admin, group) == node:
            return group


def stored(bed, group, topic):
    return {number: each.offset for number, each in bed.committed(group, topic).items()}


def fill(bed, topic, partitions, count):
    bed.produce_all(Sent(topic, number, b"%d" % n) for n in range(count) for number in partitions)


def test_with_its_coordinator_killed_a_commit_waits_for_the_next_one_and_nothing_is_lost(new_kafka, unique):
    """librdkafka tries again by itself; a commit that is waited for blocks all the while."""
    cluster = new_kafka(3)
    bed = KafkaBed(cluster.bootstrap)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, **QUIET})
    topic = unique("facts")
    bed.create_topic(topic, 3)
    fill(bed, topic, range(3), 10)
    first_group = unique("group")
    node = coordinator(admin, first_group)
    second_group = group_led_by(admin, unique, node)
    settings = {"session_timeout_ms": 20_000, "heartbeat_interval_ms": 500}
    sends = Raw(bed.bootstrap, first_group, topic, RANGE, **settings).join()
    waits = Raw(bed.bootstrap, second_group, topic, KIP_848).join()
    until(lambda: len(sends.records) == len(waits.records) == 30, sends, waits)
    assert {sends.commit({0: 1})[0], waits.commit({0: 1})[0]} == {None}
    began = time.monotonic()
    cluster.kill(node)
    sends.send_commit({0: 5})
    assert waits.commit({0: 5}) == {0: None}
    assert 1 < time.monotonic() - began < 60
    until(lambda: sends.answers, sends, waits)
    assert sends.answers[0][:2] == (None, {0: None})
    assert stored(bed, first_group, topic) == stored(bed, second_group, topic) == {0: 5}
    # The killed node led one of the three partitions.
    fill(bed, topic, range(3), 10)
    until(lambda: len(sends.records) == 60, sends, waits)
    assert time.monotonic() - began < 90
    drive(0.5, sends, waits)
    assert [sends.offsets(number) for number in range(3)] == [list(range(20))] * 3
    assert sends.message_errors == []
    sends.close()
    waits.close()


def send_signal(cluster, node, signum):
    """To a node's process, which stays the cluster's."""
    cluster._running[node].send_signal(signum)


def test_a_commit_on_its_way_when_the_coordinator_hangs_or_goes_is_held_however_long_and_may_be_stored_after_lost(
    new_kafka, unique
):
    """Neither socket.timeout.ms nor the session timeout ends it. One that finds no coordinator gives up."""
    cluster = new_kafka(1)
    bed = KafkaBed(cluster.bootstrap)
    topic, groups = unique("facts"), [unique("group") for _ in range(3)]
    bed.create_topic(topic)
    quick = {"session_timeout_ms": 2000, "heartbeat_interval_ms": 200}
    patient = Raw(bed.bootstrap, groups[0], topic, session_timeout_ms=30_000, socket_timeout_ms=1000).join()
    held = Raw(bed.bootstrap, groups[1], topic, **quick).join()
    late = Raw(bed.bootstrap, groups[2], topic, **quick).join()
    members = (patient, held, late)
    until(lambda: all(each.owned for each in members), *members)
    assert [each.commit({0: 1}) for each in members] == [{0: None}] * 3

    send_signal(cluster, 1, signal.SIGSTOP)
    patient.send_commit({0: 4})
    drive(2, *members)
    assert patient.answers == []
    send_signal(cluster, 1, signal.SIGCONT)
    until(lambda: patient.answers, *members)
    assert patient.answers[0].error is None
    until(lambda: held.owned and late.owned, *members)

    send_signal(cluster, 1, signal.SIGSTOP)
    held.send_commit({0: 5})
    drive(0.3, held)
    cluster.kill(1)
    late.errors.clear()
    until(lambda: late.errors, *members)
    drive(0.5, *members)
    began = time.monotonic()
    assert late.commit({0: 5}) == {-1: "_WAIT_COORD"}
    assert 1.9 < time.monotonic() - began < 30
    until(lambda: held.told[-1][0] == "lost", *members)
    drive(1, *members)
    assert held.answers == []

    cluster.restart(1)
    until(lambda: held.answers, *members)
    # The coordinator that is not ready yet is no reason for librdkafka to try again.
    assert held.answers[0].error in {None, "COORDINATOR_LOAD_IN_PROGRESS", "UNKNOWN_MEMBER_ID"}
    assert stored(bed, groups[1], topic) == {0: 5 if held.answers[0].error is None else 1}
    assert stored(bed, groups[2], topic) == {0: 1}
    for each in members:
        each.close()
