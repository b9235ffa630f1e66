"""Pollers that are wrong on purpose, and the oracle that must say so: bugs as people write them, a few lines each.

Put in from outside, before the poller starts. An oracle that lets its bug pass proves nothing by its silence.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, NamedTuple

from datahub_poller.commits import Commits
from datahub_poller.deadletter.file import FileSink
from datahub_poller.errors import HandlerFailed
from datahub_poller.intake import Intake
from datahub_poller.invoke.base import Partial, Succeeded
from datahub_poller.invoke.python import PythonInvoker
from datahub_poller.kafka.begin import Beginnings
from datahub_poller.lanes import Lane
from datahub_poller.loop import Poller
from datahub_poller.model import Event, Skipped, Undecodable

ROOM: Final = 30
"""Records that a lane has room for where it drops the others."""
BACK: Final = 50
"""How far before the commit a partition begins."""
SELDOM: Final = 5.0
"""Seconds between commits, as a client's own timer has it."""
LATE_ONE_IN: Final = 5
"""Of so many answers one is late."""


class Bug(NamedTuple):
    """`put_in` patches the poller; `oracle` is the name of the one that must notice, others may as well."""

    put_in: Callable[[], None]
    oracle: str


def _instead(owner: type, method: str, bug: Callable[..., Any]) -> None:
    """`bug` gets what it replaces, and then the arguments."""
    original = getattr(owner, method)

    def replaced(*arguments: Any) -> Any:
        return bug(original, *arguments)

    setattr(owner, method, replaced)


# -- at least once


def _begins_behind_the_commit() -> None:
    """Takes the committed offset for that of the last record done."""
    _begin_elsewhere(1)


def _drops_what_does_not_fit() -> None:
    """A queue between reading and working that is full says nothing."""

    def offer(original: Any, self: Lane, record: Any, verdict: Any, now: float) -> None:
        full = len(self.pending) >= ROOM
        original(self, record, Skipped("filtered") if full else verdict, now)

    _instead(Lane, "offer", offer)


def _swallows_failures() -> None:
    """Logs what the handler raises, and goes on."""

    def invoke(original: Any, self: PythonInvoker, invocation: Any) -> Any:
        try:
            return original(self, invocation)
        except HandlerFailed:
            return Succeeded()

    _instead(PythonInvoker, "invoke", invoke)


# -- commits


def _commits_what_is_received() -> None:
    """As enable.auto.commit does with a queue behind it."""

    def offer(original: Any, self: Lane, record: Any, verdict: Any, now: float) -> None:
        original(self, record, verdict, now)
        self.settled = self.received

    _instead(Lane, "offer", offer)


def _commits_what_is_handed_out() -> None:
    """At most once: the commit does not wait for the handler."""

    def take(original: Any, self: Lane, count: int, successes: int) -> Any:
        piece = original(self, count, successes)
        self.settled = piece.entries[-1].end
        return piece

    _instead(Lane, "take", take)


# -- order


def _takes_newest_first() -> None:
    """A stack for a queue."""

    def take(original: Any, self: Lane, count: int, successes: int) -> Any:
        if all(isinstance(entry.verdict, Event) for entry in self.pending):
            self.pending.rotate(count)
        return original(self, count, successes)

    _instead(Lane, "take", take)


def _two_at_a_time() -> None:
    """Half of a batch each for two threads, to be quicker."""

    def invoke(original: Any, self: PythonInvoker, invocation: Any) -> Any:
        middle = len(invocation.events) // 2
        if not middle:
            return original(self, invocation)
        first, second = invocation.events[:middle], invocation.events[middle:]
        halves = [
            invocation._replace(batch_id=f"{invocation.batch_id}-{number}", events=events)
            for number, events in enumerate((first, second))
        ]
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda half: original(self, half), halves))
        failed = [outcome.failed for outcome in outcomes if isinstance(outcome, Partial)]
        return Partial(frozenset(itertools.chain(*failed))) if failed else Succeeded()

    _instead(PythonInvoker, "invoke", invoke)


# -- the group


def _keeps_revoked_lanes() -> None:
    """Has no callback for revocations: what was read is worked off, and committed."""
    _instead(Poller, "revoked", lambda *_: None)


# -- dead letters


def _drops_undecodable() -> None:
    """Skips what cannot be read."""

    def read(original: Any, self: Intake, record: Any, now: float) -> Any:
        verdict = original(self, record, now)
        return Skipped("filtered") if isinstance(verdict, Undecodable) else verdict

    _instead(Intake, "read", read)


def _letters_nowhere() -> None:
    """Does not wait for the write, nor hear of its failure."""
    _instead(FileSink, "write", lambda *_: None)


def _letters_mangled() -> None:
    """Takes a record's bytes for text."""

    def write(original: Any, self: FileSink, letters: Any) -> None:
        original(self, [replace(letter, record=_as_text(letter.record)) for letter in letters])

    _instead(FileSink, "write", write)


def _as_text(record: Any) -> Any:
    value = b"\xff" if record.value is None else record.value
    return record._replace(value=value.decode(errors="replace").encode())


# -- duplicates


def _forgets_commits() -> None:
    """Commits by a timer alone, not when partitions or the process go."""

    def init(original: Any, self: Commits, source: Any, ledger: Any, interval: float, logger: Any) -> None:
        original(self, source, ledger, SELDOM, logger)

    _instead(Commits, "__init__", init)
    _instead(Commits, "now", lambda *_: True)


def _begins_before_the_commit() -> None:
    """To be on the safe side."""
    _begin_elsewhere(-BACK)


def _begin_elsewhere(by: int) -> None:
    def of(original: Any, self: Beginnings, topic: str, tps: Any) -> Any:
        starts = original(self, topic, tps)
        return {
            tp: start if start.committed is None else start._replace(offset=max(0, start.offset + by))
            for tp, start in starts.items()
        }

    _instead(Beginnings, "of", of)


def _retries_what_succeeded() -> None:
    """Takes an answer that came late for none."""
    calls = itertools.count(1)

    def invoke(original: Any, self: PythonInvoker, invocation: Any) -> Any:
        outcome = original(self, invocation)
        if next(calls) % LATE_ONE_IN == 0:
            raise HandlerFailed("Timeout", "no answer in time", "")
        return outcome

    _instead(PythonInvoker, "invoke", invoke)


BROKEN: Final[Mapping[str, Bug]] = {
    "begins-behind-the-commit": Bug(_begins_behind_the_commit, "AtLeastOnce"),
    "drops-what-does-not-fit": Bug(_drops_what_does_not_fit, "AtLeastOnce"),
    "swallows-failures": Bug(_swallows_failures, "AtLeastOnce"),
    "commits-what-is-received": Bug(_commits_what_is_received, "CommitNeverAhead"),
    "commits-what-is-handed-out": Bug(_commits_what_is_handed_out, "CommitNeverAhead"),
    "takes-newest-first": Bug(_takes_newest_first, "FirstDeliveryInOrder"),
    "two-at-a-time": Bug(_two_at_a_time, "OnePartInFlightPerPartition"),
    "keeps-revoked-lanes": Bug(_keeps_revoked_lanes, "NothingAfterRevoke"),
    "drops-undecodable": Bug(_drops_undecodable, "DeadLettersComplete"),
    "letters-nowhere": Bug(_letters_nowhere, "DeadLettersComplete"),
    "letters-mangled": Bug(_letters_mangled, "DeadLettersComplete"),
    "forgets-commits": Bug(_forgets_commits, "BoundedDuplicates"),
    "begins-before-the-commit": Bug(_begins_before_the_commit, "BoundedDuplicates"),
    "retries-what-succeeded": Bug(_retries_what_succeeded, "BoundedDuplicates"),
}
