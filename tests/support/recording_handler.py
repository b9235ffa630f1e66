"""The handler of the pollers under test: behaves as `plan.json` beside it says, and writes down every call.

Copied next to the action file, so it imports nothing but the standard library. A call is a `begin` line before
anything happens and an `end` line after it is decided; each is one append, so that kill -9 leaves whole lines.
"""

from __future__ import annotations

import json
import logging
import os
import random
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PLAN = HERE / "plan.json"
CALLS = HERE / "calls.jsonl"
NO_PLAN: dict[str, Any] = {}


def handle(event: dict[str, Any], context: Any) -> Any:
    plan = json.loads(PLAN.read_text()) if PLAN.exists() else NO_PLAN
    about = {"pid": os.getpid(), "batch_id": event["batch_id"], "attempt": event["attempt"]}
    places = [_place(each) for each in event["events"]]
    kept = {"envelopes": event["events"]} if plan.get("keep") else {}
    _write({"what": "begin", **about, "events": places, **kept})
    _take_time(plan)
    failed = [place for place in places if _fails(plan, place)]
    named = bool(plan.get("named"))
    _write({"what": "end", **about, "ok": not failed, "failed": failed if named else None})
    if failed and named:
        return {"batchItemFailures": [{"itemIdentifier": _identifier(place)} for place in failed]}
    if failed:
        raise ValueError(f"{len(failed)} of {len(places)} events cannot be dealt with")
    return None


def _place(envelope: dict[str, Any]) -> list[Any]:
    kafka = envelope["meta"]["kafka"]
    return [kafka["topic"], kafka["partition"], kafka["offset"], kafka["key"], kafka["id"]]


def _identifier(place: list[Any]) -> dict[str, Any]:
    return {"partition": f"{place[0]}-{place[1]}", "offset": place[2]}


def _fails(plan: dict[str, Any], place: list[Any]) -> bool:
    topic, partition, _, key, _ = place
    if plan.get("mended"):
        return False
    return (
        bool(plan.get("fail"))
        or [topic, partition] in plan.get("fail_partitions", [])
        or (key is not None and key.startswith("poison"))
    )


def _take_time(plan: dict[str, Any]) -> None:
    """`say`: so many log lines of 1 kB. `sleep`: seconds from and to. `hold`: until this file is beside us."""
    for _ in range(plan.get("say", 0)):
        logging.getLogger("handler").warning("x" * 1000)
    low, high = plan.get("sleep", (0, 0))
    time.sleep(random.uniform(low, high))
    hold = plan.get("hold")
    while hold is not None and not (HERE / hold).exists():
        time.sleep(0.01)


def _write(line: dict[str, Any]) -> None:
    at = {"at": time.monotonic()}
    fd = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, json.dumps({**line, **at}).encode() + b"\n")
    finally:
        os.close(fd)
