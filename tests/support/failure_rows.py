"""What the tests of the table "what failure does" share: handlers made for a test, and what they were called with."""

from __future__ import annotations

import textwrap
from typing import Any

from datahub_poller.model import TopicPartition
from support.running import Running, Stage, Status

QUICK = {"attempts": 2, "backoff": "20ms", "max_backoff": "20ms"}


def handler(stage: Stage, body: str) -> dict[str, str]:
    """Put a handler of its own beside the recording one, as `mine.py`; the change of the action file that names it.

    `body` is Python. It has `recording_handler`, whose `handle` writes each call down and raises ValueError for
    the records that are to fail, and `offsets_of(event)`.
    """
    head = """\
    import recording_handler


    def offsets_of(event):
        return [each["meta"]["kafka"]["offset"] for each in event["events"]]


    """
    (stage.directory / "mine.py").write_text(textwrap.dedent(head) + textwrap.dedent(body))
    return {"handler/config/function": "mine:handle"}


def handed_out(stage: Stage, tp: TopicPartition) -> list[list[int]]:
    """The partition's offsets in each call that has ended, in the order of the calls."""
    calls = [call for call in stage.recorded().of(tp) if call.ended is not None]
    return [[place.offset for place in call.places if place.tp == tp] for call in calls]


def lane(status: Status, tp: TopicPartition) -> dict[str, Any]:
    """What the status says of a partition; empty where it has not got it."""
    found: list[dict[str, Any]] = [
        each for each in status["partitions"] if (each["topic"], each["partition"]) == tuple(tp)
    ]
    return found[0] if found else {}


def settled(stage: Stage, poller: Running, patience: float = 30.0) -> None:
    """Return when all that was produced is delivered or has a letter, and is committed."""
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed", patience)
