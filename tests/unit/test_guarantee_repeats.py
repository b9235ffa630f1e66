"""The judge of duplicates: what has a cause is allowed, up to its bound, and the same without the cause is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datahub_poller.model import TopicPartition
from guarantees import oracles, repeats
from guarantees.trace import Call, Commit, Due, Life, Limits, Ownership, Trace, Window
from support.recorded import Place

TP = TopicPartition("t", 0)
COMMITTED, LEASE = 10, 5.0


def call(client, began, ended, low, high, failed=()):
    handed = tuple(Place(*TP, offset) for offset in range(low, high))
    done = frozenset(() if ended is None else handed) - {Place(*TP, offset) for offset in failed}
    return Call(client, f"{client}-{began}", 1, handed, began, ended, done)


def owns(at, epoch, **held):
    return Ownership(at, epoch, {client: frozenset({TP} if holds else ()) for client, holds in held.items()})


def moved(*, how="killed", died=3.0, **changes):
    """`a` did 0 to 19 and committed 10; then `b` gets the partition, and does 10 to 29."""
    trace = Trace(
        limits=Limits(batch_size=2, concurrency=1, revoke_wait=2.0),
        due={Place(*TP, offset): Due("good", "") for offset in range(30)},
        calls=[call("a", 1.0, 1.1, 0, 10), call("a", 2.0, 2.1, 10, 20), call("b", 6.0, 6.1, 10, 30)],
        commits=[Commit(TP, COMMITTED, 1.2, "")],
        ownerships=[owns(0.5, 1, a=True, b=False), owns(LEASE, 2, b=True)],
        lives=[Life("a", 0.0, died, how), Life("b", 0.0, None, "running")],
    )
    for name, value in changes.items():
        setattr(trace, name, value)
    return trace


def healthy(**changes):
    """Nobody dies: the group moves the partition from `a` to `b`."""
    accounts = [owns(0.5, 1, a=True, b=False), owns(LEASE, 2, a=False, b=True)]
    return moved(**{"how": "running", "died": None, "ownerships": accounts, **changes})


def refused(trace, problem):
    with pytest.raises(AssertionError, match=problem):
        oracles.bounded_duplicates(trace)


def allowed(trace, **causes):
    assert oracles.bounded_duplicates(trace) == sum(len(each.done) for each in trace.calls)
    assert repeats.causes(trace) == {name.replace("_", " "): count for name, count in causes.items()}
    found, bound = oracles.duplicates(trace)
    assert found == sum(causes.values()) <= bound


# -- crashes


def test_a_crash_repeats_what_was_not_committed():
    trace = moved()
    allowed(trace, crash=10)
    assert oracles.duplicates(trace) == (10, 10)


def test_a_process_that_failed_by_itself_leaves_before_its_end_is_seen():
    allowed(moved(how="failed", died=7.0), crash=10)


def test_a_crash_after_the_partition_had_gone_is_no_cause():
    refused(healthy(lives=[Life("a", 0.0, 7.0, "killed"), Life("b", 0.0, None, "running")]), "without a cause")


def test_a_crash_repeats_no_more_than_its_bound():
    few = [call("a", 0.6 + 0.01 * each, 0.605 + 0.01 * each, each, each + 1) for each in range(20)]
    calls = [*few, call("a", 9.0, None, 20, 21), call("b", 16.0, 16.1, 5, 30)]
    trace = moved(died=9.1, calls=calls, commits=[Commit(TP, 5, 0.66, "")])
    trace.ownerships[1] = owns(15.0, 2, b=True)
    refused(trace, r"15 records came again after a died at 9\.100; 10 may at most")
    trace.limits = Limits(batch_size=3, concurrency=1)
    allowed(trace, crash=15)


def test_what_was_done_while_some_commits_were_on_their_way_may_come_again():
    trace = moved(calls=[call("a", 2.0, 2.1, 0, 30), call("b", 6.0, 6.1, 0, 30)], commits=[])
    allowed(trace, crash=30)
    trace.commits = [Commit(TP, 0, at, "") for at in (2.11, 2.12, 2.13)]
    refused(trace, "30 records came again")


def test_a_crash_in_a_fault_has_no_bound():
    trace = moved(
        calls=[call("a", 2.0, 2.1, 0, 30), call("b", 60.0, 60.1, 0, 30)], lives=[Life("a", 0, 32.0, "killed")]
    )
    trace.lives += [Life("b", 0.0, None, "running")]
    trace.commits = [Commit(TP, 0, at, "") for at in (2.11, 2.12, 2.13)]
    trace.ownerships[1] = owns(50.0, 2, b=True)
    refused(trace, "30 records came again")
    trace.windows = [Window("brokers gone", 2.0, 4.0, True)]
    allowed(trace, crash=30)


# -- healthy members


def test_a_rebalance_repeats_nothing():
    refused(healthy(), "without a cause")
    allowed(healthy(commits=[Commit(TP, 20, 2.2, "")], calls=[*healthy().calls[:2], call("b", 6.0, 6.1, 20, 30)]))


def test_a_clean_stop_repeats_nothing():
    refused(moved(how="stopped"), "without a cause")


def test_nothing_is_done_twice_in_a_lease():
    trace = healthy(calls=[*healthy().calls[:2], call("a", 3.0, 3.1, 10, 20)])
    refused(trace, "twice in one lease")
    trace.windows = [Window("blackhole", 2.5, 2.6, True)]
    allowed(trace, fault=10)


def test_a_generation_in_which_everybody_lost_everything_is_a_new_lease():
    trace = healthy(calls=[*healthy().calls[:2], call("a", 6.0, 6.1, 10, 20)], windows=[Window("", 4.0, 4.9, True)])
    trace.ownerships[1:] = [owns(LEASE, 2, a=False), owns(LEASE, 2, a=True)]
    allowed(trace, fault=10)
    trace.windows = []
    refused(trace, "without a cause")


def test_two_at_a_time():
    refused(healthy(calls=[*healthy().calls[:1], call("b", 6.0, 6.1, 10, 20), call("a", 6.5, 6.6, 10, 20)]), "cause")
    refused(healthy(calls=[*healthy().calls[:1], call("a", 6.0, 6.1, 10, 20), call("b", 6.5, 6.6, 10, 20)]), "two at a")


def test_a_lease_that_begins_below_the_commit():
    trace = moved(calls=[*moved().calls[:2], call("b", 6.0, 6.1, 9, 30)])
    refused(trace, r"1 violations\n  below the committed 10: t-0@9: done by a")
    trace.windows = [Window("brokers gone", 4.0, 5.1, True)]
    refused(trace, "below the committed 10")


def test_a_commit_that_went_back_is_where_a_lease_begins():
    trace = moved(calls=[*moved().calls[:2], call("b", 6.0, 6.1, 9, 30)])
    trace.commits = [*trace.commits, Commit(TP, 9, 5.5, "")]
    allowed(trace, crash=11)


# -- causes


def test_a_fault_keeps_commits_from_the_broker():
    allowed(healthy(windows=[Window("commits refused", 2.0, 4.0, True)]), fault=10)
    refused(healthy(windows=[Window("registry down", 2.0, 4.0, False)]), "without a cause")
    late = owns(19.5, 2, a=False, b=True)
    trace = healthy(windows=[Window("commits refused", 2.0, 4.0, True)])
    trace.ownerships[1], trace.calls[2] = late, call("b", 20.0, 20.1, 10, 30)
    refused(trace, "without a cause")


def test_a_failed_record_holds_back_what_was_done_behind_it():
    trace = healthy(calls=[*healthy().calls[:1], call("a", 2.0, 2.1, 10, 20, failed=[14]), call("b", 6.0, 6.1, 10, 30)])
    refused(trace, "4 violations")
    trace.commits = [Commit(TP, 14, 2.2, "")]
    trace.calls[2] = call("b", 6.0, 6.1, 14, 30)
    allowed(trace, failed_record=5)


def test_strict_order_does_again_what_follows_a_failed_record():
    first, again = call("a", 2.0, 2.1, 10, 20, failed=[14]), call("a", 2.2, 2.3, 14, 20)
    trace = healthy(calls=[*healthy().calls[:1], first, again])
    refused(trace, "twice in one lease")
    trace.limits = replace(trace.limits, strict=True)
    allowed(trace, failed_record=5)
    trace.calls[2] = call("a", 2.2, 2.3, 13, 20)
    refused(trace, r"1 violations\n  twice in one lease: t-0@13")


def test_a_call_that_outlasts_the_revocation():
    slow = [*healthy().calls[:1], call("a", 2.9, 5.1, 10, 20), call("b", 6.0, 6.1, 10, 30)]
    allowed(healthy(calls=slow), slow_call=10)
    quick = [*healthy().calls[:1], call("a", 4.9, 5.1, 10, 20), call("b", 6.0, 6.1, 10, 30)]
    refused(healthy(calls=quick), "without a cause")


def test_a_process_that_was_put_out_and_came_back():
    trace = healthy()
    trace.ownerships[1:] = [owns(3.0, 2, b=False), owns(LEASE, 3, a=False, b=True)]
    allowed(trace, put_out=10)


def test_a_process_that_had_not_heard_that_it_was_out():
    trace = healthy(calls=[*healthy().calls[:1], call("b", 6.0, 6.1, 10, 20), call("a", 6.5, 6.6, 10, 20)])
    trace.ownerships[1:] = [owns(LEASE, 2, b=True), owns(8.0, 3, a=False, b=True)]
    allowed(trace, put_out=10)
    trace.calls[1:] = [call("a", 6.0, 6.1, 10, 20), call("b", 6.5, 6.6, 10, 20)]
    allowed(trace, put_out=10)


def test_a_static_members_next_process_has_a_lease_without_an_account():
    trace = moved(
        ownerships=[owns(0.5, 1, a=True)], lives=[Life("a", 0.0, 3.0, "killed"), Life("b", 3.5, None, "running")]
    )
    allowed(trace, crash=10)
    trace.lives[0] = Life("a", 0.0, 3.0, "stopped")
    refused(trace, "without a cause")


def test_every_time_it_comes_again_counts():
    trace = moved(calls=[*moved().calls, call("c", 11.0, 11.1, 10, 30)], commits=[Commit(TP, COMMITTED, 1.2, "")])
    trace.ownerships.append(owns(10.0, 3, c=True))
    trace.lives = [trace.lives[0], Life("b", 0.0, 7.0, "killed"), Life("c", 0.0, None, "running")]
    allowed(trace, crash=30)
    assert oracles.duplicates(trace) == (30, 30)


# -- cooperative groups

COOPERATIVE = Limits(batch_size=2, concurrency=1, revoke_wait=2.0, cooperative=True)


def test_a_cooperative_member_may_give_up_what_it_holds_at_the_end_of_a_rebalance():
    trace = healthy(limits=COOPERATIVE, calls=[*healthy().calls[:2], call("a", 6.0, 6.1, 10, 20)])
    trace.ownerships[1:] = [owns(LEASE, 2, a=True, b=False)]
    allowed(trace, rebalance=10)
    trace.limits = replace(COOPERATIVE, cooperative=False)
    refused(trace, "twice in one lease")


def test_without_a_rebalance_a_cooperative_member_repeats_nothing():
    trace = healthy(limits=COOPERATIVE, calls=[*healthy().calls[:2], call("a", 3.0, 3.1, 10, 20)])
    refused(trace, "twice in one lease")


def test_a_rebalance_does_not_bring_back_what_was_committed():
    trace = healthy(limits=COOPERATIVE, calls=[*healthy().calls[:2], call("a", 6.0, 6.1, 9, 20)])
    trace.ownerships[1:] = [owns(LEASE, 2, a=True, b=False)]
    refused(trace, r"1 violations\n  twice in one lease: t-0@9")


def test_what_a_cooperative_member_gave_up_may_be_anothers_at_once():
    allowed(healthy(limits=COOPERATIVE), rebalance=10)


def test_what_a_cooperative_member_was_told_to_let_go_is_nobodys_for_a_while_and_does_not_come_again():
    trace = healthy(limits=COOPERATIVE)
    trace.ownerships[1:] = [owns(3.0, 2, a=False, b=False), owns(LEASE, 3, a=False, b=True)]
    refused(trace, "without a cause")


def test_a_cooperative_member_that_leaves_repeats_nothing():
    trace = healthy(limits=COOPERATIVE)
    trace.ownerships[1:] = [owns(LEASE, 2, b=True)]
    trace.lives[0] = Life("a", 0.0, 4.9, "stopped")
    refused(trace, "without a cause")
