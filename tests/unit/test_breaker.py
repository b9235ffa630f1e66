"""When the breaker holds, when it probes, and what it takes for a reason."""

from __future__ import annotations

from datahub_poller.policy import Breaker


def test_it_opens_at_the_limit_and_not_before():
    breaker = Breaker(3, 60.0)
    assert not breaker.gave_up(failed=2)
    assert breaker.room == 0
    assert breaker.gave_up(undecodable=1)
    assert not breaker.is_open  # that is its owner's to say


def test_switched_off_it_never_minds():
    breaker = Breaker(0, 60.0)
    assert not breaker.gave_up(failed=10_000)
    assert not breaker.suspects(100, 0, 0)


def test_a_success_ends_the_row_of_both_kinds_and_a_decoded_record_of_one():
    breaker = Breaker(10, 60.0)
    breaker.gave_up(failed=2, undecodable=3)
    breaker.decoded()
    assert breaker.run == 2
    breaker.succeeded()
    assert breaker.run == 0


def test_a_batch_of_which_nothing_succeeded_is_suspect_unless_something_else_has_since():
    breaker = Breaker(10, 60.0)
    assert breaker.suspects(2, 0, breaker.successes)
    assert not breaker.suspects(1, 0, breaker.successes)
    assert not breaker.suspects(2, 1, breaker.successes)
    witness = breaker.successes
    breaker.succeeded()
    assert not breaker.suspects(2, 0, witness)


def test_it_probes_once_after_each_pause():
    breaker = Breaker(10, 60.0)
    assert not breaker.may_probe(1e9)
    breaker.trip(100.0, "why")
    assert not breaker.may_probe(159.9)
    assert breaker.may_probe(160.0)
    breaker.probing = True
    assert not breaker.may_probe(1000.0)
    breaker.trip(200.0, "still")
    assert (breaker.since, breaker.reason) == (100.0, "still")
    assert not breaker.may_probe(259.9)
    assert breaker.may_probe(260.0)


def test_it_says_when_it_closes():
    breaker = Breaker(10, 60.0)
    assert not breaker.succeeded()
    breaker.trip(0.0, "why")
    assert breaker.succeeded()
    assert (breaker.is_open, breaker.since, breaker.probing) == (False, None, False)
