"""Any order of writing, failing, rebalancing and crashing that hypothesis can think of, judged by the oracles.

Troubles last a minute of virtual time; then all is healthy, and everything must end delivered or dead-lettered.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support import oracles
from support.effort import effort
from support.troubles import TROUBLED, moods, prepared, rebalances, shapes, writes


@effort(80)
@given(shape=shapes, writes=writes, rebalances=rebalances, moods=moods, seed=st.integers(0, 5))
def test_nothing_is_lost_and_nothing_is_committed_too_early(shape, writes, rebalances, moods, seed):
    sim = prepared(shape, writes, rebalances, moods, seed)
    healthy_at = sim.clock.now + TROUBLED
    sim.run(lambda: sim.clock.now > healthy_at + 1 and sim.all_committed(), limit=3000)
    oracles.always(sim.trace, sim.due)
    oracles.at_least_once(sim.trace, sim.due)
    assert sim.longest_without_poll() <= 6.0  # a revocation waits for running calls, five seconds at most
    assert not sim.statuses[-1].red


@effort(40)
@given(shape=shapes, writes=writes, rebalances=rebalances, seed=st.integers(0, 5))
def test_with_a_handler_that_fails_on_poison_only_exactly_the_bad_records_are_dead_lettered(
    shape, writes, rebalances, seed
):
    sim = prepared(shape, writes, rebalances, ["fast", "slow", "hung", "away", "name"], seed)
    healthy_at = sim.clock.now + TROUBLED
    sim.run(lambda: sim.clock.now > healthy_at + 1 and sim.all_committed(), limit=3000)
    oracles.always(sim.trace, sim.due)
    oracles.at_least_once(sim.trace, sim.due)
    oracles.dead_letters_are(sim.trace, sim.records("poison", "junk"))


@effort(40)
@given(shape=shapes, writes=writes, moods=st.just(["fast", "slow"]), seed=st.integers(0, 5))
def test_without_faults_nothing_succeeds_twice(shape, writes, moods, seed):
    sim = prepared(shape, writes, [], moods, seed)
    healthy_at = sim.clock.now + TROUBLED
    sim.run(lambda: sim.clock.now > healthy_at + 1 and sim.all_committed(), limit=3000)
    oracles.always(sim.trace, sim.due)
    oracles.dead_letters_are(sim.trace, sim.records("poison", "junk"))
    oracles.duplicates_at_most(sim.trace, 0)
