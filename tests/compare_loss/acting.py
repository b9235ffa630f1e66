"""What both actions do with an event: kill the process if the plan says so, take their time, write the event down.

Copied beside the action file of either product, so it imports nothing but the standard library. A line is one append,
so that kill -9 leaves whole lines; it is written when the work on the event is done.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PLAN = HERE / "plan.json"
JOURNAL = HERE / "acted.jsonl"
KILLED = HERE / "killed"


def act_on(kafka: Mapping[str, Any]) -> None:
    """`kafka` is the event's `meta.kafka`."""
    plan = json.loads(PLAN.read_text())
    if kafka["offset"] == plan["kill_at"] and not KILLED.exists():
        KILLED.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(plan["seconds"])
    line = json.dumps([kafka["topic"], kafka["partition"], kafka["offset"]]).encode() + b"\n"
    journal = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(journal, line)
    finally:
        os.close(journal)
