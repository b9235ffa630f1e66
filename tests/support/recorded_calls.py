"""Every right that a program of ours asked for in a run of the tests, written down by whoever was asked.

The directory is RECORDED_CALLS of the environment; without it nothing is written. Stand-ins for AWS call `request`, the
others `note`; a line says in which test, by whom, which action and on what. Several processes write, each its own file.
"""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from support.aws_requests import call_of
from support.policies import Call

VARIABLE = "RECORDED_CALLS"
POLLER, PERSON, FILE, AGENT, NOBODY = "poller", "dead-letters", "action-file", "ecs-agent", "nobody"
"""Who asks: the poller (`check` and `tail` too), the commands of `dead-letters`, the container that writes the action
file, and ECS's agent, whom the poller asks to ask. Nobody: who asks where only ours do, and does not say so."""
_AGENT = re.compile(r"datahub-poller/\S+( md/(\S+))?|app/datahub-poller-(action-file)")


class Asked(NamedTuple):
    """One right that was asked for, by whom, in which test."""

    test: str
    by: str
    call: Call


class Recording:
    """A directory that lines are appended to. What was written once in a process is not written again."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._lines = directory / f"{worker}-{os.getpid()}.jsonl"
        self._now = directory / f"{worker}.test"
        self._lock = threading.Lock()
        self._seen: set[Asked] = set()

    def test_begins(self, test: str, time: int = 1) -> None:
        """What is asked from now on in this worker belongs to this test, which runs for the first or another `time`.

        Another run of it has topics, groups and queues of its own.
        """
        draft = self._now.with_suffix(".draft")
        draft.write_text(test if time == 1 else f"{test} ({time})")
        draft.replace(self._now)

    def note(self, by: str, calls: Iterable[Call]) -> None:
        """Write them down."""
        test = self._now.read_text() if self._now.exists() else ""
        with self._lock:
            for each in calls:
                asked = Asked(test, by, each)
                if asked not in self._seen:
                    self._seen.add(asked)
                    with self._lines.open("a") as file:
                        file.write(json.dumps({"test": test, "by": by, **each._asdict()}) + "\n")


@functools.cache
def recording() -> Recording | None:
    """This run's, if it has one."""
    directory = os.environ.get(VARIABLE)
    return None if not directory else Recording(Path(directory), os.environ.get("PYTEST_XDIST_WORKER", "alone"))


def request(method: str, path: str, headers: Mapping[str, str], body: bytes, *, ours: bool = False) -> None:
    """A stand-in for AWS was asked this; written down where one of ours asked. With `ours` nobody else comes there."""
    if (to := recording()) is None:
        return
    by = who({name.lower(): value for name, value in headers.items()}.get("user-agent", ""))
    if by is not None or ours:
        to.note(by or NOBODY, [call_of(method, path, headers, body)])


def note(by: str, *calls: Call) -> None:
    """Somebody who is no stand-in for AWS knows that these were asked for."""
    if (to := recording()) is not None:
        to.note(by, calls)


def note_registry(requests: Iterable[str]) -> None:
    """What a `RegistryServer` was asked: other than by a path, it was an operation of Glue's."""
    operations = {asked.split()[0] for asked in requests} - {"GET", "POST"}
    note(POLLER, *(Call(f"glue:{each}", "*") for each in sorted(operations)))


def who(agent: str) -> str | None:
    """Which of ours says that it is this user agent; None for others, such as tests' own clients."""
    found = _AGENT.search(agent)
    return None if found is None else found[3] or found[2] or POLLER


def read(directory: Path) -> list[Asked]:
    """All that was written down."""
    return [
        Asked(line.pop("test"), line.pop("by"), Call(**line))
        for file in sorted(directory.glob("*.jsonl"))
        for line in map(json.loads, file.read_text().splitlines())
    ]
