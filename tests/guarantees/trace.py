"""What happened in a run, told from outside of the pollers.

Put together from the topics' own logs (what was produced), the handlers' journal (what was handed out, and what
succeeded), the broker's log of the group (every commit, every assignment), the dead letters, and the harness' account
of the processes and the faults. Nothing of it is a poller's own word. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from datahub_poller.model import TopicPartition
from support.recorded import Place

Kind = Literal["good", "poison", "junk"]
"""An event that the handler can do, one that it cannot, and bytes that are no event."""
How = Literal["running", "stopped", "killed", "failed"]
"""A process still runs, ended in order (exit code 0), was killed by the harness, or ended by itself."""


class Due(NamedTuple):
    """A record that is owed: `digest` is `digest_of` its key and value."""

    kind: Kind
    digest: str


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation. `done` is what of it succeeded; `ended` is None where the process died in it."""

    client: str
    batch_id: str
    attempt: int
    places: tuple[Place, ...]
    began: float
    ended: float | None
    done: frozenset[Place]


class Life(NamedTuple):
    """A process of the poller, by its client.id, which no other process has. `ended` is None while it runs."""

    client: str
    began: float
    ended: float | None
    how: How


class Commit(NamedTuple):
    """An offset as the broker wrote it down, in the order in which it did."""

    tp: TopicPartition
    offset: int
    at: float
    metadata: str


class Ownership(NamedTuple):
    """The broker's account of who holds what, from `at` on: every member of the group, by client.id."""

    at: float
    epoch: int
    held: Mapping[str, frozenset[TopicPartition]]

    def owner(self, tp: TopicPartition) -> str | None:
        return next((client for client, held in self.held.items() if tp in held), None)


class Letter(NamedTuple):
    """A dead letter. `at` is when the record was given up."""

    place: Place
    at: float
    id: str
    digest: str


class Window(NamedTuple):
    """A fault, from its beginning until everything was whole again.

    `excuses` says that it can keep commits from the broker, or a member from hearing of the group: what was done
    and not committed then comes again.
    """

    fault: str
    began: float
    ended: float
    excuses: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """The action file's settings that bound what may happen twice. Seconds."""

    batch_size: int
    concurrency: int
    revoke_wait: float = 10.0
    strict: bool = False
    """Whether `batch.order` is so: what follows a failed record is done again."""
    cooperative: bool = False
    """Whether members of a classic group go on with what they hold while the group rebalances."""


@dataclass(slots=True)
class Trace:
    """A whole run, to be judged when it is drained. `calls` are in the order in which they began."""

    limits: Limits
    due: Mapping[Place, Due] = field(default_factory=dict)
    calls: Sequence[Call] = ()
    commits: Sequence[Commit] = ()
    ownerships: Sequence[Ownership] = ()
    letters: Sequence[Letter] = ()
    lives: Sequence[Life] = ()
    windows: Sequence[Window] = ()
