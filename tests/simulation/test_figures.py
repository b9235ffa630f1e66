"""That the counters add up: every record that was read is accounted for once, whatever went wrong with it.

Runs without rebalances or crashes, so that each record is read once; its end is a stop in order with all settled.
How busy it was is added up over rebalances and crashes too.
"""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.observe.catalogue import Moment
from datahub_poller.observe.emf import Lines
from datahub_poller.observe.status import PollerStatus
from support.effort import effort
from support.metrics_read import check_emf
from support.simulation import Simulation
from support.troubles import TROUBLED, moods, prepared, rebalances, shapes, writes
from support.values import KINDS


@effort(150)
@given(shape=shapes, writes=writes, moods=moods, seed=st.integers(0, 5))
def test_every_record_is_accounted_for_once(shape, writes, moods, seed):
    sim = prepared(shape, writes, [], moods, seed)
    calls: list[list] = []
    handler = sim.desk.handler

    def noted(records):
        calls.append([(record.tp, record.offset) for record in records])
        return handler(records)

    sim.desk.handler = noted
    healthy_at = sim.clock.now + TROUBLED
    sim.run(lambda: sim.clock.now > healthy_at + 1 and sim.all_committed(), limit=3000)
    status = sim.statuses[-1]
    counters, figures = status.counters, status.figures

    def count(name: str) -> int:
        return counters.get(name, 0)

    def there(*kinds: str) -> int:
        return sum(map(len, sim.records(*kinds).values()))

    assert count("records_polled") == there(*KINDS)
    assert count("events_filtered") == there("drop")
    assert count("records_skipped") == there("tombstone")
    letters = sum(each.letters for each in figures.letters)
    assert letters == count("dead_letters")
    passed = count("events_filtered") + count("records_skipped")
    assert count("records_polled") == passed + count("events_delivered") + letters

    handed = [place for call in calls for place in call]
    assert count("invocations") == len(calls) == figures.handler_seconds.total == figures.batch_size.total
    assert count("events_invoked") == len(handed) == figures.batch_size.sum
    assert count("events_retried") == len(handed) - len(set(handed)), "events that were in a call before"
    seen: set = set()
    again = 0
    for call in calls:
        again += not seen.isdisjoint(call)
        seen.update(call)
    assert count("retries") == again
    assert count("events_delivered") + count("events_failed") <= count("events_invoked")
    assert count("invocations_failed") <= count("invocations")
    assert count("offsets_committed") == sum(sim.committed().values())
    _told_alike(status, sim.clock.now)


def _told_alike(status: PollerStatus, now: float) -> None:
    """What CloudWatch gets is the same."""
    line = check_emf(Lines().line(Moment(status, now, 1_800_000_000.0)))
    for name, key in {
        "PolledEventCount": "records_polled",
        "FilteredOutEventCount": "events_filtered",
        "SkippedEventCount": "records_skipped",
        "InvokedEventCount": "events_invoked",
        "FailedInvokeEventCount": "events_failed",
        "InvokeErrorCount": "invocations_failed",
        "OnFailureDestinationDeliveredEventCount": "dead_letters",
        "OnFailureDestinationDeliveryErrorCount": "letter_writes_failed",
        "CommittedEventCount": "offsets_committed",
        "Retries": "retries",
        "Invocations": "invocations",
    }.items():
        assert line[name] == status.counters.get(key, 0), name
    assert line["BacklogPerProcess"] == line["MaxOffsetLag"] == line["BufferedBytes"] == 0


@effort(60)
@given(shape=shapes, writes=writes, rebalances=rebalances, moods=moods, seed=st.integers(0, 5))
def test_how_busy_it_was_is_what_its_calls_took_whoever_had_their_partitions_meanwhile(
    shape, writes, rebalances, moods, seed
):
    """Of each snapshot, by when calls began and returned: late and abandoned ones and those that run, to the end."""
    sim = prepared(shape, writes, rebalances, moods, seed)
    healthy_at = sim.clock.now + TROUBLED
    sim.run(lambda: sim.clock.now > healthy_at + 1 and sim.all_committed(), limit=3000)
    for before, after in itertools.pairwise(sim.statuses):
        if before.started_at == after.started_at:
            assert after.figures.handler_busy_seconds >= before.figures.handler_busy_seconds - 1e-9
    calls = _calls(sim)
    for status in sim.statuses:
        began, now = status.started_at, status.taken_at
        took = sum(min(now, end) - start for start, end in calls if began <= start <= now)
        assert status.figures.handler_busy_seconds == pytest.approx(took, abs=0.01)
        assert 1 <= status.figures.handler_slots <= max(1, min(shape["concurrency"], status.assigned))


def _calls(sim: Simulation) -> list[tuple[float, float]]:
    """When each began and returned."""
    ends = {step.about["flight"]: step.at for step in sim.trace.of("returned")}
    return [(step.at, ends.get(step.about["flight"], math.inf)) for step in sim.trace.calls()]
