"""Every metric: its name, kind, labels, meaning, what CloudWatch calls it, and where in a snapshot it stands.

Pure. How metrics are written is in `prometheus` and `emf`; names are promises to dashboards and alarms. Where AWS
Lambda's Kafka mapping has the same figure, CloudWatch's name is Lambda's. Times of a snapshot become ages by `Moment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

from datahub_poller.observe.figures import Distribution
from datahub_poller.observe.status import PartitionStatus, PollerStatus

PREFIX: Final = "datahub_poller_"

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["Count", "Seconds", "Bytes", "Percent"]
Reduce = Literal["sum", "max"]


class Moment(NamedTuple):
    """A snapshot and the present on both clocks: the loop's monotonic seconds, and those since the epoch.

    `silent` is for how long the loop has not turned; `hangs`: for too long, which no snapshot can say.
    """

    status: PollerStatus
    now: float
    wall: float
    silent: float = 0.0
    hangs: bool = False

    @classmethod
    def of(cls, status: PollerStatus, silent: float | None, limit: float, now: float, wall: float) -> Moment:
        """With a loop that hangs when it has been silent for longer than `limit` seconds."""
        return cls(status, now, wall, silent or 0.0, silent is not None and silent > limit)


class Sample(NamedTuple):
    """One value; `labels` are the label's values, in the order of their names in the catalogue."""

    value: float
    labels: tuple[str, ...] = ()


class CloudWatch(NamedTuple):
    """The name there, and how several series become one value.

    With `most`, of a counter: what an interval has brought, in percent of what it could have, so much a second.
    """

    name: str
    unit: Unit = "Count"
    reduce: Reduce = "sum"
    most: Callable[[Moment], float] | None = None


class Metric(NamedTuple):
    """One metric. A counter's name ends in `_total`. `distribution` stands in for `read` in a histogram."""

    name: str
    kind: Kind
    says: str
    read: Callable[[Moment], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    cloudwatch: tuple[CloudWatch, ...] = ()
    per_partition: bool = False
    distribution: Callable[[PollerStatus], Distribution] | None = None


def lag_seconds(partition: PartitionStatus, moment: Moment) -> float:
    """The age of the oldest record that is held; where there is lag and nothing is held, how long it has not moved."""
    if partition.oldest is not None:
        return max(0.0, moment.wall - partition.oldest)
    if partition.records or partition.lag:
        return _stands_for(partition, moment)
    return 0.0


def _stands_for(partition: PartitionStatus, moment: Moment) -> float:
    return 0.0 if partition.moved is None else max(0.0, moment.now - partition.moved)


def _counter(name: str, key: str, says: str, cloudwatch: str) -> Metric:
    def read(moment: Moment) -> Iterable[Sample]:
        return (Sample(moment.status.counters.get(key, 0)),)

    return Metric(f"{PREFIX}{name}_total", "counter", says, read, cloudwatch=(CloudWatch(cloudwatch),))


def _gauge(
    name: str,
    says: str,
    value: Callable[[Moment], float],
    *cloudwatch: CloudWatch,
) -> Metric:
    def read(moment: Moment) -> Iterable[Sample]:
        return (Sample(value(moment)),)

    return Metric(PREFIX + name, "gauge", says, read, cloudwatch=cloudwatch)


def _each(
    name: str,
    says: str,
    value: Callable[[PartitionStatus, Moment], float | None],
    *cloudwatch: CloudWatch,
) -> Metric:
    def read(moment: Moment) -> Iterable[Sample]:
        for each in moment.status.partitions:
            if (known := value(each, moment)) is not None:
                yield Sample(known, (each.topic, str(each.partition)))

    return Metric(PREFIX + name, "gauge", says, read, ("topic", "partition"), cloudwatch, per_partition=True)


def _histogram(
    name: str,
    says: str,
    distribution: Callable[[PollerStatus], Distribution],
    cloudwatch: CloudWatch,
) -> Metric:
    return Metric(PREFIX + name, "histogram", says, lambda _: (), cloudwatch=(cloudwatch,), distribution=distribution)


def _slots(moment: Moment) -> float:
    return moment.status.figures.handler_slots


def _letters(moment: Moment) -> Iterable[Sample]:
    return (Sample(each.letters, (each.stage, each.kind)) for each in moment.status.figures.letters)


CATALOGUE: Final[tuple[Metric, ...]] = (
    _counter("polled_events", "records_polled", "Records read from Kafka.", "PolledEventCount"),
    _counter("filtered_out_events", "events_filtered", "Events that the filters dropped.", "FilteredOutEventCount"),
    _counter(
        "skipped_events",
        "records_skipped",
        "Records that are no event of this action: tombstones, and kinds that no route has.",
        "SkippedEventCount",
    ),
    _counter("invoked_events", "events_invoked", "Events handed to the handler, again included.", "InvokedEventCount"),
    _counter(
        "failed_invoke_events",
        "events_failed",
        "Events that the handler failed on, each time that it did.",
        "FailedInvokeEventCount",
    ),
    _counter("invoke_errors", "invocations_failed", "Calls that failed, or named events that did.", "InvokeErrorCount"),
    Metric(
        PREFIX + "on_failure_destination_delivered_events_total",
        "counter",
        "Dead letters acknowledged, by stage and the error's class (50 of them by name).",
        _letters,
        ("stage", "class"),
        (CloudWatch("OnFailureDestinationDeliveredEventCount"),),
    ),
    _counter(
        "on_failure_destination_delivery_errors",
        "letter_writes_failed",
        "Writes of dead letters that failed: they are tried again.",
        "OnFailureDestinationDeliveryErrorCount",
    ),
    _counter(
        "committed_events", "offsets_committed", "Offsets moved on by acknowledged commits.", "CommittedEventCount"
    ),
    _counter("failed_commits", "commits_failed", "Commits that Kafka did not take.", "CommitErrorCount"),
    _counter("invocations", "invocations", "Calls of the handler.", "Invocations"),
    _counter("retries", "retries", "Calls with events that were in a call before.", "Retries"),
    _counter("late_results", "late_results", "Results that came after their partition was gone.", "LateResults"),
    _counter("abandoned_calls", "abandoned_calls", "Calls still running when their partition went.", "AbandonedCalls"),
    _counter(
        "records_missing", "records_missing", "Records that retention deleted before they were read.", "MissingRecords"
    ),
    _counter("rebalances", "rebalances", "Times that partitions were assigned.", "Rebalances"),
    _counter("schema_fetches", "schema_fetches", "Questions to a schema registry.", "SchemaFetches"),
    _counter(
        "schema_registry_errors",
        "schema_fetches_failed",
        "Those that it did not answer with the schema.",
        "SchemaRegistryErrorCount",
    ),
    Metric(
        PREFIX + "schema_changes_total",
        "counter",
        "Times that a schema id was found to name another schema.",
        lambda moment: (Sample(moment.status.counters.get("schema_changes", 0)),),
    ),
    Metric(
        PREFIX + "decode_seconds_total",
        "counter",
        "Seconds spent in decoding and filtering.",
        lambda moment: (Sample(moment.status.figures.decode_seconds),),
        cloudwatch=(CloudWatch("DecodeSeconds", "Seconds"),),
    ),
    _histogram(
        "handler_seconds",
        "How long calls of the handler took.",
        lambda status: status.figures.handler_seconds,
        CloudWatch("HandlerSeconds", "Seconds"),
    ),
    Metric(
        PREFIX + "handler_busy_seconds_total",
        "counter",
        "Seconds of all calls of the handler, running ones included; in CloudWatch the share of its slots in use.",
        lambda moment: (Sample(moment.status.figures.handler_busy_seconds),),
        cloudwatch=(CloudWatch("BusyPercent", "Percent", most=_slots),),
    ),
    _gauge(
        "handler_slots",
        "Calls that can run at once: batch.concurrency, or fewer where this process has fewer partitions.",
        _slots,
    ),
    _histogram("batch_size", "Events in a call.", lambda status: status.figures.batch_size, CloudWatch("BatchSize")),
    _each(
        "offset_lag",
        "Offsets from what is settled to the log's end.",
        lambda each, _: each.lag,
        CloudWatch("MaxOffsetLag", reduce="max"),
        CloudWatch("SumOffsetLag"),
    ),
    _each(
        "lag_seconds",
        "Age of the oldest record that is not settled, as far as it is known.",
        lag_seconds,
        CloudWatch("MaxLagSeconds", "Seconds", "max"),
    ),
    _gauge(
        "backlog_per_process",
        "Lag in offsets of all partitions of this process.",
        lambda moment: sum(each.lag or 0 for each in moment.status.partitions),
        CloudWatch("BacklogPerProcess"),
    ),
    _gauge(
        "buffered_bytes",
        "Bytes of records held, against source.config.buffer.",
        lambda moment: moment.status.buffer.bytes,
        CloudWatch("BufferedBytes", "Bytes"),
    ),
    _gauge("buffer_limit_bytes", "source.config.buffer.", lambda moment: moment.status.buffer.limit),
    _gauge(
        "seconds_since_progress",
        "How long the partition that stands the longest has not moved although there is something to do.",
        lambda moment: max((_stands_for(each, moment) for each in moment.status.partitions), default=0.0),
        CloudWatch("SecondsSinceProgress", "Seconds", "max"),
    ),
    _gauge(
        "stuck_partitions",
        "Partitions that have not moved for status.stuck_after.",
        lambda moment: sum(each.stuck for each in moment.status.partitions),
        CloudWatch("StuckPartitions"),
    ),
    _gauge(
        "red",
        "1 where a person should look; /status says why.",
        lambda moment: float(moment.status.red or moment.hangs),
        CloudWatch("Red", reduce="max"),
    ),
    _gauge(
        "seconds_since_loop_turned",
        "How long the loop has not turned: beyond status.hangs_after it hangs.",
        lambda moment: moment.silent,
        CloudWatch("SecondsSinceLoopTurned", "Seconds", "max"),
    ),
    _gauge(
        "assigned_partitions",
        "Partitions of this process.",
        lambda moment: moment.status.assigned,
        CloudWatch("AssignedPartitions"),
    ),
    _gauge(
        "process_start_time_seconds",
        "When the poller started, in seconds since the epoch.",
        lambda moment: moment.wall - (moment.now - moment.status.started_at),
    ),
)
