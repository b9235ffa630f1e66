"""The catalogue, its two formats as their readers read them, and that neither grows without bound."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from datahub_poller.model import Failure
from datahub_poller.observe.catalogue import CATALOGUE, PREFIX, Moment, lag_seconds
from datahub_poller.observe.figures import Figures
from datahub_poller.observe.prometheus import page
from datahub_poller.observe.reference import BEGIN, END, markdown
from datahub_poller.observe.status import BufferStatus, PartitionStatus, PollerStatus
from datahub_poller.tally import MOST_CLASSES, Histogram, Tally
from support.metrics_read import parsed

ROOT = Path(__file__).parents[2]
NOW, WALL = 1_000.0, 1_800_000_000.0


def partition(number: int = 0, **more) -> PartitionStatus:
    return PartitionStatus(**{"topic": "pe", "partition": number, "state": "ready", "moved": NOW, **more})


def moment(*partitions: PartitionStatus, **more) -> Moment:
    status = PollerStatus(
        **{
            "action": "tag-sync",
            "version": "1",
            "state": "running",
            "partitions": partitions,
            "started_at": 900,
            **more,
        }
    )
    return Moment(status, NOW, WALL)


def busy() -> Moment:
    tally = Tally()
    tally.called(3, 0.2)
    tally.called(100, 400.0)
    tally.lettered([Failure("handler", "ValueError", "x"), Failure("handler", "ValueError", "y")])
    tally.lettered([Failure("decode", "bad", "z")])
    figures = Figures(
        tally.handler_seconds.distribution(),
        tally.batch_size.distribution(),
        tally.letters(),
        decode_seconds=1.25,
        handler_busy_seconds=460.5,
        handler_slots=2,
    )
    counters = {"records_polled": 1000, "events_filtered": 400, "events_invoked": 600, "offsets_committed": 990}
    return moment(
        partition(0, lag=10, oldest=WALL - 5, records=2),
        partition(1, lag=32, moved=NOW - 400, stuck=True),
        counters=counters,
        figures=figures,
        buffer=BufferStatus(100, 1000),
        red=True,
        assigned=2,
    )


def test_names_are_told_once_and_as_prometheus_wants_them():
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    clouds = [cloud.name for metric in CATALOGUE for cloud in metric.cloudwatch]
    assert len(set(clouds)) == len(clouds)
    for metric in CATALOGUE:
        assert metric.name.startswith(PREFIX)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert (metric.distribution is not None) == (metric.kind == "histogram")
        assert metric.says.endswith(".")
        assert not any(name.endswith(("_count", "_sum", "_bucket")) for name in (metric.name,))


def test_lambdas_names_are_kept():
    """As its Kafka mapping's metrics are called: an alarm that is there goes on with another namespace."""
    clouds = {cloud.name for metric in CATALOGUE for cloud in metric.cloudwatch}
    assert clouds >= {
        "PolledEventCount",
        "FilteredOutEventCount",
        "InvokedEventCount",
        "FailedInvokeEventCount",
        "OnFailureDestinationDeliveredEventCount",
        "CommittedEventCount",
        "CommitErrorCount",
        "InvokeErrorCount",
        "OnFailureDestinationDeliveryErrorCount",
        "SchemaRegistryErrorCount",
        "MaxOffsetLag",
        "SumOffsetLag",
    }


def test_prometheus_reads_the_page():
    found = parsed(page(busy(), most=10))
    assert found[f"{PREFIX}polled_events_total"] == {(): 1000}
    assert found[f"{PREFIX}filtered_out_events_total"] == {(): 400}
    assert found[f"{PREFIX}committed_events_total"] == {(): 990}
    assert found[f"{PREFIX}offset_lag"] == {("0", "pe"): 10, ("1", "pe"): 32}
    assert found[f"{PREFIX}lag_seconds"] == {("0", "pe"): 5, ("1", "pe"): 400}
    assert found[f"{PREFIX}backlog_per_process"] == {(): 42}
    assert found[f"{PREFIX}seconds_since_progress"] == {(): 400}
    assert found[f"{PREFIX}stuck_partitions"] == {(): 1}
    assert found[f"{PREFIX}red"] == {(): 1}
    assert found[f"{PREFIX}process_start_time_seconds"] == {(): WALL - 100}
    assert found[f"{PREFIX}on_failure_destination_delivered_events_total"] == {
        ("ValueError", "handler"): 2,
        ("bad", "decode"): 1,
    }
    assert found[f"{PREFIX}handler_seconds_count"] == {(): 2}
    assert found[f"{PREFIX}handler_seconds_sum"] == {(): 400.2}
    assert found[f"{PREFIX}handler_busy_seconds_total"] == {(): 460.5}
    assert found[f"{PREFIX}handler_slots"] == {(): 2}
    buckets = found[f"{PREFIX}handler_seconds_bucket"]
    assert (buckets["0.1",], buckets["0.25",], buckets["300",], buckets["+Inf",]) == (0, 1, 1, 2)
    assert found[f"{PREFIX}batch_size_bucket"]["100",] == 2


def test_the_page_of_a_poller_that_has_done_nothing_has_every_metric_without_a_label():
    found = parsed(page(moment(), most=10))
    assert {metric.name for metric in CATALOGUE if not metric.labels and metric.kind != "histogram"} <= found.keys()


@pytest.mark.parametrize("most", [0, 1, 3, 100])
def test_series_of_partitions_are_bounded_and_the_hidden_are_counted(most):
    found = parsed(page(moment(*(partition(number, lag=1) for number in range(7))), most))
    shown = found.get(f"{PREFIX}offset_lag", {})
    assert len(shown) == min(most, 7)
    assert found[f"{PREFIX}hidden_partitions"] == {(): 7 - len(shown)}
    assert found[f"{PREFIX}backlog_per_process"] == {(): 7}, "the sum is of all"


def test_names_that_people_make_up_break_no_line():
    odd = 'a"b\\c\nd{}=,é'
    text = page(moment(partition(0, topic=odd, lag=1), action=odd), 10)
    (family,) = [each for each in text_string_to_metric_families(text) if each.name == f"{PREFIX}offset_lag"]
    (sample,) = family.samples
    assert sample.labels == {"action": odd, "topic": odd, "partition": "0"}


def test_a_lag_that_is_not_known_has_no_series():
    assert f"{PREFIX}offset_lag" not in parsed(page(moment(partition(0, lag=None)), 10))


def test_the_lag_in_seconds():
    now = moment()
    assert lag_seconds(partition(oldest=WALL - 7, lag=3), now) == 7
    assert lag_seconds(partition(oldest=WALL + 7, lag=3), now) == 0, "a producer's clock may be ahead"
    assert lag_seconds(partition(lag=3, moved=NOW - 9), now) == 9, "nothing of it is here"
    assert lag_seconds(partition(lag=0, moved=NOW - 9), now) == 0


def test_histograms_put_each_value_where_it_belongs():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    bounds = (1.0, 2.0, 5.0)
    histogram = Histogram(bounds)
    values = [chance.choice([0.5, 1.0, 1.5, 2.0, 5.0, 5.1, chance.uniform(0, 9)]) for _ in range(500)]
    for value in values:
        histogram.observe(value)
    got = histogram.distribution()
    edges = (-math.inf, *bounds, math.inf)
    assert got.counts == tuple(sum(low < value <= high for value in values) for low, high in itertools.pairwise(edges))
    assert got.total == 500
    assert got.sum == pytest.approx(sum(values))


def test_classes_of_errors_without_end_are_counted_together():
    tally = Tally()
    tally.lettered(Failure("handler", f"Made{number}Up", "") for number in range(500))
    tally.lettered([Failure("handler", "Made3Up", "")])
    counts = {each.kind: each.letters for each in tally.letters()}
    assert len(counts) == MOST_CLASSES + 1
    assert (counts["Made3Up"], counts["other"]) == (2, 500 - MOST_CLASSES)


def test_the_table_of_metrics_is_in_the_docs():
    text = (ROOT / "poller" / "metrics.md").read_text()
    inner = text.partition(BEGIN)[2].partition(END)[0]
    assert inner.strip() == markdown().strip(), "run: python -m datahub_poller.observe.reference"
