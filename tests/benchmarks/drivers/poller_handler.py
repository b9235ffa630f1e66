"""The handler that the poller calls in a benchmark: it looks at every event and at where it stood, and counts."""

from __future__ import annotations

from typing import Any

from meter import Meter, settings

METER = Meter(settings())


def handle(event: dict[str, Any], context: Any) -> None:
    METER.begin()
    fields, last = 0, -1
    for envelope in event["events"]:
        fields += len(envelope["event"])
        last = max(last, envelope["meta"]["kafka"]["offset"])
    if not fields or last < 0:
        raise ValueError("events without fields or offsets: nothing was measured")
    METER.add(len(event["events"]))
