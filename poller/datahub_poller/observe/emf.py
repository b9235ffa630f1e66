"""Metrics as lines that CloudWatch takes out of a log: its Embedded Metric Format.

Pure. A line holds what was counted since the line before; of a distribution its mean. There is one dimension, the
action: series for each partition would cost money for each. Gauges are in the lines of the intervals alone: each
process weighs once in an average over them, however it begins and ends. So are shares, since they are weighed alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from datahub_poller.observe.catalogue import CATALOGUE, CloudWatch, Metric, Moment

NAMESPACE: Final = "DatahubPoller"
STARTS: Final = "Starts"
"""1 in a process' first line and 0 in the others: their sum counts restarts."""


class Lines:
    """The lines of one process, one after the other, each without its end of line."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}
        self._taken_at: float | None = None

    def first(self, moment: Moment) -> str:
        """That a process has begun, and nothing else."""
        self._taken_at = moment.status.taken_at
        return self._of(moment, 1, ())

    def line(self, moment: Moment) -> str:
        """What an interval has brought, and what is now."""
        seconds = self._seconds(moment)
        return self._of(moment, 0, CATALOGUE, seconds)

    def last(self, moment: Moment) -> str:
        """What was counted since; what was so at the end is nobody's any more."""
        return self._of(moment, 0, (metric for metric in CATALOGUE if metric.kind != "gauge"))

    def _of(self, moment: Moment, starts: int, metrics: Iterable[Metric], seconds: float = 0.0) -> str:
        values: dict[str, float] = {STARTS: starts}
        units = {STARTS: "Count"}
        for metric in metrics:
            for target, value in self._values(metric, moment, seconds):
                values[target.name], units[target.name] = round(value, 6), target.unit
        about = {
            "Namespace": NAMESPACE,
            "Dimensions": [["Action"]],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }
        document: dict[str, Any] = {
            "_aws": {"Timestamp": int(moment.wall * 1000), "CloudWatchMetrics": [about]},
            "Action": moment.status.action,
            "Version": moment.status.version,
            **values,
        }
        return json.dumps(document, separators=(",", ":"), allow_nan=False)

    def _values(self, metric: Metric, moment: Moment, seconds: float) -> Iterator[tuple[CloudWatch, float]]:
        if metric.distribution is not None:
            distribution = metric.distribution(moment.status)
            total, count = self._since(metric.name, distribution.sum, distribution.total)
            if count:
                yield from ((target, total / count) for target in metric.cloudwatch)
            return
        if not metric.cloudwatch:
            return
        samples = [sample.value for sample in metric.read(moment)]
        if metric.kind == "counter":
            more, _ = self._since(metric.name, sum(samples))
            for target in metric.cloudwatch:
                if target.most is None:
                    yield target, more
                elif seconds > 0:
                    yield target, min(100.0, max(0.0, 100 * more / (seconds * target.most(moment))))
            return
        for target in metric.cloudwatch:
            yield target, sum(samples) if target.reduce == "sum" else max(samples, default=0.0)

    def _seconds(self, moment: Moment) -> float:
        """From the snapshot that the line before was of to this one: 0 where the loop has not turned meanwhile."""
        status = moment.status
        before, self._taken_at = self._taken_at, status.taken_at
        return status.taken_at - (status.started_at if before is None else before)

    def _since(self, name: str, first: float, second: float = 0.0) -> tuple[float, float]:
        """How much more it is than in the line before."""
        before = self._before.get(name, (0.0, 0.0))
        self._before[name] = first, second
        return first - before[0], second - before[1]
