"""A poller that leaves letters in a place of some kind, and what the commands then make of them.

What lies there is read by `letter_peeks`, what the handler was given by `recorded`: never the poller's own account.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support import soon_shown
from support.commands import Ran, ran, started
from support.letter_peeks import BucketPeek, FilePeek, Peek, QueuePeek, TopicPeek
from support.on_aws import on_aws
from support.recorded import Place, Recorded
from support.running import Stage

KINDS = ["file", "kafka", "sqs", "sqs-fifo", "s3"]
FIXED = ("--yes", "--why", "mended")
PROGRAM = (sys.executable, str(Path(soon_shown.__file__)))


class LettersScene:
    """A stage, the place of its letters, and its action file; `partitions` are of its one topic."""

    def __init__(self, stage: Stage, peek: Peek, partitions: int) -> None:
        self.stage = stage
        self.peek = peek
        self.partitions = partitions
        stage.create(partitions, "pe")
        self.action = stage.action(
            {
                "dead_letter": {**peek.place.section, "breaker": {"in_a_row": 1000}},
                "retry/backoff": "10ms",
                "retry/max_backoff": "20ms",
            }
        )

    # -- what lies there

    def ids(self) -> dict[Place, list[str]]:
        """The ids of the letters of each record, as often as it has one."""
        found: dict[Place, list[str]] = {}
        for letter in self.peek.letters():
            kafka = letter["meta"]["kafka"]
            place = Place(kafka["topic"], kafka["partition"], kafka["offset"])
            found.setdefault(place, []).append(letter["meta"]["id"])
        return found

    def listed(self) -> Counter[str]:
        """The ids that `list` shows as waiting."""
        done = self.command("list", "--json", "--state", "waiting")
        assert done.code == 0, done.all
        return Counter(_id_of(line) for line in done.out.splitlines())

    # -- commands

    def mend(self, **plan: Any) -> None:
        """From now on the handler fails on nothing, and what it is given is written down anew."""
        self.stage.plan(mended=True, keep=True, **plan)
        calls = self.stage.directory / "calls.jsonl"
        if calls.exists():
            calls.rename(calls.with_name("calls.before.jsonl"))

    def command(self, *arguments: str) -> Ran:
        """`dead-letters`, to its end."""
        name, *rest = arguments
        done = ran(
            "dead-letters", name, "-c", str(self.action), *rest,
            cwd=self.stage.directory, environ=self.peek.place.environ,
        )  # fmt: skip
        assert "Traceback" not in done.err, done.err
        return done

    def redrive(self, *arguments: str) -> Ran:
        """To the handler, to its end."""
        return self.command("redrive", "--to", "handler", *FIXED, *arguments)

    def redriving(self, *arguments: str) -> subprocess.Popen[str]:
        """To the handler, while it runs."""
        command = ("dead-letters", "redrive", "-c", str(self.action), "--to", "handler", *FIXED, *arguments)
        environ = self.peek.place.environ
        return started(*command, cwd=self.stage.directory, environ=environ, program=PROGRAM)

    def handed(self) -> Recorded:
        """What the handler was given since it was mended."""
        return self.stage.recorded()


@contextmanager
def peek_of(kind: str, stage: Stage, unique: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[Peek]:
    """A new place of one of KINDS."""
    match kind:
        case "file":
            yield FilePeek(stage)
        case "kafka":
            yield TopicPeek(stage, unique("letters"))
        case _:
            with on_aws(request.getfixturevalue("moto_server"), request.getfixturevalue("monkeypatch")) as aws:
                yield BucketPeek(aws) if kind == "s3" else QueuePeek(aws, fifo=kind == "sqs-fifo")


def _id_of(line: str) -> str:
    found: str = json.loads(line)["meta"]["id"]
    return found
