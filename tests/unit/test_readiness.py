"""`/readyz`: assigned and able to work."""

from __future__ import annotations

import pytest

from datahub_poller.observe.readiness import not_ready
from datahub_poller.observe.status import PartitionStatus, PollerStatus


def status(*states, state="running", reasons=()):
    partitions = tuple(PartitionStatus("t", number, each, reason="why") for number, each in enumerate(states))
    return PollerStatus("a", "1", state, reasons=reasons, partitions=partitions)


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
        (status("idle", state="halted"), "halted"),
        (status("idle", state="stopping"), "stopping"),
        (status("idle", state="waiting", reasons=("kafka: all brokers are down",)), "kafka: all brokers are down"),
    ],
)
def test_what_else_stands_in_the_way(what, said):
    assert (not_ready(what) or "").startswith(said)
