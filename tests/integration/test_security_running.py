"""Security that changes under a running poller: it waits, red with the reason, goes on by itself, and loses nothing."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from kafka.secure_bed import SecureStage
from support.recorded import all_accounted_for, commits_not_ahead, first_hand_outs_in_order

pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("secure-kafka")]

SHORT, SHORTER = 15, 4
"""Seconds that a token is good for; the client asks for a new one after four fifths of it. With the shorter ones a
renewal may be refused for a moment, as the broker does where two of a connection come within a second."""


@contextmanager
def underway(secure_kafka, mode, tmp_path, unique, **tokens):
    """A stage and its poller, which has delivered and committed what came first."""
    with SecureStage(secure_kafka, mode, tmp_path, unique) as stage:
        stage.create(2, "pe", "mcl")
        stage.give("pe", "mcl")
        if tokens:
            stage.tokens(**tokens)
        send(stage)
        poller = stage.start(stage.action())
        poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
        yield stage, poller
        assert poller.stop() == 0
        first_hand_outs_in_order(stage.recorded())
        assert stage.lettered() == []
        assert stage.security.password not in poller.text()


def send(stage):
    for route in ("pe", "mcl"):
        for partition in (0, 1):
            stage.send(route, partition, 10)


def red(poller, *words):
    """Wait until it is red with a reason that has these words."""

    def says(status):
        return status["red"] and any(all(word in reason for word in words) for reason in status["reasons"])

    return poller.status_when(says, f"it is not red with {words}")


def recovered(stage, poller):
    """All of it is delivered and committed, and it is not red any more."""
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    poller.status_when(lambda status: not status["red"], "it stays red")
    all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)


def not_ahead(stage):
    commits_not_ahead(stage.committed(), stage.recorded(), stage.lettered(), stage.produced)


def test_tokens_are_renewed_again_and_again_and_nobody_notices(secure_kafka, tmp_path, unique):
    with underway(secure_kafka, "OAUTHBEARER", tmp_path, unique, lifetime=SHORT) as (stage, poller):
        first = stage.tokens_asked()
        while stage.tokens_asked() < first + 2:
            send(stage)
            poller.until(stage.drained, "not delivered")
            assert poller.status()["red"] is False
        recovered(stage, poller)
        assert max(stage.recorded().times_done.values()) == 1
        assert poller.lines("kafka is in trouble") == []


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"lifetime": SHORTER, "scope": "other"}, ["insufficient_scope"]),
        ({"raise": "no token today"}, ["no token today"]),
    ],
    ids=["refused", "none"],
)
def test_a_token_that_is_no_longer_right(plan, words, secure_kafka, tmp_path, unique):
    with underway(secure_kafka, "OAUTHBEARER", tmp_path, unique, lifetime=SHORTER) as (stage, poller):
        stage.tokens(**plan)
        red(poller, *words)
        send(stage)
        not_ahead(stage)
        stage.tokens()
        recovered(stage, poller)


def test_a_topic_that_is_taken_away_and_given_back(secure_kafka, tmp_path, unique):
    with underway(secure_kafka, "SCRAM-SHA-256", tmp_path, unique) as (stage, poller):
        stage.take("pe")
        send(stage)
        red(poller, stage.topics["pe"], "READ")
        poller.until(
            lambda: {each for each in stage.produced if each.topic == stage.topics["mcl"]} <= stage.recorded().done,
            "the other topic stands still",
        )
        not_ahead(stage)
        stage.give("pe")
        recovered(stage, poller)


def test_a_group_that_is_taken_away_and_given_back(secure_kafka, tmp_path, unique):
    with underway(secure_kafka, "mTLS", tmp_path, unique) as (stage, poller):
        before = stage.committed()
        stage.take(group=True)
        send(stage)
        red(poller, stage.name, "READ")
        not_ahead(stage)
        assert stage.committed() == before
        stage.give("pe", "mcl")
        recovered(stage, poller)
