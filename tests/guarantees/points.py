"""Named points at which a poller under test kills itself: the moments between two steps that a crash may fall into.

The product's methods are wrapped from outside before it starts; nothing in it knows of this. SIGKILL runs no handler
and flushes nothing, as when the kernel does it.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from datahub_poller.commits import Commits
from datahub_poller.deadletter.file import FileSink
from datahub_poller.deadletter.kafka import KafkaSink
from datahub_poller.deadletter.s3 import S3Sink
from datahub_poller.deadletter.sqs import SqsSink
from datahub_poller.invoke.base import Succeeded
from datahub_poller.invoke.python import PythonInvoker
from datahub_poller.kafka.committing import Committing
from datahub_poller.kafka.source import KafkaSource
from datahub_poller.loop import Poller

Passing = Callable[..., Any]


class Point:
    """Counts passages, of all threads, and does not survive the `last` one."""

    def __init__(self, name: str, last: int) -> None:
        self._name = name
        self._left = last
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.write(2, json.dumps({"event": "dies", "point": self._name}).encode() + b"\n")
                os.kill(os.getpid(), signal.SIGKILL)


def before(owner: type, method: str, passes: Point, when: Passing = lambda *_: True) -> None:
    """Pass each time that the method is about to run, where `when` holds of its arguments."""
    original = getattr(owner, method)

    @functools.wraps(original)
    def wrapped(*arguments: Any) -> Any:
        if when(*arguments):
            passes()
        return original(*arguments)

    setattr(owner, method, wrapped)


def after(owner: type, method: str, passes: Point, when: Passing = lambda *_: True) -> None:
    """Pass each time that the method has returned, where `when` holds of what it returned and its arguments."""
    original = getattr(owner, method)

    @functools.wraps(original)
    def wrapped(*arguments: Any) -> Any:
        returned = original(*arguments)
        if when(returned, *arguments):
            passes()
        return returned

    setattr(owner, method, wrapped)


# -- the points


def _after_invocation(passes: Point) -> None:
    """The user's function has succeeded, and the loop has not heard."""
    after(PythonInvoker, "invoke", passes, lambda outcome, *_: isinstance(outcome, Succeeded))


def _after_dead_letter(passes: Point) -> None:
    """The letters are where they go, acknowledged, and the loop has not heard."""
    for sink in (FileSink, KafkaSink, S3Sink, SqsSink):
        after(sink, "write", passes)


def _before_commit(passes: Point) -> None:
    """A commit is decided on, and the broker has not heard."""
    before(Committing, "send", passes)
    before(Committing, "send_and_wait", passes)


def _after_commit(passes: Point) -> None:
    """The broker has stored the commit, and the poller does not know."""
    before(Committing, "on_commit", passes)
    after(Committing, "send_and_wait", passes)


def _in_assigned(passes: Point) -> None:
    """Inside of the callback that assigns; where to begin was not asked yet."""
    after(KafkaSource, "_on_assign", passes, lambda _, __, ___, partitions: bool(partitions))


def _after_assigned(passes: Point) -> None:
    """The lanes are open, and their positions are not committed."""
    after(Poller, "assigned", passes, lambda _, __, starts: bool(starts))


def _in_revoked(passes: Point) -> None:
    """Inside of the callback that revokes: calls were waited for, nothing is committed."""
    before(Commits, "now", passes, _while_running)


def _in_revoked_committed(passes: Point) -> None:
    """Inside of the callback that revokes: what was settled is committed, and the lanes are open."""
    after(Commits, "now", passes, lambda done, *about: done is not False and _while_running(*about))


def _while_running(commits: Any, partitions: Any) -> bool:
    return bool(partitions) and not commits._ledger.stopping


def _in_lost(passes: Point) -> None:
    """Inside of the callback that tells of a loss, the lanes still open."""
    before(Poller, "lost", passes, lambda _, partitions: bool(partitions))


def _winding_down(passes: Point) -> None:
    """Told to stop, with calls on their way."""
    before(Poller, "wind_down", passes)


def _before_leaving(passes: Point) -> None:
    """Told to stop: everything is committed, and the group was not left."""
    after(Poller, "wind_down", passes)


POINTS: Final[Mapping[str, Callable[[Point], None]]] = {
    "after-invocation": _after_invocation,
    "after-dead-letter": _after_dead_letter,
    "before-commit": _before_commit,
    "after-commit": _after_commit,
    "in-assigned": _in_assigned,
    "after-assigned": _after_assigned,
    "in-revoked": _in_revoked,
    "in-revoked-committed": _in_revoked_committed,
    "in-lost": _in_lost,
    "winding-down": _winding_down,
    "before-leaving": _before_leaving,
}


def die_at(where: str) -> None:
    """`point:N`: SIGKILL at the Nth passage of a point. Raises KeyError for an unknown one."""
    name, _, number = where.partition(":")
    POINTS[name](Point(name, int(number or 1)))
