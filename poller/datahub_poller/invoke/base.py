"""What goes into one call of a handler and what comes out of it, whatever the target.

Pure values and the Protocol that every target keeps. It must not know how a target is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from datahub_poller.model import Envelope, TopicPartition

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class Invocation(NamedTuple):
    """One call to make. `events` is never empty; `attempt` counts from 1; `deadline` is in monotonic seconds.

    `places` tells where the events stood, whatever a handler has made of them since; it is only asked for failures.
    """

    action: str
    batch_id: str
    attempt: int
    events: list[Envelope]
    deadline: float
    places: Callable[[], Iterable[Place]]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Every event of the call was dealt with."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The handler named the records, by partition and offset, that failed; never empty. The others succeeded.

    `response` is its answer in JSON, bounded in length.
    """

    failed: frozenset[tuple[TopicPartition, int]]
    response: str = ""


Outcome = Succeeded | Partial


class Invoker(Protocol):
    """A target. `invoke` blocks, and may be called from several threads at once."""

    def load(self) -> None:
        """Make ready. Raises CannotStart, with what to do about it."""

    def invoke(self, invocation: Invocation) -> Outcome:
        """Raises HandlerFailed (counts as an attempt) or Transient (does not)."""

    def close(self) -> None:
        """Let go of what is held, within a few seconds. Calls still running are left to themselves."""
