"""What becomes of commits: whose are taken, which are refused and with what, which come through late.

The poller's lease is the only guard that holds everywhere; each fact here says why. Bare consumers, real brokers.
"""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaException

from broker_facts.raw import COOPERATIVE, KIP_848, RANGE, Raw, drive, until
from support.brokers import Sent

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("broker-facts"), pytest.mark.deep]
EVERY = [
    pytest.param(RANGE, id="range"),
    pytest.param(COOPERATIVE, id="cooperative"),
    pytest.param(KIP_848, id="kip-848"),
]
REBALANCING = {"ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "STALE_MEMBER_EPOCH"}


@pytest.fixture
def stage(kafka, unique, request):
    """Makes members of one group on one topic of two partitions, five records in each; closes them."""
    topic, group, members = unique("facts"), unique("group"), []
    kafka.create_topic(topic, 2)
    kafka.produce_all(Sent(topic, number % 2, b"%d" % number) for number in range(10))

    def member(protocol, **properties):
        members.append(Raw(kafka.bootstrap, group, topic, protocol, **properties).join())
        return members[-1]

    member.stored = lambda: {number: each.offset for number, each in kafka.committed(group, topic).items()}
    member.metadata = lambda: {number: each.metadata for number, each in kafka.committed(group, topic).items()}
    yield member
    for each in members:
        each.close()


def share(stage, protocol):
    """Two members with a partition each, and which those are."""
    first = stage(protocol)
    until(lambda: first.owned == {0, 1}, first)
    second = stage(protocol)
    until(lambda: len(first.owned) == len(second.owned) == 1, first, second)
    return first, second, *first.owned, *second.owned


@pytest.mark.parametrize("protocol", EVERY)
def test_a_live_members_commit_for_a_partition_that_another_owns_is_accepted_and_stored(stage, protocol):
    first, second, _, others = share(stage, protocol)
    assert second.commit({others: 4}) == {others: None}
    assert first.commit({others: 2}) == {others: None}
    assert stage.stored() == {others: 2}
    first.send_commit({others: 1})
    until(lambda: first.answers, first, second)
    assert first.answers[0][:2] == (None, {others: None})
    assert stage.stored() == {others: 1}
    # Storing it for a commit to come is what the client itself refuses.
    with pytest.raises(KafkaException) as refused:
        first.consumer.store_offsets(offsets=[first.at(others, 3)])
    assert refused.value.args[0].name() == "_INVALID_ARG"


def test_commit_metadata_is_kept_and_given_back(stage):
    member = stage(RANGE)
    until(lambda: member.owned, member)
    text = "datahub-poller:start=1700000000000 é"
    member.consumer.commit(offsets=[member.at(0, 3, text), member.at(1, 4)], asynchronous=False)
    found = member.consumer.committed([member.at(0), member.at(1)], timeout=5)
    assert [(each.offset, each.metadata or "") for each in found] == [(3, text), (4, "")]
    # A later commit without it takes it away.
    assert member.commit({0: 4}) == {0: None}
    assert stage.metadata() == {0: "", 1: ""}


def test_a_commit_that_is_waited_for_is_not_told_to_on_commit(stage):
    member = stage(RANGE)
    until(lambda: member.owned, member)
    assert member.commit({0: 1}) == {0: None}
    member.send_commit({0: 2})
    until(lambda: member.answers, member)
    drive(0.2, member)
    assert len(member.answers) == 1


@pytest.mark.parametrize("protocol", EVERY)
def test_a_commit_during_a_rebalance_is_stored_or_refused_for_the_moment(stage, protocol):
    """Most get through. A refusal does not mean that a lease is over: the same member's next commit is taken."""
    first, second, mine, _ = share(stage, protocol)
    others = [second]
    sent = []

    def commit_again():
        if len(first.answers) == len(sent):
            sent.append(len(sent) + 1)
            first.send_commit({mine: sent[-1]})

    others.append(stage(protocol))
    end = time.monotonic() + 4
    while time.monotonic() < end:
        commit_again()
        for each in (first, *others):
            each.turn(timeout=0.005)
    until(lambda: len(first.answers) == len(sent), first, *others)
    assert {answer.error for answer in first.answers} <= {None, *REBALANCING}
    assert sum(answer.error is None for answer in first.answers) > len(first.answers) / 2
    taken = [number for number, answer in zip(sent, first.answers, strict=True) if answer.error is None]
    assert stage.stored() == {mine: taken[-1]}
    drive(0.3, first, *others)
    assert first.commit({mine: 1000}) == {mine: None}
    assert [told for told in first.told if told[0] == "lost"] == []


FENCE = {"session_timeout_ms": 1500, "heartbeat_interval_ms": 200, "max_poll_interval_ms": 1500}


def put_out(stage, protocol):
    """A member that did not poll for longer than it may: out of the group, and does not know yet."""
    member = stage(protocol, **({"max_poll_interval_ms": 1500} if protocol == KIP_848 else FENCE))
    until(lambda: member.owned == {0, 1} and len(member.records) == 10, member)
    assert member.commit({0: 1, 1: 1}) == {0: None, 1: None}
    time.sleep(2.5)  # not waiting for anything: not polling is the fault
    return member


def both_ways(member, offsets):
    """What a commit that is waited for answers, and one that is not."""
    waited = member.commit(offsets)
    member.send_commit(offsets)
    until(lambda: member.answers, member)
    return [waited.get(-1, waited.get(0)), member.answers[-1].error]


def test_after_max_poll_interval_a_classic_members_commits_are_refused_even_in_an_empty_group(stage):
    member = put_out(stage, RANGE)
    assert both_ways(member, {0: 2}) == ["UNKNOWN_MEMBER_ID", "UNKNOWN_MEMBER_ID"]
    assert stage.stored() == {0: 1, 1: 1}
    until(lambda: member.owned == {0, 1} and len(member.told) > 1, member)
    assert member.told[1:] == [("lost", [0, 1]), ("assign", [0, 1])]
    assert member.message_errors[0][0] == "_MAX_POLL_EXCEEDED"
    assert member.commit({0: 3}) == {0: None}


def test_after_max_poll_interval_a_kip_848_members_commits_are_stored_in_an_empty_group(stage):
    """The broker is no fence there: a member that was put out commits like a client that never joined."""
    member = put_out(stage, KIP_848)
    assert both_ways(member, {0: 2}) == [None, None]
    assert stage.stored() == {0: 2, 1: 1}
    until(lambda: len(member.told) > 1, member)
    assert member.told[1] == ("lost", [0, 1])


@pytest.mark.parametrize("protocol", [pytest.param(RANGE, id="range"), pytest.param(KIP_848, id="kip-848")])
def test_after_max_poll_interval_commits_are_refused_once_another_has_taken_over(stage, protocol):
    member = put_out(stage, protocol)
    other = stage(protocol)
    until(lambda: other.owned == {0, 1}, other)
    assert other.commit({0: 4, 1: 4}) == {0: None, 1: None}
    late = []
    member.on_revoke = lambda partitions: late.append(member.commit(dict.fromkeys(partitions, 2)))
    assert member.commit({0: 2}) == {-1: "UNKNOWN_MEMBER_ID"}
    member.send_commit({0: 2})
    until(lambda: member.answers and member.told[1:], member, other)
    assert member.answers[0].error == "UNKNOWN_MEMBER_ID"
    # It is told `revoke` as readily as `lost`: a commit made there is refused just the same.
    assert {name for name, _ in member.told[1:]} <= {"revoke", "lost", "assign"}
    assert [answer for answer in late if answer != {-1: "UNKNOWN_MEMBER_ID"}] == []
    assert stage.stored() == {0: 4, 1: 4}
    until(lambda: len(member.owned) == len(other.owned) == 1, member, other)


@pytest.mark.parametrize("protocol", EVERY)
def test_a_commit_on_its_way_when_the_consumer_closes_is_stored_and_answered(stage, protocol):
    member = stage(protocol)
    until(lambda: member.owned == {0, 1}, member)
    member.send_commit({0: 3})
    member.close()
    assert [answer[:2] for answer in member.answers] == [(None, {0: None})]
    assert stage.stored() == {0: 3}
    assert member.told[-1] == ("revoke", [0, 1])
