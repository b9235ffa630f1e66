"""What rebalances do to pauses, to records on their way and to a frozen member; what KIP-848 does otherwise."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException

from broker_facts.frozen import PROTOCOLS
from broker_facts.raw import COOPERATIVE, KIP_848, RANGE, Raw, drive, until
from support.brokers import Sent, eventually
from support.tether import tethered

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("broker-facts"), pytest.mark.deep]
EVERY = [pytest.param(protocol, id=name) for name, protocol in PROTOCOLS.items()]


@pytest.fixture
def stage(kafka, unique):
    """Makes members of one group on one topic of four partitions, and closes them."""
    topic, group, members = unique("facts"), unique("group"), []
    kafka.create_topic(topic, 4)

    def member(protocol, **properties):
        members.append(Raw(kafka.bootstrap, group, topic, protocol, **properties).join())
        return members[-1]

    def fill(count, partitions=(0, 1, 2, 3)):
        kafka.produce_all(Sent(topic, partition, b"%d" % n) for partition in partitions for n in range(count))

    member.fill, member.topic, member.group, member.members = fill, topic, group, members
    yield member
    for each in members:
        each.close()


def joined(member):
    until(lambda: len(member.owned) == 4, member)
    return member


def shared(first, second):
    until(lambda: len(first.owned) == len(second.owned) == 2, first, second)


@pytest.mark.parametrize("protocol", EVERY)
def test_a_pause_survives_that_the_partition_is_revoked_and_assigned_again(stage, protocol):
    member = joined(stage(protocol))
    every = [member.at(partition) for partition in range(4)]
    member.consumer.pause(every)
    second = stage(protocol)
    shared(member, second)
    gone = set(second.owned)
    stage.members.remove(second)
    second.close()
    joined(member)
    stage.fill(5)
    drive(0.7, member)
    assert member.records == []
    assert {number for name, numbers in member.told if name == "revoke" for number in numbers} >= gone
    member.consumer.resume(every)
    until(lambda: len(member.records) == 20, member)


@pytest.mark.parametrize("protocol", EVERY)
def test_consume_hands_out_nothing_of_a_partition_after_its_revocation(stage, protocol):
    """Not in the call that ran the callback, whatever it had taken from the queue before, and not in a later one."""
    stage.fill(5000)
    member = stage(protocol, queued_min_messages=100_000)
    until(lambda: len(member.owned) == 4 and member.records, member)
    second, seen = stage(protocol, queued_min_messages=1), []
    while len(member.owned) != 2 or len(second.owned) != 2:
        seen += [(came.partition(), set(member.owned)) for came in member.turn(20, 0.01)]
        second.turn(1, 0.01)
    for _ in range(20):
        seen += [(came.partition(), set(member.owned)) for came in member.turn(20, 0.01)]
    assert [place for place in seen if place[0] not in place[1]] == []
    # There was something to hand out.
    left = 20_000 - len(member.records) - len(second.records)
    assert left > 5000


def test_kip_848_revokes_only_what_moves_and_then_assigns_nothing(stage):
    member = joined(stage(KIP_848))
    second = stage(KIP_848)
    until(lambda: second.owned, member, second)
    took = until(lambda: len(second.owned) == 2, member, second)
    assert took < 20  # the broker's heartbeat interval of 300 ms; with its default of 5 s it is that
    moved = sorted(second.owned)
    assert member.told == [("assign", [0, 1, 2, 3]), ("revoke", moved), ("assign", [])]
    assert [told for told in second.told if told[1]] == [("assign", moved)]


def test_cooperative_revokes_only_what_moves_and_range_revokes_everything(stage):
    member = joined(stage(COOPERATIVE))
    second = stage(COOPERATIVE)
    shared(member, second)
    assert [told for told in member.told if told[1]] == [("assign", [0, 1, 2, 3]), ("revoke", sorted(second.owned))]
    while stage.members:
        stage.members.pop().close()
    member = joined(stage(RANGE))
    second = stage(RANGE)
    shared(member, second)
    assert member.told == [("assign", [0, 1, 2, 3]), ("revoke", [0, 1, 2, 3]), ("assign", sorted(member.owned))]


def test_kip_848_refuses_a_session_timeout_of_the_clients(kafka, unique):
    properties = {"bootstrap.servers": kafka.bootstrap, "group.id": unique("group"), **KIP_848}
    with pytest.raises(KafkaException, match=r"session\.timeout\.ms") as refused:
        Consumer({**properties, "session.timeout.ms": 6000})
    assert refused.value.args[0].name() == "_INVALID_ARG"


@pytest.mark.parametrize("protocol", EVERY)
def test_partitions_that_a_topic_gains_are_assigned_within_a_metadata_refresh(kafka, stage, protocol):
    member = joined(stage(protocol, topic_metadata_refresh_interval_ms=1000))
    kafka.add_partitions(stage.topic, 5)
    assert until(lambda: 4 in member.owned, member) < 30  # the client's default is five minutes


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_member_that_was_frozen_is_told_lost_and_its_commits_are_refused(kafka, stage, name, tmp_path):
    stage.fill(5)
    command = [sys.executable, str(Path(__file__).parent / "frozen.py")]
    with (tmp_path / "said").open("wb") as out:
        where = [kafka.bootstrap, stage.group, stage.topic, name]
        child = subprocess.Popen(tethered([*command, *where]), stdin=subprocess.PIPE, stdout=out, text=True)

    def said():
        lines = (tmp_path / "said").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be half written

    try:
        eventually(lambda: ["assign", [0, 1, 2, 3]] in said(), "the child was not assigned")
        child.send_signal(signal.SIGSTOP)
        other = stage(PROTOCOLS[name])
        took = until(lambda: len(other.owned) == 4, other)
        assert took < 30
        assert other.commit(dict.fromkeys(range(4), 3)) == dict.fromkeys(range(4))
        child.stdin.write("1 2\n")
        child.stdin.flush()
        child.send_signal(signal.SIGCONT)
        until(lambda: any(line[0] == "sent" for line in said()), other)
        answers = {line[0]: line[1] for line in said() if line[0] in ("waited", "sent")}
        # mostly UNKNOWN_MEMBER_ID; a member that was already on its way back in is told so in other words
        assert None not in answers.values(), said()
        until(lambda: ["lost", [0, 1, 2, 3]] in said(), other)
        assert [line for line in said() if line[0] == "revoke"] == []
        assert {each.offset for each in kafka.committed(stage.group, stage.topic).values()} == {3}
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
