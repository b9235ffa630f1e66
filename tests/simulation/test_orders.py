"""An operator's orders to the whole poller, on virtual time: what they end, what they keep, what they never lose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.batching import Limits
from datahub_poller.model import TopicPartition
from datahub_poller.orders import BreakerClose, GiveUp, Order, Pause, Resume, RetryNow, Scope
from datahub_poller.policy import Breaker, Policy
from datahub_poller.works import Delivered
from simulation.test_interleavings import moods, prepared, rebalances, shapes, writes
from support import oracles
from support.effort import effort
from support.simulation import FAILED, Answer, Simulation, away, honest

A, B = (TopicPartition("mcl", n) for n in range(2))
ONE = Limits(size=1, window=0.0)
SLOW_TO_TRY_AGAIN = Policy(attempts=50, backoff=100.0, max_backoff=100.0)


def judged(sim):
    oracles.always(sim.trace, sim.due)
    oracles.at_least_once(sim.trace, sim.due)


def written(sim):
    """The places of all letters, in the order in which they were acknowledged."""
    letters = {step.about["flight"] for step in sim.trace.calls("letters")}
    return [p for step in sim.trace.of("returned") if step.about["flight"] in letters for p in sorted(step.about["ok"])]


def obeyed(sim):
    return [answer.obeyed for answer in sim.answers]


# -- give-up


def test_a_record_that_is_tried_for_ever_becomes_a_letter_and_what_is_behind_it_goes_on():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=SLOW_TO_TRY_AGAIN)
    sim.write(A, "good", "poison", "good", "good")
    sim.order(10.0, GiveUp(A, 1))
    began = sim.clock.now
    sim.run()
    judged(sim)
    assert written(sim) == [(A, 1)]
    assert sim.clock.now - began < 12.0
    assert sim.answers[0].said == "mcl-0@1 is given up: its letter is written now"
    assert sim.ledger.counters["given_up_by_order"] == 1


def test_under_throw_a_record_that_a_person_gives_up_halts_nothing():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=SLOW_TO_TRY_AGAIN, throw=True)
    sim.write(A, "poison", "good")
    sim.order(10.0, GiveUp(A, 0))
    sim.run()
    judged(sim)
    assert written(sim) == [(A, 0)]
    assert sim.ledger.halt is None


def test_what_waits_for_a_schema_that_never_comes_is_let_go():
    sim = Simulation({"mcl": 1}, limits=ONE)
    sim.write(A, "good", key=7)
    sim.write(A, "good", "good")
    sim.order(5.0, GiveUp(A, 0))
    sim.run()
    judged(sim)
    assert written(sim) == [(A, 0)]


def test_nothing_settles_before_the_letter_is_acknowledged():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=SLOW_TO_TRY_AGAIN)
    back_at = sim.clock.now + 60.0
    sim.desk.sink = lambda records: away(records) if sim.clock.now < back_at else Answer(0.1, Delivered())
    sim.write(A, "poison", "good")
    sim.order(10.0, GiveUp(A, 0))
    seen = []
    sim.after(50.0, lambda: seen.append((sim.ledger.lanes[A].settled, sim.committed().get(A, 0), sim.statuses[-1])))
    sim.run()
    judged(sim)
    (settled, committed, status) = seen[0]
    assert (settled, committed) == (0, 0)
    assert (status.partitions[0].state, status.partitions[0].reason) == ("waiting_sink", "connection refused")
    assert sim.clock.now >= back_at


def test_a_letter_that_the_breaker_holds_is_written_for_the_record_that_a_person_gives_up_and_for_no_other():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=Policy(attempts=1), breaker=Breaker(3, 1000.0))
    sim.desk.handler = lambda records: Answer(0.1, FAILED)
    sim.write(A, *["good"] * 6)
    sim.order(20.0, GiveUp(A, 2))
    sim.run(sim.seconds(60.0))
    assert obeyed(sim) == [True]
    assert written(sim) == [(A, 0), (A, 1), (A, 2)]
    assert sim.breaker.is_open
    assert sim.committed()[A] == 3


def test_of_a_batch_that_the_breaker_holds_only_the_record_that_is_given_up_is_written():
    sim = broken(limits=Limits(size=4, window=0.1))
    sim.write(A, *["good"] * 4)
    sim.order(20.0, GiveUp(A, 1))
    sim.run(sim.seconds(60.0))
    assert written(sim) == [(A, 1)]
    assert sim.committed()[A] == 0
    assert sim.breaker.is_open


def test_a_record_given_up_is_not_tried_anew_where_the_breaker_closes_before_its_letter_is_written():
    sim = Simulation({"mcl": 2}, limits=Limits(size=4, window=0.1), policy=Policy(attempts=1), breaker=Breaker(9, 30.0))
    mended_at, back_at = sim.clock.now + 35.0, sim.clock.now + 90.0
    sim.desk.handler = lambda records: honest(records) if sim.clock.now > mended_at else Answer(0.1, FAILED)
    sim.desk.sink = lambda records: away(records) if sim.clock.now < back_at else Answer(0.1, Delivered())
    sim.write(A, *["good"] * 4)
    sim.order(20.0, GiveUp(A, 1))
    sim.after(40.0, lambda: sim.write(B, "good"))
    sim.run()
    judged(sim)
    assert written(sim) == [(A, 1)]
    last = [offset for call in sim.invocations(A) if call.at > mended_at for _, _, offset in call.about["records"]]
    assert {0, 2, 3} <= set(last)
    assert 1 not in last


def test_what_is_behind_held_letters_goes_on_after_the_breaker_closes_although_all_of_them_were_given_up():
    sim = Simulation({"mcl": 2}, limits=Limits(size=4, window=0.1), policy=Policy(attempts=1), breaker=Breaker(2, 30.0))
    mended_at = sim.clock.now + 28.0
    sim.desk.handler = lambda records: honest(records) if sim.clock.now > mended_at else Answer(0.1, FAILED)
    sim.write(A, *["good"] * 4)
    for offset in (0, 1):
        sim.order(20.0, GiveUp(A, offset))
    sim.after(25.0, lambda: sim.write(B, "good"))
    sim.run()
    judged(sim)
    assert obeyed(sim) == [True, True]
    assert written(sim) == [(A, 0), (A, 1)]


def test_held_letters_are_tried_anew_where_the_breaker_closes_while_another_one_is_being_written():
    sim = Simulation({"mcl": 2}, limits=Limits(size=4, window=0.1), policy=Policy(attempts=1), breaker=Breaker(9, 30.0))
    mended_at = sim.clock.now + 28.0
    sim.desk.handler = lambda records: honest(records) if sim.clock.now > mended_at else Answer(0.1, FAILED)
    sim.desk.sink = lambda records: Answer(25.0, Delivered())
    sim.write(A, *["good"] * 4)
    sim.order(20.0, GiveUp(A, 1))
    sim.after(25.0, lambda: sim.write(B, "good"))
    sim.run()
    judged(sim)
    assert written(sim) == [(A, 1)]
    assert not sim.breaker.is_open


def test_a_record_out_of_a_batch_that_is_tried_again_leaves_the_others_their_tries():
    sim = Simulation({"mcl": 1}, policy=Policy(attempts=4, backoff=20.0, max_backoff=20.0))
    sim.write(A, "good", "poison", "good", "good")
    sim.order(5.0, GiveUp(A, 1))
    sim.run()
    judged(sim)
    assert written(sim) == [(A, 1)]
    calls = [[offset for _, _, offset in call.about["records"]] for call in sim.invocations()]
    assert calls == [[0, 1, 2, 3], [0, 2, 3]]


def test_a_record_that_waits_for_its_try_is_let_go_although_another_process_has_taken_its_time():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=SLOW_TO_TRY_AGAIN)
    sim.write(A, "poison", "poison")
    sim.order(5.0, GiveUp(A, 1))
    sim.order(6.0, GiveUp(A, 0))
    sim.run()
    judged(sim)
    assert sim.answers[0].said.endswith("when what is before it is done")
    assert written(sim) == [(A, 0), (A, 1)]
    assert len(sim.invocations()) == 1


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (0, "mcl-0@0 is settled: it was delivered, lettered, or dropped by a filter; what waits first is @2"),
        (1, "mcl-0@1 is settled"),
        (3, "mcl-0@3 is no event that anything is done with: filtered"),
        (9, "mcl-0@9 was not read yet: what comes next is @5; what waits first is @2"),
    ],
)
def test_what_is_not_held_is_refused_with_what_is(offset, words):
    sim = Simulation({"mcl": 1}, limits=ONE, policy=SLOW_TO_TRY_AGAIN)
    sim.write(A, "good", "good", "poison", "drop", "good")
    sim.order(5.0, GiveUp(A, offset))
    sim.run(sim.seconds(10.0))
    assert obeyed(sim) == [False]
    assert sim.answers[0].said.startswith(words)
    assert written(sim) == []


def test_a_partition_of_another_process_is_refused_with_those_that_are_here():
    sim = Simulation({"mcl": 2})
    sim.order(5.0, GiveUp(TopicPartition("mcl", 7), 0))
    sim.run(sim.seconds(10.0))
    assert sim.answers[0].said.startswith("mcl-7 is not this process's: it holds mcl-0, mcl-1.")


def test_what_nothing_holds_up_is_not_given_up():
    sim = Simulation({"mcl": 1}, limits=Limits(size=10, window=20.0))
    sim.write(A, "good")
    sim.order(5.0, GiveUp(A, 0))
    sim.run()
    assert sim.answers[0].said == "mcl-0@0 is not held up by anything: it is handed out by itself"
    assert not written(sim)


def test_a_record_in_a_running_call_is_given_up_once_the_partition_is_paused_and_the_call_is_back():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=Policy(attempts=50, backoff=0.0, max_backoff=0.0))
    sim.desk.handler = lambda records: honest(records, 10.0)
    sim.write(A, "poison", "good")
    sim.order(5.0, GiveUp(A, 0))
    sim.order(6.0, Pause(Scope(*A)))
    sim.order(15.0, GiveUp(A, 0))
    sim.order(40.0, Resume(Scope(*A)))
    sim.run()
    judged(sim)
    assert obeyed(sim) == [False, True, True, True]
    assert "is in a running call (batch b0), of which nothing can be taken back" in sim.answers[0].said
    assert written(sim) == [(A, 0)]


def test_the_look_at_a_record_says_what_is_known_of_it_and_changes_nothing():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=SLOW_TO_TRY_AGAIN)
    sim.write(A, "poison")
    sim.order(10.0, GiveUp(A, 0, look=True))
    sim.run(sim.seconds(20.0))
    assert sim.answers[0].said == (
        "mcl-0@0: key none, here for 10 s, failed attempts: 1; last error: ValueError: poison"
    )
    assert not written(sim)


# -- the breaker


def broken(**more):
    sim = Simulation({"mcl": 1}, policy=Policy(attempts=1), breaker=Breaker(5, 1000.0), **more)
    sim.desk.handler = lambda records: Answer(0.1, FAILED) if sim.clock.now < 1100.0 else honest(records)
    return sim


def test_closing_the_breaker_accepts_what_it_holds_and_counts_anew():
    sim = broken(limits=ONE)
    sim.write(A, *["good"] * 20)
    sim.order(50.0, BreakerClose())
    seen = []
    sim.after(49.0, lambda: seen.append((written(sim), sim.breaker.is_open)))
    sim.run(sim.seconds(90.0))
    oracles.always(sim.trace, sim.due)
    assert seen == [([(A, n) for n in range(4)], True)]
    assert sim.answers[0].said == (
        "the breaker is closed (5 records in a row were given up); held letters that are written now: 1"
    )
    assert written(sim) == [(A, n) for n in range(9)]  # one that was held, and four until it opens again
    assert sim.breaker.is_open


def test_closing_the_breaker_lets_undecodable_records_go_that_nothing_can_be_probed_with():
    sim = Simulation({"mcl": 1}, breaker=Breaker(5, 10.0))
    sim.write(A, *["junk"] * 9)
    sim.order(100.0, BreakerClose())
    sim.run()
    judged(sim)
    assert len(written(sim)) == 9
    assert sim.clock.now >= 1100.0


def test_a_batch_of_which_nothing_succeeded_is_accepted_whole():
    sim = broken(limits=Limits(size=4, window=0.1))
    sim.write(A, *["good"] * 4)
    sim.order(50.0, BreakerClose())
    sim.run()
    judged(sim)
    assert len(written(sim)) == 4
    assert len(sim.invocations()) == 1 + 2 + 4


def test_a_breaker_that_is_closed_is_not_closed():
    sim = Simulation({"mcl": 1}, breaker=Breaker(5, 10.0))
    sim.write(A, "junk")
    sim.order(5.0, BreakerClose())
    sim.run(sim.seconds(10.0))
    assert sim.answers == [(False, "the breaker is not open: 1 letters in a row of 5", False)]


# -- pause and resume


def test_a_pause_lets_the_running_call_finish_and_hands_out_nothing_until_it_is_over():
    sim = Simulation({"mcl": 2}, limits=ONE)
    sim.desk.handler = lambda records: honest(records, 4.0)
    sim.write(A, *["good"] * 5)
    sim.order(5.0, Pause(Scope()))
    sim.after(20.0, lambda: sim.write(A, *["good"] * 500))
    sim.order(100.0, Resume(Scope()))
    seen = []
    sim.after(99.0, lambda: seen.append((sim.statuses[-1], sim.committed()[A], len(sim.invocations()))))
    sim.after(130.0, lambda: setattr(sim.desk, "handler", honest))
    sim.run()
    judged(sim)
    status, committed, calls = seen[0]
    assert (committed, calls) == (2, 2)
    assert (status.state, status.red) == ("paused", False)
    assert (status.paused.who, status.paused.why, round(status.paused.since)) == ("op@host", "a test", 1005)
    assert [(each.state, each.reason) for each in status.partitions] == [("paused", "by op@host: a test")] * 2
    assert status.partitions[0].records <= 60  # a poll, and no more than what a batch needs
    assert sim.source.inner is not None


def test_a_paused_partition_stands_while_the_others_go_on():
    sim = Simulation({"mcl": 2}, limits=ONE)
    sim.order(1.0, Pause(Scope(*A)))
    for tp in (A, B):
        sim.after(2.0, lambda tp=tp: sim.write(tp, "good", "junk", "good"))
    seen = []
    sim.after(60.0, lambda: seen.append(dict(sim.committed())))
    sim.order(61.0, Resume(Scope(A.topic)))
    sim.run(sim.seconds(70.0))
    judged(sim)
    assert seen == [{A: 0, B: 3}]
    assert obeyed(sim) == [True, True]


def test_a_partition_that_moves_away_and_comes_back_has_lost_its_pause_and_one_of_a_paused_action_has_not():
    for what, paused in ((Pause(Scope(*A)), False), (Pause(Scope()), True)):
        sim = Simulation({"mcl": 1})
        sim.order(1.0, what)
        sim.after(5.0, lambda sim=sim: sim.broker.expel(sim.source.inner))
        sim.after(30.0, lambda sim=sim: sim.write(A, "good"))
        sim.run(sim.seconds(60.0))
        assert (sim.committed()[A] == 0) is paused


def test_the_topic_that_is_made_anew_stays_paused():
    sim = Simulation({"mcl": 1})
    sim.write(A, "good")
    sim.order(5.0, Pause(Scope(*A)))
    sim.after(6.0, lambda: sim.poller.gap(A, 0, 0, new_topic=True))
    seen = []
    sim.after(7.0, lambda: seen.append(sim.ledger.lanes[A].paused))
    sim.run(sim.seconds(10.0))
    assert [paused.why for paused in seen] == ["a test"]


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ([Resume(Scope())], "nothing is paused"),
        ([Resume(Scope("mcl", 0))], "mcl-0: not paused"),
        ([Pause(Scope("nope"))], "this process holds no partition of the topic nope; its topics: mcl"),
        ([Pause(Scope("mcl", 9))], "mcl-9 is not this process's: it holds mcl-0, mcl-1."),
        ([Pause(Scope()), Pause(Scope())], "the action is paused already, by op@host for 1 s: a test"),
        ([Pause(Scope("mcl")), Pause(Scope("mcl", 1))], "mcl-1 paused already, by op@host for 1 s: a test"),
        ([Pause(Scope()), Resume(Scope("mcl", 1))], "the whole action is paused, by op@host"),
    ],
)
def test_a_pause_that_changes_nothing_is_refused_in_words(orders, words):
    sim = Simulation({"mcl": 2})
    for n, what in enumerate(orders):
        sim.order(5.0 + n, what)
    sim.run(sim.seconds(20.0))
    assert obeyed(sim) == [True] * (len(orders) - 1) + [False]
    assert sim.answers[-1].said.startswith(words)


def test_a_pause_of_its_own_outlasts_that_of_the_action_unless_all_is_resumed():
    sim = Simulation({"mcl": 2})
    for n, what in enumerate((Pause(Scope()), Pause(Scope(*A)), Resume(Scope(*A)), Pause(Scope(*A)), Resume(Scope()))):
        sim.order(1.0 + n, what)
    sim.run(sim.seconds(10.0))
    assert obeyed(sim) == [True] * 5
    assert sim.answers[2].said == "resumed: mcl-0; but the whole action is paused still"


def test_while_all_is_paused_the_loop_does_not_turn_for_nothing():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=Policy(attempts=9, backoff=1.0))
    sim.write(A, "poison", "good")
    sim.order(0.5, Pause(Scope()))
    sim.run(sim.seconds(100.0))
    assert len(sim.source.polls) < 30 * 100


# -- retry-now


def test_back_offs_end_now_and_attempts_count_as_always():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=Policy(attempts=4, backoff=1000.0, max_backoff=1000.0))
    sim.write(A, "poison", "good")
    for n in range(8):
        sim.order(5.0 + n, RetryNow())
    began = sim.clock.now
    sim.run()
    judged(sim)
    assert sim.clock.now - began < 20.0
    assert len(sim.invocations()) == 4 + 1
    assert sim.answers[0].said == "ended now: back-offs: 1"
    assert len(sim.answers) == 3


def test_where_nothing_waits_there_is_nothing_to_end():
    sim = Simulation({"mcl": 1})
    sim.order(5.0, RetryNow())
    sim.run(sim.seconds(10.0))
    assert sim.answers == [(True, "nothing was waiting for its time", False)]


def test_a_back_off_that_was_cut_short_does_not_count_for_the_age():
    sim = Simulation({"mcl": 1}, limits=ONE, policy=Policy(attempts=99, backoff=40.0, max_backoff=40.0, max_age=60.0))
    sim.write(A, "poison")
    for n in range(10):
        sim.order(1.0 + n, RetryNow())
    sim.run(sim.seconds(15.0))
    assert len(sim.invocations()) == 11
    assert not written(sim)


def test_the_wait_for_the_sink_and_the_pause_of_the_breaker_end_now():
    sim = Simulation({"mcl": 2}, limits=ONE, policy=Policy(attempts=1), breaker=Breaker(2, 5000.0))
    back_at = sim.clock.now + 200.0
    sim.desk.sink = lambda records: away(records) if sim.clock.now < back_at else Answer(0.1, Delivered())
    sim.write(A, "junk")
    sim.write(B, "poison", "good")
    sim.order(201.0, RetryNow())
    sim.run()
    judged(sim)
    assert sim.clock.now < back_at + 5.0
    assert "pauses of the breaker: 1" in sim.answers[0].said
    assert "waits for the sink: 1" in sim.answers[0].said


# -- when nothing is to be ordered any more


def test_orders_to_a_poller_that_stops_are_refused():
    sim = Simulation({"mcl": 1}, limits=ONE)
    sim.desk.handler = lambda records: honest(records, 5.0)
    sim.write(A, "good")
    sim.order(2.0, Pause(Scope()))
    sim.run(sim.seconds(1.0))
    assert sim.answers == [(False, "the poller is stopping", False)]


def test_orders_to_a_poller_that_has_halted_are_refused():
    sim = Simulation({"mcl": 2}, limits=ONE, policy=Policy(attempts=1), throw=True, concurrency=2)
    sim.desk.handler = lambda records: honest(records, 5.0 if records[0].tp == B else 0.1)
    sim.write(B, "good")
    sim.write(A, "poison")
    sim.order(2.0, GiveUp(A, 0))
    sim.run(sim.seconds(60.0))
    assert sim.answers == [(False, "the poller has halted before mcl-0@0, and stops", False)]


# -- any time


moments = st.floats(0, 60.0, allow_nan=False).map(lambda at: round(at, 1))
partitions = st.sampled_from([TopicPartition("mcl", 0), TopicPartition("mcl", 1), TopicPartition("pe", 0)])
whats = st.one_of(
    st.builds(GiveUp, partitions, st.integers(0, 30)),
    st.just(RetryNow()),
    st.just(BreakerClose()),
    st.builds(lambda tp: Pause(Scope(*tp)), partitions),
    st.just(Pause(Scope())),
    st.just(Resume(Scope())),
)


@effort(40)
@given(
    shape=shapes,
    writes=writes,
    rebalances=rebalances,
    moods=moods,
    seed=st.integers(0, 5),
    orders=st.lists(st.tuples(moments, whats), min_size=1, max_size=12),
)
def test_whatever_a_person_orders_nothing_is_lost_and_nothing_comes_out_of_order(
    shape, writes, rebalances, moods, seed, orders
):
    sim = prepared(shape, writes, rebalances, moods, seed)
    healthy_at = sim.clock.now + 60.0
    for at, what in orders:
        sim.order(at, what)
    sim.after(60.5, lambda: sim.obeying.obey(Order(Resume(Scope()), "op@host"), sim.clock.now))
    sim.run(lambda: sim.clock.now > healthy_at + 1 and sim.all_committed(), limit=3000)
    judged(sim)
    poison = {(tp, offset) for tp, offsets in sim.records("poison", "junk").items() for offset in offsets}
    given = {(what.tp, what.offset) for (_, what) in orders if isinstance(what, GiveUp)}
    good = {(tp, offset) for tp, offsets in sim.records("good").items() for offset in offsets}
    if not any(isinstance(what, BreakerClose) for _, what in orders) and "raise" not in moods:
        assert set(written(sim)) & good <= given
    assert set(written(sim)) <= poison | good
