"""Every call that was made in the slow tests is allowed by the role it belongs to, and nothing is that nobody called.

`make test-all` runs this after them. Roles are the templates': the task's for the poller, RedriverPolicy for people.
"""

from __future__ import annotations

import re

import pytest

from kafka import asks
from recorded_calls.exceptions import NEVER_CALLED, NOT_ALLOWED, TAIL, excepted, to_be_called, wrong
from recorded_calls.roles import all_grants
from support.recorded_calls import AGENT, FILE, PERSON, POLLER
from support.templates import INFRA

GRANTS = all_grants()
TO_BE_CALLED = to_be_called(GRANTS)
ON_BROKERS = {
    "Fetch",
    "ListOffsets",
    "OffsetCommit",
    "OffsetFetch",
    "JoinGroup",
    "ConsumerGroupHeartbeat",
    "LeaveGroup",
    "InitProducerId",
    "Produce",
    "DescribeConfigs",
}
"""What a poller asks of brokers that wants a right, one way or the other of being in a group."""


def of_kafka(place):
    return place.action.startswith("kafka-cluster:")


def test_everybody_was_heard(judge):
    """A recording that lacks a kind of caller or of service would be judged too well."""
    heard = {(account.by, call.action.split(":")[0]) for account, calls in judge.calls.items() for call in calls}
    assert heard >= {
        *((POLLER, service) for service in ("glue", "s3", "sqs", "sts")),
        *((PERSON, service) for service in ("s3", "sqs")),
        (FILE, "s3"),
        (AGENT, "ecs"),
    }


def test_the_brokers_were_heard(judge, kafka_asked):
    heard = [(account.by, call) for account, calls in judge.calls.items() for call in filter(of_kafka, calls)]
    assert {by for by, _ in heard} == {POLLER, PERSON, TAIL}
    assert {call.operation for by, call in heard if by == POLLER} >= ON_BROKERS


def test_everybody_who_asks_is_somebody_that_is_judged(judge):
    """What a client of ours asks that does not say who it is, or says a name that has no role here."""
    known = {POLLER, PERSON, FILE, AGENT, TAIL}
    assert {f"{account.by} in {account.test}" for account in judge.calls if account.by not in known} == set()


def test_whose_test_each_call_was_made_in_is_known(judge):
    """Of calls of no test one account would be made, with the rights of all of them."""
    assert "" not in {account.test for account in judge.calls}


def test_every_call_is_allowed(judge):
    assert wrong(judge) == []


def test_every_call_that_is_not_to_be_allowed_is_one_that_was_made(judge, kafka_asked):
    made = {excepted(account.by, call) for account, call in judge.refused()}
    assert made - {None} == NOT_ALLOWED.keys()


@pytest.mark.parametrize("place", TO_BE_CALLED, ids=str)
def test_a_role_without_it_lacks_what_was_called(place, judge, request):
    """So each grant was called, and no other grants the same."""
    if of_kafka(place):
        request.getfixturevalue("kafka_asked")
    assert place in judge.used, f"{place} is granted, and nothing in the slow tests called for it"
    assert wrong(judge, without=(place,)), f"{place} is granted twice"


def test_what_nobody_calls_for_is_not_called_for(judge):
    """An exception that is not needed any more; whatever the resource, which a request of another kind may not tell."""
    called = {call.action for calls in judge.calls.values() for call in calls}
    assert [each for each in NEVER_CALLED if each.action in called] == []


def test_no_role_reaches_what_belongs_to_others(judge):
    """Of each kind of call, another test's is tried with each role; a schema version has no owner."""
    kinds = {}
    for account, calls in judge.calls.items():
        for call in calls:
            if call.resource not in ("*", asks.CLUSTER) and excepted(account.by, call) is None:
                kinds.setdefault((account.by, call.action), (account, call))
    for account, grants in judge.roles.items():
        own = {call.resource for call in judge.calls[account]}
        for other, call in kinds.values():
            if other.test != account.test and call.resource not in own:
                assert not any(each.grant.covers(call) for each in grants), f"{account} reaches {call}"


def test_the_page_says_what_people_need_for_letters_in_a_topic_of_msk(judge, kafka_asked):
    page = (INFRA / "dead-letters" / "README.md").read_text()
    (row,) = re.findall(r"^\| a topic of MSK \|.*$", page, re.MULTILINE)
    called = {
        account: [call for call in calls if excepted(PERSON, call) == "people's topic"]
        for account, calls in judge.calls.items()
        if account.by == PERSON
    }
    assert set(re.findall(r"kafka-cluster:\w+", row)) == {call.action for calls in called.values() for call in calls}
    for account, calls in called.items():
        assert len({call.resource for call in calls} - {asks.CLUSTER}) <= 1, f"{account} asks about more than one topic"
