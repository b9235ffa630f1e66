"""Commits one by one: what is sent, and what an answer is worth."""

from __future__ import annotations

import itertools
import logging

import pytest

from datahub_poller.batching import Limits
from datahub_poller.commits import Commits
from datahub_poller.errors import Transient
from datahub_poller.ledger import Ledger, Settings
from datahub_poller.model import TopicPartition
from datahub_poller.policy import Breaker, Policy
from support.values import verdict_of

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
LOG = logging.getLogger("commits")


class Broker:
    """The part of a source that commits go through."""

    def __init__(self):
        self.sent = []
        self.refusal = None

    def commit(self, offsets):
        self.sent.append(dict(offsets))

    def commit_now(self, offsets):
        if self.refusal is not None:
            raise Transient(self.refusal)
        self.sent.append(dict(offsets))


@pytest.fixture
def ledger():
    return Ledger(Settings(Policy(), Limits()), Breaker(0, 60.0), lambda record: verdict_of(record, ()))


@pytest.fixture
def broker():
    return Broker()


def commits(broker, ledger, interval=0.0):
    return Commits(broker, ledger, interval, LOG)


def test_only_what_changed_is_sent_and_one_at_a_time(broker, ledger):
    ledger.open(A, 5, 5, 0.0)
    ledger.open(B, 5, None, 0.0)
    mine = commits(broker, ledger)
    mine.step(0.0)
    assert broker.sent == [{B: 5}]
    ledger.lanes[A].skip_to(9)
    mine.step(1.0)
    assert len(broker.sent) == 1
    mine.answered({B: 5}, None, 1.0)
    mine.step(1.0)
    assert broker.sent == [{B: 5}, {A: 9}]
    mine.answered({A: 9}, None, 1.0)
    mine.step(1.0)
    assert len(broker.sent) == 2
    assert (ledger.lanes[A].committed, ledger.lanes[B].committed) == (9, 5)


def test_a_commit_that_remembers_too_little_is_made_again_once_though_nothing_has_moved(broker, ledger):
    ledger.open(A, 5, 5, 0.0, renew=True)
    mine = commits(broker, ledger)
    assert ledger.lanes[A].committed == 5
    mine.step(0.0)
    mine.answered({}, "not the coordinator", 0.0)
    mine.step(1.0)
    assert broker.sent == [{A: 5}] * 2
    mine.answered({A: 5}, None, 1.0)
    mine.step(9.0)
    assert len(broker.sent) == 2
    assert ledger.lanes[A].committed == 5
    assert ledger.counters["offsets_committed"] == 0


def test_an_answer_is_for_the_lease_that_the_commit_was_sent_under(broker, ledger):
    ledger.open(A, 0, 0, 0.0)
    ledger.lanes[A].skip_to(9)
    mine = commits(broker, ledger)
    mine.step(0.0)
    ledger.close([A])
    ledger.open(A, 4, 4, 1.0)
    mine.answered({A: 9}, None, 2.0)
    assert ledger.lanes[A].committed == 4


def test_a_refused_commit_is_sent_again_after_a_pause_that_grows(broker, ledger):
    ledger.open(A, 0, None, 0.0)
    mine = commits(broker, ledger)
    sent = []
    for tenths in range(2500):
        mine.step(tenths / 10)
        if len(broker.sent) > len(sent):
            sent.append(tenths / 10)
            mine.answered({}, "not the coordinator", tenths / 10)
    pauses = [after - before for before, after in itertools.pairwise(sent)]
    assert mine.trouble == "not the coordinator"
    assert pauses == pytest.approx([1, 2, 4, 8, 16, *[30] * (len(pauses) - 5)])
    assert len(pauses) >= 8
    mine.step(300.0)
    mine.answered({A: 0}, None, 300.0)
    assert (mine.trouble, ledger.lanes[A].committed) == (None, 0)


def test_what_was_stored_beside_a_refusal_is_acknowledged_and_only_the_rest_is_sent_again(broker, ledger):
    ledger.open(A, 0, None, 0.0)
    ledger.open(B, 0, None, 0.0)
    mine = commits(broker, ledger)
    mine.step(0.0)
    mine.answered({B: 0}, "topic a: not authorized", 0.0)
    assert (ledger.lanes[A].committed, ledger.lanes[B].committed) == (None, 0)
    assert mine.trouble == "topic a: not authorized"
    ledger.lanes[B].skip_to(7)
    mine.step(0.9)
    assert broker.sent == [{A: 0, B: 0}]
    mine.step(1.0)
    assert broker.sent[1:] == [{A: 0, B: 7}]
    mine.answered({A: 0, B: 7}, None, 1.0)
    assert mine.trouble is None


def test_nothing_is_sent_before_its_interval_unless_partitions_are_new(broker, ledger):
    ledger.open(A, 0, 0, 0.0)
    ledger.lanes[A].skip_to(1)
    mine = commits(broker, ledger, interval=5.0)
    mine.step(0.0)
    mine.answered({A: 1}, None, 0.1)
    ledger.lanes[A].skip_to(2)
    mine.step(4.9)
    assert len(broker.sent) == 1
    mine.soon()
    mine.step(4.9)
    assert broker.sent[1:] == [{A: 2}]


def test_the_last_commit_is_waited_for_and_its_refusal_is_no_error(broker, ledger):
    ledger.open(A, 0, 0, 0.0)
    ledger.open(B, 0, 0, 0.0)
    ledger.lanes[A].skip_to(3)
    mine = commits(broker, ledger)
    broker.refusal = "the broker is away"
    assert not mine.now([A, B])
    assert ledger.lanes[A].committed == 0
    broker.refusal = None
    assert mine.now([A, B, TopicPartition("t", 9)])
    assert broker.sent == [{A: 3}]
    assert ledger.lanes[A].committed == 3
    assert mine.now([A, B])
    assert len(broker.sent) == 1


def test_an_answer_that_nobody_waits_for_changes_nothing(broker, ledger):
    ledger.open(A, 0, 0, 0.0)
    commits(broker, ledger).answered({A: 7}, None, 0.0)
    assert ledger.lanes[A].committed == 0


def test_what_was_never_ours_to_read_is_not_counted_as_committed(broker, ledger):
    ledger.open(A, 500, None, 0.0)
    ledger.open(B, 500, 400, 0.0)
    mine = commits(broker, ledger)
    mine.step(0.0)
    mine.answered(broker.sent[-1], None, 0.1)
    assert ledger.counters["offsets_committed"] == 100, "the start of A counts nothing; B had been left at 400"
    ledger.lanes[A].skip_to(507)
    mine.step(1.0)
    mine.answered(broker.sent[-1], None, 1.1)
    assert ledger.counters["offsets_committed"] == 107
    assert mine.now([A, B])
    assert ledger.counters["offsets_committed"] == 107
