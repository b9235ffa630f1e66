"""Stories that the design promises an end to: the whole loop on virtual time, one trouble each."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datahub_poller.batching import Limits
from datahub_poller.errors import Fatal
from datahub_poller.gaps import COMMIT_PAST_END, READ_PAST_END, RETENTION
from datahub_poller.model import SchemaKey, TopicPartition
from datahub_poller.policy import Breaker, Policy
from datahub_poller.works import Delivered
from support import oracles
from support.simulation import FAILED, Answer, Simulation, away, honest, naming
from support.values import kind_of

A, B, C = (TopicPartition("mcl", n) for n in range(3))
WHOLE = Limits(window=0.5)
"""What comes in two polls makes one batch."""
SMALL = Limits(size=10, window=0.2)


def judged(sim):
    oracles.always(sim.trace, sim.due)
    oracles.at_least_once(sim.trace, sim.due)
    oracles.dead_letters_are(sim.trace, sim.records("poison", "junk"))


def test_everything_is_delivered_once_in_order_and_committed_to_the_end():
    sim = Simulation({"mcl": 3}, limits=SMALL)
    for tp in (A, B, C):
        sim.write(tp, *["good"] * 95, "drop", "tombstone", None)
    sim.run()
    judged(sim)
    oracles.duplicates_at_most(sim.trace, 0)
    assert sim.committed() == {A: 98, B: 98, C: 98}
    assert sim.poller.rebalances == 1


def test_one_poison_event_in_a_batch_of_a_hundred_is_found_and_nothing_else_is_dead_lettered():
    sim = Simulation({"mcl": 1}, limits=WHOLE)
    sim.write(A, *["good"] * 61, "poison", *["good"] * 38)
    sim.run()
    judged(sim)
    assert len(sim.invocations()) <= sim.policy.attempts + 2 * math.ceil(math.log2(100))
    oracles.duplicates_at_most(sim.trace, 0)


def test_a_named_poison_event_costs_its_attempts_only():
    sim = Simulation({"mcl": 1}, limits=WHOLE)
    sim.desk.handler = naming
    sim.write(A, *["good"] * 61, "poison", *["good"] * 38)
    sim.run()
    judged(sim)
    assert len(sim.invocations()) == sim.policy.attempts
    oracles.duplicates_at_most(sim.trace, 0)


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_whatever_a_handler_names_is_given_up_after_so_many_calls_and_never_split(attempts):
    sim = Simulation({"mcl": 1}, limits=WHOLE, policy=Policy(attempts=attempts))
    sim.desk.handler = naming
    sim.write(A, "poison", "good", "poison", "good", "poison")
    sim.run()
    judged(sim)
    assert len(sim.invocations()) == attempts


@settings(max_examples=60)
@given(
    kinds=st.lists(st.lists(st.sampled_from(["good", "poison"]), max_size=12), min_size=3, max_size=3),
    attempts=st.integers(1, 4),
    order=st.sampled_from(["failed_only", "strict"]),
)
def test_only_what_is_named_is_given_up_and_in_no_more_calls_than_its_attempts(kinds, attempts, order):
    """In strict order what stands behind a named record may fail because of it: it is tried anew once that is gone."""
    sim = Simulation({"mcl": 3}, limits=SMALL, policy=Policy(attempts=attempts, order=order), breaker=Breaker(0, 60.0))
    calls = Counter()

    def counted(records, seconds=0.05):
        calls.update((record.tp, record.offset) for record in records)
        return naming(records, seconds)

    sim.desk.handler = counted
    wanted = {}
    for tp, each in zip((A, B, C), kinds, strict=True):
        sim.write(tp, *each)
        wanted |= {(tp, offset): attempts if kind == "poison" else 1 for offset, kind in enumerate(each)}
    sim.run()
    judged(sim)
    assert order == "strict" or calls == wanted


def test_an_event_is_not_given_up_for_what_another_partition_had_in_the_same_batch():
    sim = Simulation({"mcl": 3}, policy=Policy(attempts=1))
    sim.write(A, "good")
    sim.write(B, "poison")
    sim.write(C, "good")
    sim.run()
    judged(sim)
    assert len(sim.invocations()[0].about["records"]) == 3


def test_a_partition_that_fails_for_a_minute_stops_no_other_although_one_call_runs_at_a_time():
    sim = Simulation({"mcl": 3}, policy=Policy(attempts=1000, backoff=0.5, max_backoff=5.0), limits=SMALL)
    broken_until = sim.clock.now + 60.0

    def handler(records):
        if any(record.tp == A for record in records) and sim.clock.now < broken_until:
            return Answer(0.2, FAILED)
        return honest(records, 0.2)

    sim.desk.handler = handler
    for second in range(60):
        for tp in (A, B, C):
            sim.after(second, lambda tp=tp: sim.write(tp, *["good"] * 5))
    seen = {}
    sim.after(59.9, lambda: seen.update(sim.committed()))
    sim.run(lambda: sim.clock.now > broken_until + 1 and sim.all_committed())
    judged(sim)
    assert seen[A] == 0
    assert seen[B] >= 280
    assert seen[C] >= 280


def test_a_partition_that_is_split_to_pieces_does_not_starve_the_others():
    sim = Simulation({"mcl": 2}, policy=Policy(attempts=1))
    sim.desk.handler = lambda records: honest(records, 1.0)
    sim.write(A, *["poison"] * 100)
    sim.write(B, *["good"] * 1000)
    sim.run(sim.seconds(40))
    oracles.always(sim.trace, sim.due)
    # Ten batches take ten seconds; every other call is theirs.
    assert sim.committed()[B] == 1000


def test_a_backlog_does_not_starve_what_is_to_be_tried_again():
    sim = Simulation({"mcl": 2}, policy=Policy(backoff=0.1), limits=Limits(size=10, window=0.1))
    failed_once = []

    def handler(records):
        if records[0].tp == A and not failed_once:
            failed_once.append(1)
            return Answer(0.5, FAILED)
        return honest(records, 0.5)

    sim.desk.handler = handler
    sim.write(A, "good")
    sim.write(B, *["good"] * 1000)
    sim.run(sim.seconds(10))
    assert failed_once
    assert sim.committed()[A] == 1
    assert sim.committed()[B] >= 100


# -- the registry and the sink


def test_while_a_schema_is_away_its_lane_waits_without_attempts_and_the_others_go_on():
    sim = Simulation({"mcl": 1, "pe": 1}, limits=SMALL)
    pe = TopicPartition("pe", 0)
    sim.write(A, "good", "good")
    sim.write(A, "good", "poison", "drop", "junk", key=7)
    sim.write(A, "good")
    for second in range(100):
        sim.after(second, lambda: sim.write(pe, *["good"] * 3))
    sim.after(120, lambda: sim.desk.schema(SchemaKey("confluent", 7), 0.1))
    seen = {}

    def look():
        status = sim.statuses[-1]
        seen.update(
            {each.topic: each for each in status.partitions}, red=status.red, letters=len(sim.trace.calls("letters"))
        )

    sim.after(119, look)
    sim.run(lambda: sim.clock.now > 1125 and sim.all_committed())
    judged(sim)
    assert seen["red"]
    assert seen["letters"] == 0
    assert (seen["mcl"].state, seen["mcl"].attempts, seen["mcl"].settled) == ("waiting_schema", 0, 2)
    assert "503" in seen["mcl"].reason
    assert seen["pe"].settled == 300


def test_while_the_sink_is_down_the_lane_waits_red_and_the_others_go_on():
    sim = Simulation({"mcl": 2}, limits=SMALL)
    back = sim.clock.now + 90
    sim.desk.sink = lambda records: away(records) if sim.clock.now < back else Answer(0.01, Delivered())
    sim.write(A, "good", "junk", "good")
    sim.write(B, *["good"] * 100)
    seen = {}

    def look():
        status = sim.statuses[-1]
        seen.update({each.partition: each for each in status.partitions}, red=status.red)

    sim.after(80, look)
    sim.run()
    judged(sim)
    assert sim.clock.now >= back
    assert seen["red"]
    assert (seen[0].settled, seen[0].committed, seen[0].lag) == (1, 1, 2)
    assert seen[0].state == "waiting_sink"
    assert "connection refused" in seen[0].reason
    assert seen[1].settled == 100
    # From a second to half a minute apart.
    assert 4 <= len(sim.trace.calls("letters")) <= 12


def test_a_target_that_is_away_uses_no_attempts_and_leaves_no_letters():
    sim = Simulation({"mcl": 2}, policy=Policy(attempts=1), limits=SMALL)
    back = sim.clock.now + 300
    sim.desk.handler = lambda records: away(records) if sim.clock.now < back else honest(records)
    sim.write(A, *["good"] * 5)
    sim.write(B, *["good"] * 5)
    sim.run()
    judged(sim)
    assert len(sim.invocations()) < 60


# -- rebalances


def test_a_result_that_comes_before_the_revocation_ends_counts_and_one_after_it_does_not():
    for seconds, settled in ((5.0, 10), (60.0, 0)):
        sim = Simulation({"mcl": 1}, limits=SMALL, revoke_wait=20.0)
        sim.desk.handler = lambda records, seconds=seconds: Answer(seconds, Delivered())
        sim.write(A, *["good"] * 10)
        sim.rival_joins()  # first in the group, so that the only partition becomes its own once it is told
        sim.rivals[0].source.topics = ()
        sim.after(2, lambda sim=sim: setattr(sim.rivals[0].source, "topics", ("mcl",)))
        at_revoke = {}
        sim.after(30, lambda sim=sim, at=at_revoke: at.update(sim.committed(), counters=dict(sim.ledger.counters)))
        sim.run(sim.seconds(100))
        oracles.always(sim.trace, sim.due)
        assert at_revoke[A] == settled
        assert sim.committed()[A] == settled
        assert sim.ledger.counters["late_results"] == (0 if settled else 1)
        assert sim.ledger.lanes == {}


def test_a_partition_that_comes_back_while_its_call_runs_is_not_offered_again_before_it_has_returned():
    sim = Simulation({"mcl": 1}, limits=SMALL, revoke_wait=5.0)
    durations = iter([60.0])
    sim.desk.handler = lambda records: Answer(next(durations, 0.1), Delivered())
    sim.write(A, *["good"] * 10)
    sim.after(2, lambda: sim.broker.expel(sim.source.inner))
    states = []
    sim.after(30, lambda: states.append(sim.statuses[-1].partitions[0]))
    sim.run()
    judged(sim)
    first, second = sim.invocations()
    assert second.at >= first.at + 60.0
    assert states[0].state == "blocked"
    assert states[0].settled == 0
    assert sim.ledger.counters["late_results"] == 1
    assert sim.ledger.counters["abandoned_calls"] == 1


@pytest.mark.parametrize("incremental", [False, True], ids=["eager", "cooperative"])
def test_rebalances_in_the_middle_of_work_lose_nothing(incremental):
    sim = Simulation({"mcl": 4}, limits=SMALL, incremental=incremental, revoke_wait=3.0)
    sim.desk.handler = lambda records: honest(records, 0.7)
    for tp in sim.partitions:
        sim.write(tp, *["good"] * 20, "poison", "junk", *["good"] * 20)
    for n in range(6):
        sim.after(3 + 10 * n, sim.rival_joins)
        sim.after(8 + 10 * n, sim.rival_leaves)
    sim.run(lambda: sim.clock.now > 1065 and sim.all_committed())
    judged(sim)
    assert sim.trace.leases[TopicPartition("mcl", 3)] > 6


def test_lost_partitions_are_committed_for_no_more():
    sim = Simulation({"mcl": 1}, limits=SMALL, commit_interval=30.0)
    sim.write(A, *["good"] * 10)
    before = []
    sim.after(5, lambda: before.append(sim.committed()[A]))
    sim.after(5, lambda: sim.broker.expel(sim.source.inner))
    sim.run()
    judged(sim)
    assert before == [0]
    assert sim.ledger.counters["settled_not_committed"] == 10
    assert sim.ledger.counters["commits_failed"] == 0
    oracles.duplicates_at_most(sim.trace, 10)


# -- a handler past its timeout


def test_a_handler_past_its_timeout_is_reported_once_and_its_late_success_counts(caplog):
    sim = Simulation({"mcl": 1}, limits=SMALL, timeout=5.0)
    durations = iter([40.0])
    sim.desk.handler = lambda records: Answer(next(durations, 0.1), Delivered())
    sim.write(A, *["good"] * 10)
    seen = []
    sim.after(20, lambda: seen.append(sim.statuses[-1]))
    sim.run()
    judged(sim)
    oracles.duplicates_at_most(sim.trace, 0)
    assert len(sim.invocations()) == 1
    reports = [r for r in caplog.records if r.getMessage() == "handler is past its timeout and still runs"]
    assert len(reports) == 1
    assert seen[0].red
    assert seen[0].partitions[0].state == "in_flight"
    assert sim.ledger.counters["overdue_invocations"] == 1
    assert sim.longest_without_poll() < 0.5


# -- commits


def test_a_commit_that_is_refused_is_tried_again_after_a_while_and_nothing_is_handed_out_twice():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, *["good"] * 50)
    sim.broker.refusals.extend(["rebalance in progress"] * 5)
    seen = []
    sim.after(4, lambda: seen.append(sim.statuses[-1]))
    sim.run()
    judged(sim)
    oracles.duplicates_at_most(sim.trace, 0)
    assert sim.ledger.counters["commits_failed"] == 5
    assert any("rebalance in progress" in reason for reason in seen[0].reasons)
    assert not sim.statuses[-1].red


def test_one_commit_is_on_its_way_at_a_time_and_a_late_answer_is_for_the_lease_it_was_sent_under():
    sim = Simulation({"mcl": 2}, limits=SMALL)
    sim.source.answer_delay = 3.0
    for second in range(20):
        sim.after(second, lambda: sim.write(A, "good"))
    sim.after(7.5, lambda: sim.broker.expel(sim.source.inner))
    sim.run(lambda: sim.clock.now > 1030 and sim.all_committed())
    judged(sim)
    commits = [step for step in sim.trace.of("committed") if step.about["tp"] == A]
    assert len(commits) < 12


@pytest.mark.parametrize("bisect", [True, False])
@pytest.mark.parametrize("order", ["strict", "failed_only"])
def test_only_the_named_are_given_up_whatever_stands_behind_them(order, bisect):
    policy = Policy(attempts=2, backoff=0.1, order=order, bisect=bisect)
    sim = Simulation({"mcl": 1}, policy=policy, limits=SMALL)
    sim.desk.handler = naming
    sim.write(A, "good", "good", "poison", "good", "good", "poison", "poison", "good", "good", "good")
    sim.run()
    oracles.dead_letters_are(sim.trace, {A: [2, 5, 6]})
    assert sim.committed() == {A: 10}
    oracles.always(sim.trace, sim.due)


# -- stopping


def test_a_stop_waits_for_the_running_call_and_commits_it():
    sim = Simulation({"mcl": 1}, limits=SMALL, shutdown=25.0)
    sim.desk.handler = lambda records: Answer(10.0, Delivered())
    sim.write(A, *["good"] * 30)
    sim.run(lambda: len(sim.trace.calls()) == 1)
    assert len(sim.trace.calls()) == 1
    assert sim.committed() == {A: 10}
    assert sim.broker.group("sim").members == []
    oracles.always(sim.trace, sim.due)


def test_a_call_that_does_not_return_is_abandoned_before_the_deadline():
    sim = Simulation({"mcl": 2}, limits=SMALL, shutdown=25.0)
    sim.desk.handler = lambda records: Answer(1000.0 if records[0].tp == A else 0.1, Delivered())
    sim.write(B, *["good"] * 10)
    sim.after(5, lambda: sim.write(A, *["good"] * 10))
    stopped = []

    def called():
        if any(step.about["records"][0][0] == A for step in sim.trace.calls()):
            stopped.append(sim.clock.now)
            return True
        return False

    sim.run(called)
    assert stopped[0] + 20 < sim.clock.now <= stopped[0] + 25.0 - 1.9
    assert sim.committed() == {A: 0, B: 10}
    assert sim.ledger.counters["abandoned_calls"] == 1


def test_a_stop_during_a_rebalance_tries_its_last_commit_until_the_group_takes_it():
    sim = Simulation({"mcl": 1}, limits=SMALL, shutdown=25.0)
    sim.desk.handler = lambda records: Answer(10.0, Delivered())
    sim.write(A, *["good"] * 10)

    def called():
        if not sim.trace.calls():
            return False
        sim.broker.refusals.extend(["rebalance in progress"] * 5)
        return True

    sim.run(called)
    assert sim.committed() == {A: 10}
    assert sim.ledger.counters["commits_failed"] == 5


def test_a_stop_whose_last_commit_is_never_taken_ends_by_the_deadline():
    sim = Simulation({"mcl": 1}, limits=SMALL, shutdown=25.0)
    sim.write(A, *["good"] * 10)

    def called():
        if sim.trace.of("returned"):
            sim.broker.refusals.extend(["the coordinator is away"] * 10_000)
            return True
        return False

    began = []
    sim.run(lambda: called() and (began.append(sim.clock.now) or True))
    assert sim.clock.now <= began[0] + 25.0


def test_a_revocation_during_the_stop_keeps_to_the_deadline():
    sim = Simulation({"mcl": 1}, limits=SMALL, shutdown=10.0, revoke_wait=100.0)
    sim.desk.handler = lambda records: Answer(1000.0, Delivered())
    sim.write(A, *["good"] * 10)
    sim.rival_joins()
    sim.rivals[0].source.topics = ()
    sim.after(5, lambda: setattr(sim.rivals[0].source, "topics", ("mcl",)))
    sim.after(6, lambda: sim.poller.stop(sim.clock.now + 10.0))
    sim.run(lambda: False)
    assert sim.clock.now < 1000 + 16.5


def test_throw_commits_the_prefix_of_each_partition_and_returns():
    sim = Simulation({"mcl": 2}, limits=SMALL, throw=True, policy=Policy(attempts=2))
    sim.write(A, *["good"] * 25, "poison", *["good"] * 5)
    sim.write(B, *["good"] * 25)
    sim.run(lambda: False)
    oracles.always(sim.trace, sim.due)
    assert sim.ledger.halt is not None
    assert (sim.ledger.halt.record.tp, sim.ledger.halt.record.offset) == (A, 25)
    assert sim.committed()[A] == 25
    assert sim.trace.calls("letters") == []


def test_throw_stops_before_a_record_that_is_undecodable_but_not_before_what_precedes_it():
    sim = Simulation({"mcl": 1}, limits=SMALL, throw=True)
    sim.write(A, *["good"] * 15, "junk", *["good"] * 5)
    sim.run(lambda: False)
    assert sim.committed() == {A: 15}
    assert sim.ledger.halt is not None
    assert sim.ledger.halt.record.offset == 15
    assert sim.trace.calls("letters") == []


def test_a_fault_of_our_own_in_a_worker_ends_the_run():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.desk.fail = RuntimeError("a bug")
    sim.write(A, "good")
    with pytest.raises(Fatal, match="RuntimeError: a bug"):
        sim.run(lambda: False)
    assert sim.committed() in ({}, {A: 0})


# -- gaps, buffers, quiet


def test_where_retention_was_faster_reading_goes_on_with_what_is_there(caplog):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, *["good"] * 10)
    sim.run(lambda: sim.committed().get(A) == 10)
    sim.write(A, *["good"] * 10)
    sim.broker.delete_records("mcl", 0, 15)
    sim.begin()
    sim.run()
    assert sim.committed() == {A: 20}
    assert sim.ledger.counters["records_missing"] == 5
    assert [r for r in caplog.records if r.getMessage() == RETENTION]
    delivered = {offset for step in sim.trace.of("returned") for _, offset in step.about["ok"]}
    assert delivered == {*range(10), *range(15, 20)}


def lines_of(caplog, event):
    return [r.datahub_poller_fields for r in caplog.records if r.getMessage() == event]


def test_a_commit_past_the_end_is_told_as_that_and_the_log_is_read_from_its_beginning(caplog):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, *["good"] * 10)
    sim.run(lambda: sim.committed().get(A) == 10)
    del sim.broker.log(A).entries[4:]
    sim.begin()
    sim.run(lambda: sim.committed().get(A) == 4)
    (said,) = lines_of(caplog, COMMIT_PAST_END)
    assert (said["committed"], said["position"], said["low"], said["high"]) == (10, 10, 0, 4)
    assert said["then"].startswith("reading from offset 0")
    assert "missing" not in said
    assert (sim.ledger.counters["gaps"], sim.ledger.counters["records_missing"]) == (1, 0)
    assert lines_of(caplog, RETENTION) == []


def test_a_log_that_is_cut_off_while_it_is_read_is_not_told_as_a_commit(caplog):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, *["good"] * 10)
    sim.after(5, lambda: sim.broker.log(A).entries.__delitem__(slice(4, None)))
    sim.run(lambda: sim.clock.now > 1007 and sim.committed().get(A) == 4)
    (said,) = lines_of(caplog, READ_PAST_END)
    assert (said["read"], said["committed"], said["high"]) == (10, 10, 4)
    assert lines_of(caplog, COMMIT_PAST_END) == []


def test_a_gap_halts_where_that_is_asked_for():
    sim = Simulation({"mcl": 1}, limits=SMALL, on_gap="halt")
    sim.write(A, *["good"] * 10)
    sim.run(lambda: sim.committed().get(A) == 10)
    sim.write(A, *["good"] * 10)
    sim.broker.delete_records("mcl", 0, 15)
    sim.begin()
    with pytest.raises(Fatal, match="mcl-0"):
        sim.run()
    assert sim.committed() == {A: 10}


def test_a_position_that_is_in_the_log_after_all_is_kept():
    sim = Simulation({"mcl": 1}, limits=SMALL, on_gap="halt")
    sim.write(A, *["good"] * 10)
    told = []
    sim.after(5, lambda: told.extend([sim.poller.gap(A, 0, 10), sim.poller.gap(A, 10, 90), sim.poller.gap(A, 3, 90)]))
    sim.after(6, lambda: sim.write(A, "good"))
    sim.run(lambda: sim.clock.now > 1007 and sim.all_committed())
    judged(sim)
    assert told == [10, 10, 10]
    assert sim.ledger.counters["gaps"] == 0
    oracles.duplicates_at_most(sim.trace, 0)


def test_a_topic_that_was_made_anew_is_read_from_its_beginning():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, *["good"] * 50)
    sim.run(lambda: sim.committed().get(A) == 50)
    sim.broker.create_topic("mcl", 1)
    sim.write(A, *["good"] * 20)
    sim.begin()
    sim.run()
    assert sim.committed() == {A: 20}


def test_a_full_buffer_pauses_and_a_lane_that_is_stuck_does_not_starve_the_others():
    size, buffer, polled = 1000, 200_000, 20
    sim = Simulation({"mcl": 3}, limits=SMALL, buffer=buffer, poll_records=polled)
    stuck_until = sim.clock.now + 60
    sim.desk.handler = lambda records: (
        away(records) if any(r.tp == A for r in records) and sim.clock.now < stuck_until else honest(records, 0.1)
    )
    for tp in (A, B, C):
        sim.write(tp, *["good"] * 600, size=size)
    seen = {}
    sim.after(59, lambda: seen.update(sim.committed(), paused=sim.source.paused, stuck=sim.ledger.lanes[A].bytes))
    sim.run()
    judged(sim)
    oracles.duplicates_at_most(sim.trace, 0)
    assert sim.most_held <= buffer + polled * size
    assert seen[A] == 0
    assert seen[B] == seen[C] == 600
    assert A in seen["paused"]
    assert seen["stuck"] <= buffer // 2 + polled * size
    assert sim.source.paused == frozenset({A, B, C})  # by the stop
    assert sim.statuses[-1].buffer.bytes == 0


def test_a_lane_that_waits_for_a_schema_holds_a_batch_at_most():
    sim = Simulation({"mcl": 1}, limits=SMALL, poll_records=5)
    sim.write(A, *["good"] * 200, key=3)
    held = []
    sim.after(5, lambda: held.append(sim.ledger.lanes[A].records))
    sim.after(6, lambda: sim.desk.schema(SchemaKey("confluent", 3), 0.0))
    sim.run()
    judged(sim)
    assert held[0] <= SMALL.size + 5


def test_the_time_between_polls_is_short_whatever_the_handler_does():
    sim = Simulation({"mcl": 2}, limits=SMALL, concurrency=2, timeout=5.0)
    sim.desk.handler = lambda records: Answer(20.0, FAILED if records[0].offset == 0 else Delivered())
    sim.write(A, *["good"] * 30)
    sim.write(B, *["good"] * 30, "junk")
    sim.run(sim.seconds(200))
    assert sim.longest_without_poll() <= 0.15
    oracles.always(sim.trace, sim.due)


def test_idle_partitions_settle_past_control_records():
    sim = Simulation({"mcl": 2}, limits=SMALL)
    sim.write(A, "good", None, None)
    sim.write(B, None)
    sim.after(10, lambda: sim.write(B, None, None))
    sim.run(lambda: sim.clock.now > 1012 and sim.all_committed())
    assert sim.committed() == {A: 3, B: 3}


def test_where_reading_begins_is_committed_at_once_whatever_the_interval():
    sim = Simulation({"mcl": 2}, limits=SMALL, commit_interval=60.0)
    seen = []
    sim.after(0.5, lambda: seen.append(sim.committed()))
    sim.run(sim.seconds(1))
    assert seen == [{A: 0, B: 0}]


def test_commits_keep_to_their_interval():
    sim = Simulation({"mcl": 1}, limits=SMALL, commit_interval=5.0)
    for tenth in range(200):
        sim.after(tenth / 10, lambda: sim.write(A, "good"))
    sim.run(lambda: sim.clock.now > 1021 and sim.all_committed())
    judged(sim)
    assert len(sim.trace.of("committed")) <= 7


def test_after_a_crash_what_comes_again_is_what_was_in_flight_and_what_was_not_committed():
    sim = Simulation({"mcl": 2}, limits=SMALL)
    for tp in (A, B):
        sim.write(tp, *["good"] * 300)
    sim.after(1.03, sim.crash)
    sim.after(1.93, sim.crash)
    sim.run()
    judged(sim)
    oracles.duplicates_at_most(sim.trace, 2 * SMALL.size)


# -- the breaker


def test_a_handler_that_always_fails_drains_nothing_and_waits_for_a_probe_that_succeeds():
    sim = Simulation({"mcl": 3}, limits=SMALL, breaker=Breaker(20, 60.0), policy=Policy(backoff=0.1))
    works_again = sim.clock.now + 600
    sim.desk.handler = lambda records: Answer(0.1, FAILED) if sim.clock.now < works_again else honest(records)
    for tp in (A, B, C):
        sim.write(tp, *["good"] * 100)
    seen = []
    sim.after(599, lambda: seen.append((sim.statuses[-1], len(sim.trace.calls("letters")), len(sim.invocations()))))
    sim.run(limit=3000)
    judged(sim)
    status, letters, invocations = seen[0]
    assert letters == 0
    assert status.red
    assert status.breaker.state == "open"
    assert invocations < 100


def test_single_events_that_always_fail_are_held_before_the_row_is_full():
    sim = Simulation({"mcl": 1}, limits=Limits(size=1), breaker=Breaker(5, 60.0), policy=Policy(attempts=1))
    sim.desk.handler = lambda records: Answer(0.1, FAILED)
    sim.write(A, *["good"] * 100)
    sim.run(sim.seconds(500))
    assert sim.committed() == {A: 4}


def test_bytes_that_are_never_an_event_are_held_before_the_row_is_full():
    sim = Simulation({"mcl": 2}, limits=SMALL, breaker=Breaker(20, 60.0))
    sim.write(A, *["junk"] * 100)
    sim.write(B, *["junk"] * 100)
    sim.run(sim.seconds(500))
    assert sum(sim.committed().values()) == 19
    assert sim.statuses[-1].breaker.state == "open"


def test_a_registry_that_was_wrong_and_is_put_right_leaves_no_letter_of_what_was_held():
    sim = Simulation({"mcl": 1}, limits=SMALL, breaker=Breaker(5, 60.0))
    sim.write(A, *["good"] * 50)
    wrong = [True]
    read = sim.intake.read

    def misread(record, now):
        if wrong[0]:
            record = record._replace(value=b"junk")
        return read(record, now)

    sim.intake.read = misread
    sim.after(100, wrong.clear)
    sim.after(100, lambda: wrong.append(False))
    sim.run()
    oracles.dead_letters_are(sim.trace, {A: range(4)})
    oracles.at_least_once(sim.trace, sim.due)


def test_with_another_healthy_partition_the_breaker_recovers_and_everything_ends_settled():
    sim = Simulation({"mcl": 3}, limits=SMALL, breaker=Breaker(5, 30.0), policy=Policy(attempts=2, backoff=0.1))
    sim.write(A, *["poison"] * 23, *["good"] * 20)
    sim.write(B, *["junk"] * 23, *["good"] * 20)
    for n in range(300):
        sim.after(n * 7, lambda: sim.write(C, "good"))
    sim.run(lambda: sim.clock.now > 1000 + 2101 and sim.all_committed(), limit=5000)
    judged(sim)
    assert not sim.breaker.is_open


def test_a_probe_that_never_returns_does_not_keep_the_breaker_open():
    sim = Simulation(
        {"mcl": 2}, limits=SMALL, breaker=Breaker(3, 10.0), policy=Policy(attempts=1), timeout=5.0, concurrency=2
    )
    hung = []

    def handler(records):
        if any(kind_of(record) == "poison" for record in records):
            return Answer(0.1, FAILED)
        if not hung:
            hung.append(1)
            return Answer(10_000.0, Delivered())
        return honest(records)

    sim.desk.handler = handler
    sim.write(A, *["poison"] * 5, *["good"] * 20)
    sim.after(5, lambda: sim.write(B, *["good"] * 10))
    sim.run(lambda: sim.committed().get(A) == 25)
    oracles.always(sim.trace, sim.due)
    assert hung
    assert not sim.breaker.is_open


def test_with_one_partition_the_probe_takes_the_events_behind_undecodable_records():
    sim = Simulation({"mcl": 1}, limits=SMALL, breaker=Breaker(5, 30.0))
    sim.write(A, *["junk"] * 8, *["good"] * 5, *["junk"] * 2, *["good"] * 5)
    sim.run(sim.all_committed, limit=3000)
    judged(sim)
    oracles.dead_letters_are(sim.trace, {A: [*range(8), 13, 14]})
    assert not sim.breaker.is_open


def test_with_one_partition_a_long_run_of_undecodable_records_holds():
    sim = Simulation({"mcl": 1}, limits=SMALL, breaker=Breaker(5, 30.0))
    sim.write(A, *["junk"] * 30, *["good"] * 5)
    sim.run(lambda: sim.clock.now > 1900, limit=1000)
    oracles.dead_letters_are(sim.trace, {A: range(4)})
    assert sim.breaker.is_open


def test_with_one_partition_and_one_event_in_a_batch_the_probe_gets_past_poison():
    limits = replace(SMALL, size=1)
    sim = Simulation({"mcl": 1}, limits=limits, breaker=Breaker(3, 30.0), policy=Policy(attempts=2, backoff=0.1))
    sim.write(A, *["poison"] * 5, *["good"] * 5)
    sim.run(sim.all_committed, limit=3000)
    judged(sim)
    oracles.dead_letters_are(sim.trace, {A: range(5)})
    assert not sim.breaker.is_open
