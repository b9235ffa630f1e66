"""Metrics in Prometheus' text format, version 0.0.4.

Pure. Series of partitions are bounded: beyond the bound those of the first partitions by name are shown, so that
series do not come and go, and one figure says how many are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from datahub_poller.observe.catalogue import CATALOGUE, PREFIX, Metric, Moment, Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
HIDDEN: Final = f"{PREFIX}hidden_partitions"
"""The one metric that is about the page itself."""
HIDDEN_HELP: Final = "Partitions whose series are not shown: metrics.partitions bounds them."
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def page(moment: Moment, most: int) -> str:
    """The whole page; `most` partitions have series of their own."""
    action = _label("action", moment.status.action)
    lines = [line for metric in CATALOGUE for line in _lines(metric, moment, action, most)]
    hidden = max(0, len(moment.status.partitions) - most)
    lines += [*_head(HIDDEN, "gauge", HIDDEN_HELP), f"{HIDDEN}{{{action}}} {hidden}"]
    return "\n".join(lines) + "\n"


def _lines(metric: Metric, moment: Moment, action: str, most: int) -> Iterator[str]:
    yield from _head(metric.name, metric.kind, metric.says)
    if metric.distribution is not None:
        yield from _histogram(metric, moment, action)
        return
    samples: Iterator[Sample] = iter(metric.read(moment))
    for value, labels in islice(samples, most) if metric.per_partition else samples:
        named = "".join(f",{_label(*pair)}" for pair in zip(metric.labels, labels, strict=True))
        yield f"{metric.name}{{{action}{named}}} {_number(value)}"


def _histogram(metric: Metric, moment: Moment, action: str) -> Iterator[str]:
    assert metric.distribution is not None
    bounds, counts, total = metric.distribution(moment.status)
    below = 0
    for bound, count in zip((*map(_number, bounds), "+Inf"), counts, strict=True):
        below += count
        yield f'{metric.name}_bucket{{{action},le="{bound}"}} {below}'
    yield f"{metric.name}_sum{{{action}}} {_number(total)}"
    yield f"{metric.name}_count{{{action}}} {below}"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _label(name: str, value: str) -> str:
    return f'{name}="{value.translate(_ESCAPED)}"'


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
