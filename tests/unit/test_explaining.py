"""What `explain` says of a status: why, what to do, and that each state has words of its own."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from datahub_poller import report
from datahub_poller.decode.doubts import DOUBTED
from datahub_poller.errors import PollerError
from datahub_poller.observe.explaining import alike, explained, names, whole
from datahub_poller.observe.status import PartitionState, PartitionStatus, PollerState, PollerStatus, as_document


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


@pytest.mark.parametrize("state", get_args(PollerState))
def test_every_state_of_the_poller_is_told_or_is_told_by_its_partitions(state):
    told = list(whole(document(PartitionStatus("t", 0, "idle"), state=state)))
    assert bool(told) == (state not in {"running", "waiting", "paused"})
    assert all(each.why.endswith(".") and "says of itself" not in each.why for each in told)


def test_a_topic_that_does_not_exist_is_told_with_what_to_do():
    (told,) = whole(document(state="waiting", reasons=("topic T_v1 does not exist",), missing_topics=("T_v1",)))
    assert told.why.startswith("Topic T_v1 does not exist: nothing of it is read")
    assert told.remedy == "Create it; or, if its name is another, say so in source.config.topic_routes."
    beside = document(PartitionStatus("t", 0, "idle"), reasons=("topic T_v1 does not exist",), missing_topics=("T_v1",))
    assert list(whole(beside)) == [told]


def test_a_reason_that_nobody_has_words_for_is_told_as_it_is():
    (told,) = whole(document(PartitionStatus("t", 0, "idle"), reasons=("the moon is full",)))
    assert told.why == "It says of itself: the moon is full."


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
        (of("breaker", reason="20 records in a row are undecodable"), "are undecodable", "never got them"),
        (of("waiting_schema", reason="schema 4: HTTP 503"), "is not here: schema 4: HTTP 503", "retry-now"),
        (of("waiting_schema", reason=f"schema 4: {DOUBTED}"), "may not be the one that is known", "retry-now"),
        (of("paused", reason="by ann@laptop: upgrade"), "paused by ann@laptop: upgrade", "resume"),
        (
            of("backing_off", attempts=2, reason="refused", last_error="KeyError"),
            "does not answer: refused",
            "retry-now",
        ),
        (of("idle", lag=7, reason=report.FULL), "buffer is full, with what other partitions hold", "config.buffer"),
        (of("ready"), "goes out when batch.size is reached", ""),
        (of("ready", reason=report.UNDECODABLE), "their dead letters come next", ""),
        (of("ready", reason=report.STOPS), "wait: the poller stops", ""),
        (of("ready", reason=report.TAKEN), "all of batch.concurrency calls are running", "raise batch.concurrency"),
        (
            of("ready", reason=f"{report.TAKEN}, 1 of them past the timeout"),
            "1 of them past",
            "A restart ends the call",
        ),
        (of("ready", reason=f"{report.RATE} in 3.0 s"), "next call begin in 3.0 s", "raise batch.rate"),
        (
            of("ready", reason=report.TAKEN, attempts=2, last_error="ValueError: x"),
            "failed 2 time(s): ValueError",
            "raise",
        ),
        (of("writing_letters", reason="for 40 s by now"), "neither takes nor refuses", "network that hangs"),
        (of("waiting_sink", reason="No space left on device"), "No space left on device", "Nothing is committed past"),
    ],
)
def test_what_is_said(one, words, remedy):
    assert words in one.told.why
    assert remedy in one.told.remedy
    assert bool(remedy) == bool(one.told.remedy)


def test_what_moves_and_what_stands():
    assert of("in_flight").moves
    assert not of("in_flight", reason=LATE).moves
    assert of("ready", reason=report.TAKEN).moves
    assert not of("ready", reason=f"{report.TAKEN}, 1 of them past the timeout").moves
    assert of("writing_letters").moves
    assert not of("writing_letters", reason="for 40 s by now").moves
    assert of("idle", lag=7).moves
    assert not of("idle", lag=7, reason=report.FULL).moves
    assert not of("in_flight", stuck=True).moves
    assert not of("waiting_sink").moves


def test_a_partition_that_is_not_here_is_told_with_those_that_are():
    with pytest.raises(PollerError, match=r"t-9 is not a partition of this poller: its partitions are t-0, t-1\. "):
        explained(document(PartitionStatus("t", 0, "idle"), PartitionStatus("t", 1, "idle")), "t-9")


def test_of_partitions_without_end_some_are_named():
    many = document(*(PartitionStatus("t", number, "idle") for number in range(1_000)))
    with pytest.raises(PollerError, match=r"its partitions are t-0, .*, t-9 and 990 more\. Another") as raised:
        explained(many, "t-1000")
    assert len(str(raised.value)) < 300


def test_what_is_told_alike_is_told_once():
    here = [
        PartitionStatus("t", 0, "waiting_schema", reason="schema 7"),
        PartitionStatus("t", 1, "waiting_sink", reason="disk full"),
        PartitionStatus("t", 2, "waiting_schema", reason="schema 7"),
        PartitionStatus("t", 3, "waiting_schema", reason="schema 8"),
    ]
    groups = alike(explained(document(*here), None))
    assert [[each.name for each in group] for group in groups] == [["t-0", "t-2"], ["t-1"], ["t-3"]]
    assert names([f"t-{number}" for number in range(3)]) == "t-0, t-1, t-2"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (document(state="starting"), "joining its group"),
        (document(state="waiting"), "others of its group have them all"),
        (document(state="stopping"), "told to stop"),
        (document(state="waiting"), "there are no such topics"),
        (document(state="halted"), "ends with exit code 1"),
        (document(reasons=("breaker open: 20 in a row",)), "The breaker is open"),
        (document(reasons=(f"{LATE}",)), "went to another process still runs: handler past its timeout for 9 s"),
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
