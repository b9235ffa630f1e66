"""The action of DataHub Actions' own process in the group: it writes down what it does as the pollers' handler does.

Copied next to the action file.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

from datahub_actions.action.action import Action
from datahub_actions.event.event_envelope import EventEnvelope
from datahub_actions.pipeline.pipeline_context import PipelineContext

JOURNAL = Path(__file__).parent / "calls.jsonl"


class RecordingAction(Action):
    """Named in the action file as `their_action:RecordingAction`."""

    @classmethod
    def create(cls, config_dict: dict[str, Any], ctx: PipelineContext) -> RecordingAction:
        return cls()

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def act(self, event: EventEnvelope) -> None:
        kafka = event.meta["kafka"]
        about = {"c": os.environ["POLLER_ID"], "i": f"{os.getpid()}-{next(self._numbers)}", "a": 1}
        _write({"w": "b", **about, "t": time.time(), "e": [[kafka["topic"], kafka["partition"], [kafka["offset"]]]]})
        _write({"w": "e", **about, "t": time.time(), "ok": True, "f": None})

    def close(self) -> None:
        """Nothing is held."""


def _write(line: dict[str, Any]) -> None:
    fd = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, json.dumps(line).encode() + b"\n")
    finally:
        os.close(fd)
