"""Metrics as lines that CloudWatch takes out of a log: its Embedded Metric Format.

Pure. A line holds what was counted since the line before; of a distribution its mean. There is one dimension, the
action: series for each partition would cost money for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from datahub_poller.observe.catalogue import CATALOGUE, CloudWatch, Metric, Moment

NAMESPACE: Final = "DatahubPoller"
STARTS: Final = "Starts"
"""1 in a process' first line and 0 in the others: their sum counts restarts."""


class Lines:
    """The lines of one process, one after the other."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}
        self._began = False

    def line(self, moment: Moment) -> str:
        """The next one, without its end of line."""
        values: dict[str, float] = {STARTS: 0 if self._began else 1}
        units = {STARTS: "Count"}
        self._began = True
        for metric in CATALOGUE:
            for target, value in self._values(metric, moment):
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
        return json.dumps(document, separators=(",", ":"))

    def _values(self, metric: Metric, moment: Moment) -> Iterator[tuple[CloudWatch, float]]:
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
            yield from ((target, self._since(metric.name, sum(samples))[0]) for target in metric.cloudwatch)
            return
        for target in metric.cloudwatch:
            yield target, sum(samples) if target.reduce == "sum" else max(samples, default=0.0)

    def _since(self, name: str, first: float, second: float = 0.0) -> tuple[float, float]:
        """How much more it is than in the line before."""
        before = self._before.get(name, (0.0, 0.0))
        self._before[name] = first, second
        return first - before[0], second - before[1]
