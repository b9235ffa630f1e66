"""What `explain` says of a status: why, what to do, and that each state has words of its own."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from datahub_poller.errors import PollerError
from datahub_poller.observe.explaining import explained, whole
from datahub_poller.observe.status import PartitionState, PartitionStatus, PollerStatus, as_document


def document(*partitions: PartitionStatus, **more):
    status = PollerStatus(**{"action": "a", "version": "1", "state": "running", "partitions": partitions, **more})
    return as_document(status, now=100.0, wall=1_800_000_000.0)


def of(state, **more):
    (one,) = explained(document(PartitionStatus("t", 3, state, **more)), "t-3")
    return one


@pytest.mark.parametrize("state", get_args(PartitionState))
def test_every_state_has_words_and_what_stands_has_a_remedy(state):
    one = of(state, reason="the reason", last_error="ValueError: x", attempts=2, next_try_in=3.5, since=90.0)
    assert one.state == state
    assert "It says of itself" not in one.told.why, "no words for this state"
    assert one.told.why.endswith(".")
    assert bool(one.told.remedy) or one.moves or state == "draining"


@pytest.mark.parametrize("state", ["waiting_schema", "waiting_sink", "halted", "breaker", "paused"])
def test_the_reason_is_told(state):
    assert "403 from the registry" in of(state, reason="403 from the registry").told.why


LATE = "handler past its timeout for 9 s"


@pytest.mark.parametrize(
    ("one", "words", "remedy"),
    [
        (of("idle"), "nothing to do", ""),
        (of("idle", lag=7), "7 records are in the log, and none of them has come yet", "leader"),
        (of("backing_off", attempts=2, last_error="KeyError: 'urn'"), "failed 2 time(s): KeyError", "retry-now"),
        (of("backing_off", reason="connection refused"), "connection refused. That uses up no tries", "retry-now"),
        (of("in_flight", in_flight=5, since=90.0), "The handler has 5 of its events since", ""),
        (of("in_flight", in_flight=5, reason=LATE), "past its timeout", "A restart ends the call"),
        (of("breaker", reason="20 records in a row were given up"), "20 records in a row", "breaker close"),
        (of("paused", reason="by ann@laptop: upgrade"), "paused by ann@laptop: upgrade", "resume"),
        (of("waiting_sink", reason="No space left on device"), "No space left on device", "Nothing is committed past"),
    ],
)
def test_what_is_said(one, words, remedy):
    assert words in one.told.why
    assert remedy in one.told.remedy
    assert bool(remedy) == bool(one.told.remedy)


def test_what_moves_and_what_stands():
    assert of("in_flight").moves
    assert not of("in_flight", stuck=True).moves
    assert not of("waiting_sink").moves


def test_a_partition_that_is_not_here_is_told_with_those_that_are():
    with pytest.raises(PollerError, match=r"t-9 is not a partition of this poller: its partitions are t-0, t-1\. "):
        explained(document(PartitionStatus("t", 0, "idle"), PartitionStatus("t", 1, "idle")), "t-9")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (document(state="starting"), "joining its group"),
        (document(state="waiting"), "others of its group have them all"),
        (document(state="stopping"), "told to stop"),
        (document(reasons=("kafka: all brokers are down",)), "all brokers are down"),
        (document(reasons=("commits fail: not authorized",)), "It would come again after a restart"),
        ({**document(PartitionStatus("t", 0, "idle")), "loop_turned_ago": 31.0}, "has not turned for 31 s"),
    ],
)
def test_what_holds_up_the_whole_poller(status, words):
    assert any(words in told.why for told in whole(status))


def test_a_poller_that_runs_has_nothing_to_be_told_of():
    assert list(whole({**document(PartitionStatus("t", 0, "idle")), "loop_turned_ago": 0.1})) == []


def test_a_status_of_another_version_is_told_as_far_as_it_goes():
    (one,) = explained({"partitions": [{"topic": "t", "partition": 0, "state": "dreaming"}]}, None)
    assert (one.name, one.told.why) == ("t-0", "It says of itself: dreaming.")
    for field in dataclasses.fields(PartitionStatus):
        whole_one = document(PartitionStatus("t", 0, "backing_off"))["partitions"][0]
        whole_one.pop(field.name)
        explained({"partitions": [whole_one]}, None)
