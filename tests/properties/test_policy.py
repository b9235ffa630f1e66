"""What a failed piece does next: for any settings it ends, within its bound, with the failing records alone."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.policy import LONGEST_WAIT, Breaker, GiveUp, Policy, Retry, Split, Tried, wait
from support.effort import effort

chances = st.floats(0.0, 1.0, exclude_max=True)
policies = st.builds(
    Policy,
    attempts=st.integers(1, 6),
    backoff=st.sampled_from((0.0, 0.5, 1.0, 3600.0)),
    max_backoff=st.sampled_from((0.0, 1.0, 60.0, 86_400.0)),
    bisect=st.booleans(),
    order=st.sampled_from(("failed_only", "strict")),
    max_age=st.sampled_from((0.5, 10.0, math.inf)),
)


def play(policy, events, poison, shared, deadly=frozenset(), seconds=0.0):
    """Invocations until every event is delivered or given up, as the lane would do them.

    A call takes `seconds` and fails for `poison`, in a way that is fatal where the first of them is `deadly`.
    """
    delivered, given_up, calls = [], [], 0
    stack = [(list(range(events)), 0, False, 0.0)]
    while stack:
        piece, attempts, splitting, spent = stack.pop()
        calls += 1
        assert calls < 10_000
        if not poison & set(piece) and not (shared and calls == 1):
            delivered += piece
            continue
        attempts += 1
        spent += seconds
        fatal = min(poison & set(piece), default=None) in deadly
        tried = Tried(len(piece), attempts, splitting, shared and calls == 1, spent, fatal)
        match policy.after_failure(tried, 0.5):
            case Retry(delay=delay):
                assert tried.shared or (not fatal and attempts < policy.attempts and spent < policy.max_age)
                stack.append((piece, attempts, splitting, spent + delay))
            case Split():
                assert len(piece) > 1
                middle = (len(piece) + 1) // 2
                stack += [(piece[middle:], attempts, True, spent), (piece[:middle], attempts, True, spent)]
            case GiveUp():
                given_up += piece
    return delivered, given_up, calls


@effort(300)
@given(
    policy=policies,
    events=st.integers(1, 100),
    poison=st.sets(st.integers(0, 99), max_size=4),
    deadly=st.sets(st.integers(0, 99), max_size=60),
    shared=st.booleans(),
    seconds=st.sampled_from((0.0, 0.3, 20.0)),
)
def test_exactly_the_poison_is_given_up_when_batches_are_split(policy, events, poison, deadly, shared, seconds):
    poison = {event for event in poison if event < events}
    delivered, given_up, calls = play(policy, events, poison, shared, deadly, seconds)
    assert sorted(delivered + given_up) == list(range(events))
    if not poison:
        assert given_up == []
    elif policy.bisect:
        assert set(given_up) == poison
        assert given_up == sorted(given_up)
        alone = 1 if shared and policy.attempts == 1 else 0
        assert calls <= policy.attempts + alone + len(poison) * 2 * math.ceil(math.log2(max(2, events)))
    else:
        assert len(given_up) == events
        assert calls <= max(policy.attempts, 2)


@effort(200)
@given(policy=policies, attempts=st.integers(1, 2000), chance=chances)
def test_a_pause_is_within_its_bounds_and_leaves_half_to_chance(policy, attempts, chance):
    delay = policy.delay(attempts, chance)
    assert 0.0 <= delay <= policy.max_backoff
    ceiling = min(policy.max_backoff, policy.backoff * 2.0 ** min(attempts - 1, 60))
    assert ceiling / 2 <= delay <= ceiling
    assert policy.delay(attempts + 1, chance) >= delay


@effort(100)
@given(tries=st.integers(1, 10_000), chance=chances)
def test_infrastructure_is_asked_again_within_half_a_minute(tries, chance):
    assert 0.5 <= wait(tries, chance) <= LONGEST_WAIT


@effort(200)
@given(policy=policies, offsets=st.sets(st.integers(0, 50), min_size=1), data=st.data())
def test_what_is_tried_again_holds_all_that_failed_and_nothing_before_it(policy, offsets, data):
    ordered = sorted(offsets)
    failed = data.draw(st.sets(st.sampled_from(ordered), min_size=1))
    again = policy.again(ordered, failed)
    assert failed <= again <= offsets
    assert min(again) == min(failed)
    if policy.order == "strict":
        assert again == {offset for offset in offsets if offset >= min(failed)}
    else:
        assert again == failed


moves = st.lists(
    st.one_of(
        st.tuples(st.just("failed"), st.integers(0, 5)),
        st.tuples(st.just("undecodable"), st.integers(0, 5)),
        st.tuples(st.sampled_from(("succeeded", "decoded", "trip")), st.just(0)),
    ),
    max_size=30,
)


@effort(200)
@given(in_a_row=st.integers(0, 8), moves=moves)
def test_the_breaker_counts_what_is_given_up_since_the_last_sign_of_health(in_a_row, moves):
    breaker = Breaker(in_a_row, 10.0)
    failed = undecodable = 0
    is_open = False
    for move, count in moves:
        match move:
            case "failed" | "undecodable":
                failed += count if move == "failed" else 0
                undecodable += count if move == "undecodable" else 0
                assert breaker.gave_up(**{move: count}) == (in_a_row > 0 and failed + undecodable >= in_a_row)
            case "succeeded":
                assert breaker.succeeded() == is_open
                failed = undecodable = 0
                is_open = False
            case "decoded":
                breaker.decoded()
                undecodable = 0
            case "trip":
                breaker.trip(5.0, "why")
                is_open = True
        assert breaker.run == failed + undecodable
        assert breaker.is_open == is_open
        assert breaker.room >= 0
        if in_a_row == 0:
            assert breaker.room > 10**9
        elif breaker.run + breaker.room > 0:
            assert breaker.run + breaker.room >= in_a_row - 1
