"""What the status says of each state, as a simulated poller comes through them."""

from __future__ import annotations

from datahub_poller.batching import Limits
from datahub_poller.model import SchemaKey, TopicPartition
from datahub_poller.policy import Breaker, Policy
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
