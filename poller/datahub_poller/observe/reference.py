"""The table of all metrics in Markdown, written from the catalogue so that the two cannot part.

`python -m datahub_poller.observe.reference` prints it; `poller/metrics.md` holds it between two markers.
"""

from __future__ import annotations

import sys

from datahub_poller.observe.catalogue import CATALOGUE, Metric
from datahub_poller.observe.emf import STARTS
from datahub_poller.observe.prometheus import HIDDEN, HIDDEN_HELP

BEGIN = "<!-- metrics:begin -->"
END = "<!-- metrics:end -->"


def markdown() -> str:
    """The table."""
    head = "| Prometheus | kind | labels | CloudWatch (unit) | meaning |\n| --- | --- | --- | --- | --- |\n"
    own = [
        f"| `{HIDDEN}` | gauge | | | {HIDDEN_HELP} |\n",
        f"| | | | `{STARTS}` (Count) | 1 in a process' first line, 0 in the others. |\n",
    ]
    return head + "".join([*map(_row, CATALOGUE), *own])


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    clouds = ", ".join(f"`{each.name}` ({each.unit})" for each in metric.cloudwatch)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {clouds} | {metric.says} |\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
