"""What is tried again, for how long and how fast: errors that are fatal, an age that is too old, a rate."""

from __future__ import annotations

import itertools

import pytest

from datahub_poller.batching import Limits
from datahub_poller.model import Failure, TopicPartition
from datahub_poller.policy import Policy
from datahub_poller.works import Failed
from support import oracles
from support.simulation import Answer, Simulation, away, honest
from support.values import kind_of

A, B = (TopicPartition("mcl", n) for n in range(2))
HOPELESS = Failed(Failure("handler", "mine.Broken", "never"), ("mine.Broken", "ValueError", "Exception"))


def judged(sim):
    oracles.always(sim.trace, sim.due)
    oracles.at_least_once(sim.trace, sim.due)
    oracles.dead_letters_are(sim.trace, sim.records("poison", "junk"))


def hopeless(records):
    return Answer(0.05, HOPELESS) if any(kind_of(record) == "poison" for record in records) else honest(records)


def test_a_fatal_error_costs_one_call_where_it_is_alone():
    sim = Simulation({"mcl": 1}, policy=Policy(attempts=5, fatal=frozenset({"ValueError"})), limits=Limits(size=1))
    sim.desk.handler = hopeless
    sim.write(A, "good", "poison", "good")
    sim.run()
    judged(sim)
    assert len(sim.invocations()) == 3


def test_a_fatal_error_in_a_batch_is_found_without_waiting_for_a_back_off():
    sim = Simulation({"mcl": 1}, policy=Policy(attempts=5, backoff=30.0, fatal=frozenset({"ValueError"})))
    sim.desk.handler = hopeless
    sim.write(A, *["good"] * 61, "poison", *["good"] * 38)
    began = sim.clock.now
    sim.run()
    judged(sim)
    assert sim.clock.now - began < 5.0


def test_what_failed_fatally_in_company_of_another_partition_is_given_up_alone():
    sim = Simulation({"mcl": 2}, policy=Policy(attempts=5, fatal=frozenset({"mine.Broken"})))
    sim.desk.handler = hopeless
    sim.write(A, "good")
    sim.write(B, "poison")
    sim.run()
    judged(sim)
    assert len(sim.invocations()[0].about["records"]) == 2
    assert len(sim.invocations()) == 3


def test_no_more_tries_for_what_has_been_tried_for_too_long_and_nothing_but_the_poison_is_given_up():
    policy = Policy(attempts=1000, backoff=10.0, max_backoff=10.0, max_age=60.0)
    sim = Simulation({"mcl": 1}, policy=policy)
    sim.write(A, *["good"] * 5, "poison", *["good"] * 4)
    began = sim.clock.now
    sim.run()
    judged(sim)
    tries = len(sim.invocations())
    assert 6 <= tries <= 13 + 2 * 4  # back-offs of 5 to 10 s, then the splitting of ten events
    assert 55.0 <= sim.clock.now - began <= 80.0


def test_waiting_for_infrastructure_makes_nothing_older():
    sim = Simulation({"mcl": 1}, policy=Policy(attempts=3, backoff=1.0, max_age=30.0))
    away_until = sim.clock.now + 300.0
    failures = []

    def handler(records):
        if failures and sim.clock.now < away_until:
            return away(records)
        if len(failures) < 2:
            failures.append(sim.clock.now)
            return Answer(0.05, Failed(Failure("handler", "ValueError", "twice")))
        return honest(records)

    sim.desk.handler = handler
    sim.write(A, "good")
    sim.run()
    judged(sim)
    assert failures[1] - failures[0] >= 300.0
    assert not sim.trace.calls("letters")


@pytest.mark.parametrize(("rate", "size"), [(10.0, 10), (100.0, 10), (2.0, 100)])
def test_the_handler_gets_no_more_than_the_rate_and_no_less(rate, size):
    sim = Simulation({"mcl": 2}, limits=Limits(size=size, window=0.1), rate=rate, concurrency=2)
    for tp in (A, B):
        sim.write(tp, *["good"] * 100)
    sim.run()
    judged(sim)
    calls = sim.invocations()
    for call, following in itertools.pairwise(calls):
        due = call.at + len(call.about["records"]) / rate
        assert due <= following.at + 1e-9
        assert following.at <= due + 0.15, "slower than it may be"


def test_a_rate_holds_no_letter_back_and_counts_retries():
    sim = Simulation({"mcl": 1}, limits=Limits(size=1), rate=0.5, policy=Policy(attempts=2, backoff=0.0))
    sim.write(A, "poison", "junk", "poison", "good")
    began = sim.clock.now
    sim.run()
    judged(sim)
    calls = sim.invocations()
    assert len(calls) == 5
    assert 8.0 <= sim.clock.now - began <= 9.0
    letters = sim.trace.calls("letters")
    assert letters[0].at - calls[1].at < 0.3


def test_while_the_rate_holds_everything_back_the_loop_does_not_turn_for_nothing():
    sim = Simulation({"mcl": 1}, limits=Limits(size=10, window=0.1), rate=1.0)
    sim.write(A, *["good"] * 40)
    began = sim.clock.now
    sim.run()
    judged(sim)
    seconds = sim.clock.now - began
    assert seconds >= 30.0
    assert len(sim.source.polls) < 30 * seconds
