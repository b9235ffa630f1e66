"""The handler of the pollers under faults: does what `plan.json` beside it says, and writes down every call.

Copied next to the action file, so it imports nothing but the standard library. A line of `calls.jsonl` is one append,
so that kill -9 leaves whole lines; there are two for a call, and its events are told by partition, in hand-out order.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PLAN = HERE / "plan.json"
CALLS = HERE / "calls.jsonl"
POISON = "poison-"
HOLD_PAUSE = 0.01


class Plan:
    """`plan.json` as it is now; read again only when it was replaced.

    `sleep`: seconds from and to, for each call. `hold`: wait until this file is beside us. `hang`: seconds that a
    `hang_share` of the calls sleep. `fail`: raise, always; `fail_share`: of the calls. `named`: name the poison in
    the answer instead of raising. A share is drawn by batch and attempt: the same call fares the same in every run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._plan: dict[str, Any] = {}
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        with self._lock:
            try:
                found = self._path.stat()
            except FileNotFoundError:
                self._seen, self._plan = None, {}
                return self._plan
            if (found.st_ino, found.st_mtime_ns) != self._seen:
                self._plan = json.loads(self._path.read_text())
                self._seen = found.st_ino, found.st_mtime_ns
            return self._plan


_PLAN = Plan(PLAN)


def handle(event: dict[str, Any], context: Any) -> Any:
    plan = _PLAN.read()
    batch, attempt = event["batch_id"], event["attempt"]
    about = {"c": os.environ.get("POLLER_ID", ""), "i": batch, "a": attempt}
    places = [_place(envelope) for envelope in event["events"]]
    _write({"w": "b", **about, "t": time.time(), "e": grouped(places)})
    chance = random.Random(f"{batch}/{attempt}")
    _take_time(plan, chance)
    poison = [place for place in places if place[3].startswith(POISON)]
    whole = bool(plan.get("fail")) or chance.random() < plan.get("fail_share", 0.0)
    named = bool(poison) and not whole and bool(plan.get("named"))
    ok = not poison and not whole
    _write({"w": "e", **about, "t": time.time(), "ok": ok, "f": grouped(poison) if named else None})
    if named:
        return {"batchItemFailures": [{"itemIdentifier": _identifier(place)} for place in poison]}
    if not ok:
        raise ValueError("not this time" if whole else f"{len(poison)} of {len(places)} events cannot be dealt with")
    return None


def grouped(places: list[tuple[str, int, int, str]]) -> list[list[Any]]:
    """`[topic, partition, offsets]` for each run of one partition."""
    return [
        [topic, partition, [place[2] for place in run]]
        for (topic, partition), run in itertools.groupby(places, key=lambda place: place[:2])
    ]


def _place(envelope: dict[str, Any]) -> tuple[str, int, int, str]:
    kafka = envelope["meta"]["kafka"]
    key = kafka["key"]
    return kafka["topic"], kafka["partition"], kafka["offset"], key if isinstance(key, str) else ""


def _identifier(place: tuple[str, int, int, str]) -> dict[str, Any]:
    return {"partition": f"{place[0]}-{place[1]}", "offset": place[2]}


def _take_time(plan: dict[str, Any], chance: random.Random) -> None:
    low, high = plan.get("sleep", (0.0, 0.0))
    if high > 0:
        time.sleep(chance.uniform(low, high))
    if chance.random() < plan.get("hang_share", 0.0):
        time.sleep(plan["hang"])
    hold = plan.get("hold")
    while hold is not None and not (HERE / hold).exists():
        time.sleep(HOLD_PAUSE)


def _write(line: dict[str, Any]) -> None:
    fd = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(line, separators=(",", ":")).encode() + b"\n")
    finally:
        os.close(fd)
