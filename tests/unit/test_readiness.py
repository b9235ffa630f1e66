"""`/readyz`: assigned and able to work."""

from __future__ import annotations

import dataclasses

import pytest

from datahub_poller.observe.readiness import has_joined, not_ready
from datahub_poller.observe.status import PartitionStatus, PollerStatus


def status(*states, state="running", reasons=()):
    partitions = tuple(PartitionStatus("t", number, each, reason="why") for number, each in enumerate(states))
    return PollerStatus("a", "1", state, reasons=reasons, partitions=partitions)


def lacking(*topics, **more):
    return dataclasses.replace(status(**more), missing_topics=topics)


@pytest.mark.parametrize("each", ["idle", "ready", "in_flight", "backing_off", "writing_letters", "paused"])
def test_with_a_partition_that_can_go_on_it_is_ready(each):
    assert not_ready(status(each)) is None
    assert (
        not_ready(
            status("waiting_sink", each),
        )
        is None
    )


@pytest.mark.parametrize("each", ["waiting_schema", "waiting_sink", "blocked", "breaker", "halted"])
def test_where_all_stand_it_is_not_and_says_why(each):
    assert not_ready(status(each, each)) == f"every partition stands still: {each.replace('_', ' ')}: why"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (None, "starting"),
        (status(state="starting"), "starting"),
        (status(state="waiting"), "no partition is assigned"),
        (lacking("t", "u", state="waiting"), "no partition is assigned: t, u does not exist"),
        (status("idle", state="halted"), "halted"),
        (status("idle", state="stopping"), "stopping"),
        (status("idle", state="waiting", reasons=("kafka: all brokers are down",)), "kafka: all brokers are down"),
    ],
)
def test_what_else_stands_in_the_way(what, said):
    assert (not_ready(what) or "").startswith(said)


def test_with_partitions_of_another_topic_it_is_ready():
    assert not_ready(dataclasses.replace(status("idle", state="waiting"), missing_topics=("u",))) is None


@pytest.mark.parametrize(
    ("what", "joined"),
    [
        (None, False),
        (status(state="starting"), False),
        (lacking("t", state="waiting"), False),
        (dataclasses.replace(lacking("t", state="waiting"), counters={"rebalances": 1}), True),
        (status(state="waiting"), True),
        (status("idle"), True),
    ],
)
def test_where_no_topic_exists_the_group_was_never_joined(what, joined):
    assert has_joined(what) is joined
