"""What a lane is made of: the lease, entries, pieces of them that go out together, and the part in work.

Pure values with little of their own; the lane keeps their account.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from datahub_poller.model import Awaiting, Event, Failure, GivenUp, Record, TopicPartition, Undecodable


class Lease:
    """The right to settle a partition's records, from its assignment to its revocation. Identity is what counts."""

    __slots__ = ("tp",)

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp

    def __repr__(self) -> str:
        return f"Lease({self.tp}, {id(self):x})"


class Entry:
    """A record in a lane. `end` is where the lane settles once this entry and all before it are done.

    `given_up` stays when an open breaker held its letter and it is tried anew: the breaker counts it once.
    `untried`: it joined others that had been in a call, and was in none itself.
    """

    __slots__ = ("at", "done", "end", "given_up", "record", "size", "untried", "verdict")

    def __init__(self, record: Record, verdict: Event | Undecodable | Awaiting | GivenUp, at: float) -> None:
        _, offset, _, _, key, value, headers = record
        self.record = record
        self.verdict: Event | Undecodable | Awaiting | GivenUp = verdict
        self.size = record.size if headers else (len(key) if key else 0) + (len(value) if value else 0)
        self.end = offset + 1
        self.at = at
        self.done = False
        self.given_up = False
        self.untried = False

    @property
    def offset(self) -> int:
        """The record's own offset."""
        return self.record.offset


class Paused(NamedTuple):
    """Nothing new is handed out: a person said so, at `since`, a time of the loop's clock."""

    who: str
    why: str
    since: float


class Attempt(NamedTuple):
    """An invocation that failed, begun at `at`, with so many `events` of the partition in it."""

    at: float
    batch_id: str
    number: int
    events: int
    error: str


HISTORY_LIMIT = 20
"""How many attempts of a record are remembered, the last ones; all are counted."""


@dataclass(slots=True, eq=False)
class Piece:
    """Entries that go into one invocation together. `attempts` are the invocations that failed.

    `spent` are the seconds that these took, with the back-offs after them: waiting for infrastructure is not in it.
    """

    entries: list[Entry]
    attempts: int = 0
    splitting: bool = False
    due: float = 0.0
    waits: int = 0
    spent: float = 0.0
    history: tuple[Attempt, ...] = ()

    def failed(self, attempt: Attempt, seconds: float) -> None:
        """An invocation of it failed, after so long."""
        self.attempts += 1
        self.waits = 0
        self.spent += seconds
        self.history = (*self.history, attempt)[-HISTORY_LIMIT:]


class Doomed(NamedTuple):
    """An entry that was given up: what its letter says.

    `final`: a person said so. It is written whatever the breaker holds, and never tried anew.
    """

    entry: Entry
    failure: Failure
    attempts: int
    batch_id: str | None
    history: tuple[Attempt, ...] = ()
    final: bool = False


@dataclass(slots=True, eq=False)
class Part:
    """What was taken from a lane together. `todo` is a stack: its last piece is the next to be invoked.

    `entries` are those not settled yet, with their `bytes`; `size` is how many events there were; `witness` is the
    breaker's count of successes when it was taken: "nothing succeeded" is not "nothing here succeeded".
    """

    entries: deque[Entry]
    todo: list[Piece]
    size: int
    witness: int
    bytes: int
    doomed: list[Doomed] = field(default_factory=list)
    succeeded: int = 0
    held: bool = False
    judged: bool = False
    letters_due: float = 0.0
    letter_tries: int = 0

    @property
    def piece(self) -> Piece | None:
        """The next piece to be invoked."""
        return self.todo[-1] if self.todo else None

    @property
    def final(self) -> tuple[Doomed, ...]:
        """What is given up by a person and has its letter still to come."""
        return tuple(doomed for doomed in self.doomed if doomed.final)


def parcels(entries: Sequence[Entry], count: int, size: int) -> list[list[Entry]]:
    """The entries in their order, in parcels of at most `count` and `size` bytes; a larger entry has its own."""
    made: list[list[Entry]] = []
    held = 0
    for entry in entries:
        if not made or len(made[-1]) == count or held + entry.size > size:
            made.append([])
            held = 0
        made[-1].append(entry)
        held += entry.size
    return made
