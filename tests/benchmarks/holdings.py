"""Which of the poller's processes holds which partitions, by its log.

Pure: the log is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

CHANGES = b'"event":"partition '


def holdings(log: bytes) -> dict[int, set[tuple[str, int]]]:
    """By the process's number: what it was assigned and has not given back. A last line may be half written."""
    held: dict[int, set[tuple[str, int]]] = {}
    for line in log.splitlines(keepends=True):
        if CHANGES in line and line.endswith(b"\n"):
            _apply(json.loads(line), held)
    return held


def _apply(said: Mapping[str, object], held: dict[int, set[tuple[str, int]]]) -> None:
    mine = held.setdefault(int(str(said.get("process", 0))), set())
    where = str(said["topic"]), int(str(said["partition"]))
    match said["event"]:
        case "partition assigned":
            mine.add(where)
        case "partition revoked" | "partition lost":
            mine.discard(where)


def shared_out(log: bytes, processes: int, partitions: int) -> bool:
    """Whether so many processes hold so many partitions, each some of them and none a partition of another's."""
    held = [mine for mine in holdings(log).values() if mine]
    return len(held) == processes and sum(map(len, held)) == partitions == len(set().union(*held))
