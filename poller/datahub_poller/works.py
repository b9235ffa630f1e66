"""The work that dispatch asks for, the outcomes that come back, and the calls in between. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from datahub_poller.model import Failure, Record, TopicPartition
from datahub_poller.parts import Doomed, Lease, Piece

Level = Literal["debug", "info", "warning", "error"]


class Share(NamedTuple):
    """What one lane put into an invocation."""

    lease: Lease
    piece: Piece


@dataclass(frozen=True, slots=True)
class Invoke:
    """One invocation of the handler. Where `again`, the envelopes are to be read anew from the records."""

    flight: int
    batch_id: str
    attempt: int
    shares: tuple[Share, ...]
    again: bool


@dataclass(frozen=True, slots=True)
class WriteLetters:
    """One write of a lane's dead letters."""

    flight: int
    lease: Lease
    doomed: tuple[Doomed, ...]


Work = Invoke | WriteLetters


@dataclass(frozen=True, slots=True)
class Delivered:
    """The handler succeeded, or the letters are acknowledged."""


@dataclass(frozen=True, slots=True)
class Named:
    """The handler named these records as failed; it delivered the others."""

    failed: frozenset[tuple[TopicPartition, int]]
    response: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler failed as a whole. `lineage` names the error's class and its bases, the nearest first."""

    failure: Failure
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Away:
    """Infrastructure did not answer: nothing was tried."""

    reason: str


Outcome = Delivered | Named | Failed | Away


@dataclass(slots=True)
class Flight:
    """A call that has not returned. It holds its worker, and its lanes, until it does."""

    work: Work
    started: float
    probe: bool = False
    overdue: bool = False

    def partitions(self) -> list[TopicPartition]:
        """Whose records are in it."""
        match self.work:
            case Invoke(shares=shares):
                return [share.lease.tp for share in shares]
            case WriteLetters(lease=lease):
                return [lease.tp]


class Halt(NamedTuple):
    """A record was given up under `failure_mode: THROW`: the poller stops before it."""

    record: Record
    failure: Failure


class Note(NamedTuple):
    """A change of state, for the log."""

    level: Level
    event: str
    fields: dict[str, Any]
