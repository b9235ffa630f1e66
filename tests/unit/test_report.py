"""What the status says of each state, as a simulated poller comes through them."""

from __future__ import annotations

import pytest

from datahub_poller.batching import Limits
from datahub_poller.lanes import Lane
from datahub_poller.model import SchemaKey, TopicPartition
from datahub_poller.orders import Pause, Scope
from datahub_poller.parts import Lease
from datahub_poller.policy import Breaker, Policy
from datahub_poller.progress import Progress
from datahub_poller.report import JOINING_SECONDS
from datahub_poller.works import Away, Delivered
from support.simulation import FAILED, Answer, Simulation, away

A, B = TopicPartition("mcl", 0), TopicPartition("mcl", 1)
SMALL = Limits(size=10, window=5.0)


def after(sim, *moments, stop=None):
    """The statuses as of these many seconds from the start."""
    seen = []
    for moment in moments:
        sim.after(moment, lambda: (sim._publish(sim.poller, sim.clock.now), seen.append(sim.statuses[-1])))
    sim.run(sim.seconds(moments[-1] + 1 if stop is None else stop))
    return seen


def only(status):
    (partition,) = status.partitions
    return partition


def test_a_poller_that_has_nothing_to_do_is_running_and_not_red():
    sim = Simulation({"mcl": 2}, limits=SMALL)
    (status,) = after(sim, 2)
    assert (status.state, status.red, status.assigned) == ("running", False, 2)
    assert [each.state for each in status.partitions] == ["idle", "idle"]
    assert [(each.position, each.settled, each.committed, each.end, each.lag) for each in status.partitions] == [
        (0, 0, 0, 0, 0)
    ] * 2
    assert status.counters["rebalances"] == 1
    assert status.uptime == 2.0


def test_before_the_first_assignment_it_is_starting_and_without_partitions_it_waits():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.broker.silent = True
    sim.after(5, lambda: setattr(sim.broker, "silent", False))
    before, later = after(sim, 2, 8)
    assert (before.state, before.red, before.partitions) == ("starting", True, ())
    assert before.reasons == ("kafka: the coordinator does not answer",)
    assert (later.state, later.red) == ("running", False)


def test_events_that_wait_for_company_are_ready_and_then_in_flight():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, "good", "good", size=50)
    sim.desk.handler = lambda records: Answer(4.0, Delivered())
    waiting, flying = after(sim, 2, 7)
    assert (only(waiting).state, only(waiting).records, only(waiting).bytes, only(waiting).lag) == ("ready", 2, 100, 2)
    assert waiting.buffer.bytes == 100
    assert (only(flying).state, only(flying).in_flight) == ("in_flight", 2)
    assert only(flying).since == 1005.0 or only(flying).since > 1004.9
    assert not flying.red


def test_a_batch_that_failed_backs_off_and_says_why_and_when():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), policy=Policy(backoff=20.0))
    sim.write(A, "good")
    sim.desk.handler = lambda records: Answer(0.1, FAILED)
    (status,) = after(sim, 2)
    lane = only(status)
    assert (lane.state, lane.attempts, lane.last_error) == ("backing_off", 1, "ValueError: poison")
    assert 7.0 <= lane.next_try_in <= 20.0


def test_a_target_that_is_away_makes_it_red_and_counts_no_attempt():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0))
    sim.write(A, "good")
    sim.desk.handler = away
    (status,) = after(sim, 30)
    assert (only(status).state, only(status).attempts) == ("backing_off", 0)
    assert status.reasons == ("mcl-0 backing off: connection refused",)
    assert (status.state, status.red) == ("waiting", True)


def test_a_schema_that_is_waited_for_is_named():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, "good", key=7)
    waiting, come = after(sim, 10, 20, stop=21)
    assert only(waiting).state == "waiting_schema"
    assert waiting.reasons == ("mcl-0 waiting schema: confluent schema 7: the registry answered 503",)
    assert [(each.schema, each.tries) for each in waiting.schemas] == [("confluent schema 7", 3)]
    assert come.red
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, "good", key=7)
    sim.after(5, lambda: sim.desk.schema(SchemaKey("confluent", 7), 0.0))
    assert not after(sim, 20)[0].red


def test_letters_that_cannot_be_written_are_waited_with():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, "junk")
    sim.desk.sink = lambda records: Answer(3.0, Away("no space left on device"))
    writing, waiting, again = after(sim, 1, 3.1, 5.5)
    assert only(writing).state == "writing_letters"
    assert (only(again).state, again.reasons) == ("waiting_sink", waiting.reasons)
    assert only(waiting).state == "waiting_sink"
    assert waiting.reasons == ("mcl-0 waiting sink: no space left on device",)
    assert only(waiting).next_try_in > 0


def test_an_open_breaker_says_why_and_when_it_probes():
    sim = Simulation({"mcl": 2}, limits=Limits(window=0.0), breaker=Breaker(3, 60.0), policy=Policy(attempts=1))
    sim.desk.handler = lambda records: Answer(0.1, FAILED)
    sim.write(A, *["good"] * 5)
    sim.after(10, lambda: sim.write(B, "good"))
    (status,) = after(sim, 20)
    assert status.reasons == ("breaker open: 3 records in a row were given up",)
    assert (status.breaker.state, status.breaker.in_a_row, status.breaker.limit) == ("open", 3, 3)
    assert 39 < status.breaker.next_probe_in < 60
    assert [(each.state, each.next_try_in) for each in status.partitions] == [("breaker", None), ("breaker", None)]


def test_a_probe_on_its_way_is_shown():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), breaker=Breaker(1, 5.0), policy=Policy(attempts=1))
    sim.desk.handler = lambda records: Answer(0.1 if sim.clock.now < 1004 else 3.0, FAILED)
    sim.write(A, "good")
    (status,) = after(sim, 7)
    assert status.breaker.state == "probing"
    assert only(status).state == "in_flight"


def test_a_halt_names_the_record():
    sim = Simulation({"mcl": 1}, limits=SMALL, throw=True)
    sim.write(A, "good", "junk")
    sim.run(lambda: False)
    status = sim.statuses[-1]
    assert status.state == "halted"
    assert only(status).state == "halted"
    assert status.reasons[0] == "halted before mcl-0@1: bad_magic: these bytes are no event"


def test_a_stop_is_shown():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.run(sim.seconds(2))
    assert sim.statuses[-1].state == "stopping"


def test_a_handler_past_its_timeout_makes_it_red():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), timeout=5.0)
    sim.desk.handler = lambda records: Answer(100.0, Delivered())
    sim.write(A, "good")
    (status,) = after(sim, 25)
    assert status.reasons == ("handler past its timeout for 20 s",)
    assert only(status).reason == "handler past its timeout for 20 s"


def test_commits_that_fail_make_it_red():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.broker.refusals.extend(["not authorized"] * 10)
    (status,) = after(sim, 5)
    assert status.reasons == ("commits fail: not authorized",)


def test_a_partition_that_has_something_to_do_and_does_not_move_is_stuck():
    sim = Simulation({"mcl": 2}, limits=Limits(window=0.0))
    sim.progress = Progress(60.0)
    sim.desk.handler = away
    sim.after(10, lambda: sim.write(A, "good", "good"))
    early, late = after(sim, 65, 75)
    assert [each.stuck for each in early.partitions] == [False, False], "it had nothing to do for the first ten seconds"
    assert [each.stuck for each in late.partitions] == [True, False]
    assert late.partitions[0].oldest == 1010.0
    assert 64 <= 1075.0 - late.partitions[0].moved <= 66


def test_what_moves_on_is_not_stuck():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0))
    sim.progress = Progress(60.0)
    sim.desk.handler = lambda records: away(records) if sim.clock.now < 1090 else Answer(0.1, Delivered())
    sim.write(A, "good")
    late, then = after(sim, 80, 120)
    assert (only(late).stuck, only(then).stuck) == (True, False)


def test_a_call_within_its_time_a_pause_and_lag_that_does_not_come_in():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), timeout=100.0)
    sim.progress = Progress(60.0)
    sim.desk.handler = lambda records: Answer(1000.0, Delivered())
    sim.write(A, "good")
    within, past = after(sim, 90, 105)
    assert (only(within).stuck, only(past).stuck) == (False, True)

    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0))
    sim.progress = Progress(60.0)
    sim.order(1, Pause(Scope()))
    sim.after(2, lambda: sim.write(A, "good"))
    (paused,) = after(sim, 90)
    assert (only(paused).state, only(paused).stuck) == ("paused", False)


def test_what_moved_before_it_went_away_and_came_back_begins_anew():
    lane = Lane(Lease(A), 0, None, 0.0)
    progress = Progress(60.0)
    progress.look([lane], [A], 0.0)
    progress.look([lane], [A], 50.0)
    assert progress.moved_at(A) == 0.0
    progress.look([Lane(Lease(A), 0, None, 50.0)], [A], 70.0)
    assert progress.moved_at(A) == 70.0


def test_a_partition_that_is_stuck_for_no_other_reason_turns_it_red():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), policy=Policy(backoff=500.0, max_backoff=500.0))
    sim.progress = Progress(60.0)
    sim.desk.handler = lambda records: Answer(200.0, Delivered())
    sim.write(A, "good")
    (status,) = after(sim, 80)
    assert status.reasons == ("handler past its timeout for 20 s", "mcl-0 has not moved for 80 s: in_flight")


def test_what_is_counted():
    sim = Simulation({"mcl": 1}, limits=Limits(size=3, window=0.0), policy=Policy(attempts=2, backoff=1.0))
    sim.write(A, "good", "drop", "good", "poison", None, "junk", "drop", "good")
    sim.run()
    counters = sim.statuses[-1].counters
    assert counters["records_polled"] == 7
    assert counters["events_filtered"] == 2
    assert counters["offsets_committed"] == 8, "offsets, control records included"
    assert counters["retries"] == 3, "both events of the batch again, then each half by itself"
    figures = sim.statuses[-1].figures
    assert figures.batch_size.total == figures.handler_seconds.total == counters["invocations"]
    assert figures.batch_size.sum == counters["events_invoked"]
    assert {(each.stage, each.kind, each.letters) for each in figures.letters} == {
        ("handler", "ValueError", 1),
        ("decode", "bad_magic", 1),
    }


def busy(status) -> float:
    return status.figures.handler_busy_seconds


def test_a_call_counts_as_busy_while_it_runs_and_once_when_it_has_ended():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0))
    sim.desk.handler = lambda records: Answer(100.0, Delivered())
    sim.write(A, "good")
    statuses = after(sim, 1, 31, 91, 150)
    began = statuses[1].partitions[0].since
    assert [busy(each) for each in statuses[:3]] == [pytest.approx(1000.0 + at - began) for at in (1, 31, 91)]
    assert statuses[1].figures.handler_seconds.total == 0, "it runs"
    assert busy(statuses[3]) == statuses[3].figures.handler_seconds.sum == pytest.approx(100.0, abs=0.02)


def test_a_write_of_letters_takes_no_slot():
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), policy=Policy(attempts=1))
    sim.desk.handler = lambda records: Answer(2.0, FAILED)
    sim.desk.sink = lambda records: Answer(60.0, Delivered())
    sim.write(A, "poison")
    (status,) = after(sim, 50)
    assert only(status).state == "writing_letters"
    assert busy(status) == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize(("partitions", "concurrency", "slots"), [(1, 4, 1), (3, 2, 2), (3, 4, 3)])
def test_a_slot_that_no_partition_can_fill_is_none(partitions, concurrency, slots):
    sim = Simulation({"mcl": partitions}, limits=SMALL, concurrency=concurrency)
    sim.broker.silent = True
    sim.after(5, lambda: setattr(sim.broker, "silent", False))
    before, later = after(sim, 2, 8)
    assert (before.assigned, before.figures.handler_slots) == (0, 1)
    assert (later.assigned, later.figures.handler_slots) == (partitions, slots)


def test_a_process_that_its_group_does_not_let_in_is_red_after_a_minute_and_a_standby_is_not():
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.source.inner._rebalance = lambda: None  # the group waits for another member
    # As the brokers say of a member without partitions.
    sim.after(JOINING_SECONDS + 5, lambda: setattr(sim.source.inner, "_assigned_generation", 1))
    soon, late, standby = after(sim, JOINING_SECONDS - 1, JOINING_SECONDS + 2, JOINING_SECONDS + 8)
    assert (soon.state, soon.red) == ("starting", False)
    assert (late.state, late.reasons) == ("starting", ("group: it has not let this process in",))
    assert (standby.state, standby.red) == ("waiting", False)
