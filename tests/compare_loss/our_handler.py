"""The handler that datahub-poller calls: a batch's events one after the other, each as their action does it."""

from __future__ import annotations

from typing import Any

from acting import act_on


def handle(event: dict[str, Any], context: Any) -> None:
    for envelope in event["events"]:
        act_on(envelope["meta"]["kafka"])
