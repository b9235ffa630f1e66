"""The judges of a run acquit a lawful one, whatever excuses it has, and each catches what it is there for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datahub_poller.model import TopicPartition
from guarantees import oracles, repeats
from guarantees.trace import Call, Commit, Due, Letter, Life, Limits, Ownership, Trace, Window
from support.recorded import Place

TP, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)
POISON, JUNK = Place("t", 0, 2), Place("t", 0, 3)
LIMITS = Limits(batch_size=5, concurrency=1, revoke_wait=2.0)


def places(low, high, tp=TP):
    return tuple(Place(*tp, offset) for offset in range(low, high) if Place(*tp, offset) != JUNK)


def call(client, began, ended, low, high, *, failed=(), tp=TP, attempt=1):
    handed = places(low, high, tp)
    done = frozenset(handed).difference(failed) if ended is not None else frozenset()
    return Call(client, f"{client}-{low}", attempt, handed, began, ended, done)


def owns(at, epoch, **held):
    return Ownership(at, epoch, {client: frozenset(tps) for client, tps in held.items()})


def commit(offset, at, tp=TP):
    return Commit(tp, offset, at, "")


def letter(place, at, digest=None, number=1):
    return Letter(place, at, f"{place}/{number}", str(place) if digest is None else digest)


def due(low, high, tp=TP):
    kinds = {POISON: "poison", JUNK: "junk"}
    every = (Place(*tp, offset) for offset in range(low, high))
    return {place: Due(kinds.get(place, "good"), str(place)) for place in every}


def a_run():
    """`a` does 0 to 14, commits 10 and is killed; `b`, which has had the other partition, takes over."""
    return Trace(
        limits=LIMITS,
        due={**due(0, 20), **due(0, 5, OTHER)},
        calls=[
            call("a", 1.0, 1.1, 0, 5, failed=[POISON]),
            call("b", 1.0, 1.2, 0, 5, tp=OTHER),
            call("a", 1.4, 1.5, 2, 3, failed=[POISON], attempt=2),
            call("a", 2.0, 2.1, 5, 10),
            call("a", 2.2, 2.3, 10, 15),
            call("a", 2.4, None, 15, 20),
            call("b", 6.0, 6.1, 10, 15),
            call("b", 6.2, 6.3, 15, 20),
        ],
        commits=[
            commit(0, 0.6),
            commit(5, 1.2, OTHER),
            commit(2, 1.2),
            commit(5, 1.7),
            commit(10, 2.15),
            commit(15, 6.2),
            commit(20, 6.4),
        ],
        ownerships=[owns(0.5, 1, a={TP}, b={OTHER}), owns(5.0, 2, b=set()), owns(5.0, 2, b={TP, OTHER})],
        letters=[letter(POISON, 1.55), letter(JUNK, 1.6)],
        lives=[Life("a", 0.0, 2.5, "killed"), Life("b", 0.0, 9.0, "stopped")],
    )


def with_calls(trace, *calls):
    return replace(trace, calls=sorted([*trace.calls, *calls], key=lambda call: call.began))


def without(sequence, *positions):
    return [each for number, each in enumerate(sequence) if number not in positions]


def accused(trace):
    """The names of the oracles that raise."""
    found = set()
    for name, oracle in oracles.ORACLES.items():
        try:
            oracle(trace)
        except AssertionError:
            found.add(name)
    return found


def test_a_lawful_run_is_acquitted_and_its_facts_are_counted():
    assert oracles.judge(a_run()) == {
        "AtLeastOnce": 25,
        "CommitNeverAhead": 7,
        "FirstDeliveryInOrder": 24,
        "OnePartInFlightPerPartition": 8,
        "NothingAfterRevoke": 8,
        "DeadLettersComplete": 4,
        "BoundedDuplicates": 28,
    }
    assert oracles.duplicates(a_run()) == (5, 5)
    assert repeats.causes(a_run()) == {"crash": 5}


def test_nothing_happened_is_acquitted():
    assert set(oracles.judge(Trace(LIMITS)).values()) == {0}


def test_all_oracles_that_are_broken_are_named():
    trace = a_run()
    trace.letters = []
    with pytest.raises(AssertionError) as error:
        oracles.judge(trace)
    assert "AtLeastOnce: " in str(error.value)
    assert "DeadLettersComplete: " in str(error.value)
    assert "t-0@2" in str(error.value)


def test_a_call_of_nobody_is_no_account():
    trace = with_calls(a_run(), call("c", 7.0, 7.1, 15, 20))
    with pytest.raises(AssertionError, match="nobody has started"):
        oracles.judge(trace)


# -- AtLeastOnce


@pytest.mark.parametrize("calls", [without(a_run().calls, 7), without(a_run().calls, 1)])
def test_what_was_never_done_is_lost(calls):
    with pytest.raises(AssertionError, match=r"t-\d@"):
        oracles.at_least_once(replace(a_run(), calls=calls))


def test_an_open_call_delivers_nothing():
    trace = a_run()
    trace.calls = [*trace.calls[:7], replace(trace.calls[7], ended=None, done=frozenset())]
    with pytest.raises(AssertionError, match="5 violations"):
        oracles.at_least_once(trace)


# -- CommitNeverAhead


@pytest.mark.parametrize(
    ("position", "offset"),
    [(0, 1), (2, 3), (3, 6), (4, 11), (5, 16)],
    ids=["before any", "the poison", "before its call", "in its call", "after a crash"],
)
def test_a_commit_ahead(position, offset):
    trace = a_run()
    trace.commits[position] = trace.commits[position]._replace(offset=offset)
    with pytest.raises(AssertionError, match="was open"):
        oracles.commit_never_ahead(trace)


def test_a_commit_before_the_letter_was_written():
    trace = a_run()
    trace.letters = [trace.letters[0], trace.letters[1]._replace(at=1.71)]
    with pytest.raises(AssertionError, match="t-0@3 was open"):
        oracles.commit_never_ahead(trace)


def test_the_clocks_grain_is_forgiven():
    trace = a_run()
    trace.letters = [trace.letters[0], trace.letters[1]._replace(at=1.704)]
    oracles.commit_never_ahead(trace)


def test_a_commit_that_goes_back():
    trace = a_run()
    trace.commits.append(commit(15, 6.5))
    with pytest.raises(AssertionError, match="after 20"):
        oracles.commit_never_ahead(trace)
    trace.windows = [Window("commits cut off", 6.0, 6.3, True)]
    oracles.commit_never_ahead(trace)


def test_the_end_of_the_log_may_be_committed_past_the_last_record():
    trace = a_run()
    trace.commits.append(commit(27, 6.5))
    assert oracles.commit_never_ahead(trace) == 8


# -- FirstDeliveryInOrder


def test_a_call_before_its_turn():
    trace = a_run()
    trace.calls[3], trace.calls[4] = trace.calls[4], trace.calls[3]
    with pytest.raises(AssertionError, match=r"t-0@5 in .* after t-0@14"):
        oracles.first_delivery_in_order(trace)


def test_disorder_within_a_call():
    trace = a_run()
    trace.calls[3] = replace(trace.calls[3], places=trace.calls[3].places[::-1])
    with pytest.raises(AssertionError, match="4 violations"):
        oracles.first_delivery_in_order(trace)


# -- OnePartInFlightPerPartition


def test_two_at_a_time_in_a_process():
    trace = a_run()
    trace.calls[3] = replace(trace.calls[3], ended=2.25)
    with pytest.raises(AssertionError, match="began while a batch a-5"):
        oracles.one_part_in_flight_per_partition(trace)


def test_a_call_that_never_ended_is_still_on():
    trace = a_run()
    trace.calls[3] = replace(trace.calls[3], ended=None, done=frozenset())
    with pytest.raises(AssertionError, match=r"a-5 attempt 1 \(2.000 to open\)"):
        oracles.one_part_in_flight_per_partition(trace)


def healthy_move(ended):
    """`a` is not killed: the group moves its partition to `b` while a call of it may still run."""
    trace = a_run()
    trace.lives[0] = Life("a", 0.0, 9.0, "stopped")
    trace.calls[5] = replace(trace.calls[5], began=4.5, ended=ended)
    trace.ownerships[1:] = [owns(5.0, 2, a=set(), b=set()), owns(5.0, 2, a=set(), b={TP, OTHER})]
    return trace


def test_two_processes_at_a_time():
    with pytest.raises(AssertionError, match=r"b batch b-10 .* began while a batch a-15"):
        oracles.one_part_in_flight_per_partition(healthy_move(6.05))
    oracles.one_part_in_flight_per_partition(healthy_move(6.0))


def test_a_call_that_outlasts_a_revocations_patience_is_left_alone():
    trace = healthy_move(6.05)
    trace.calls[5] = replace(trace.calls[5], began=3.9)
    oracles.one_part_in_flight_per_partition(trace)


def test_a_process_that_was_put_out_and_came_back_did_not_wait_for_its_call():
    trace = healthy_move(6.05)
    trace.ownerships.insert(1, owns(4.8, 2, b={TP, OTHER}))
    oracles.one_part_in_flight_per_partition(trace)


def test_a_process_that_has_not_heard_yet_that_it_is_out_may_begin():
    trace = with_calls(healthy_move(4.6), call("a", 6.05, 6.15, 15, 20))
    trace.ownerships[1:] = [owns(5.0, 2, b={TP, OTHER})]
    oracles.one_part_in_flight_per_partition(trace)
    assert oracles.unaware_calls(trace) == 1
    oracles.nothing_after_revoke(trace)


# -- NothingAfterRevoke


def test_a_call_after_the_partition_moved():
    trace = with_calls(healthy_move(4.6), call("a", 5.1, 5.2, 20, 22))
    with pytest.raises(AssertionError, match=r"it was b's since 5.000"):
        oracles.nothing_after_revoke(trace)


def test_an_account_is_held_against_nobody_at_once():
    oracles.nothing_after_revoke(with_calls(healthy_move(4.6), call("a", 5.015, 5.2, 20, 22)))
    oracles.nothing_after_revoke(with_calls(healthy_move(4.6), call("b", 5.001, 5.2, 20, 22)))


def test_what_is_nobodys_may_be_worked_off():
    trace = with_calls(healthy_move(4.6), call("a", 4.95, 5.0, 20, 22))
    trace.ownerships.insert(1, owns(4.8, 2, a=set(), b={OTHER}))
    oracles.nothing_after_revoke(trace)


# -- DeadLettersComplete


@pytest.mark.parametrize("position", [0, 1], ids=["poison", "junk"])
def test_a_letter_that_is_missing(position):
    trace = a_run()
    place = trace.letters.pop(position).place
    with pytest.raises(AssertionError, match=f"{place} .* has no letter"):
        oracles.dead_letters_complete(trace)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (letter(POISON, 1.6, digest="other"), "does not hold the record's bytes"),
        (letter(POISON, 1.6, number=2), "before"),
        (letter(Place("t", 0, 7), 3.0), "had not failed"),
        (letter(Place("t", 0, 99), 3.0), "not due"),
        (letter(Place("t", 0, 17), 6.0), "had not failed"),
    ],
    ids=["mangled", "another id", "good", "unknown", "good, in a call that never ended"],
)
def test_a_letter_that_should_not_be(more, problem):
    trace = a_run()
    trace.letters.append(more)
    with pytest.raises(AssertionError, match=problem):
        oracles.dead_letters_complete(trace)


def test_a_good_record_that_failed_may_have_a_letter_but_not_before():
    failing = call("b", 7.0, 7.1, 15, 20, failed=[Place("t", 0, 17)])
    trace = with_calls(a_run(), failing)
    trace.letters.append(letter(Place("t", 0, 17), 7.1))
    oracles.dead_letters_complete(trace)
    trace.letters[-1] = letter(Place("t", 0, 17), 7.09)
    with pytest.raises(AssertionError, match="had not failed"):
        oracles.dead_letters_complete(trace)


def test_junk_that_is_handed_out():
    trace = a_run()
    trace.calls[0] = replace(trace.calls[0], places=(*trace.calls[0].places, JUNK))
    with pytest.raises(AssertionError, match="t-0@3 is no event"):
        oracles.dead_letters_complete(trace)


# -- judging at all
