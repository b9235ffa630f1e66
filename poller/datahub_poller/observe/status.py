"""What the poller is doing right now, as values, and the board they are pinned to.

The loop publishes a snapshot and beats once per turn; others only read. Times inside are the loop's own
monotonic seconds; what leaves as JSON is wall-clock time. Decides nothing, and knows neither Kafka nor lanes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from datahub_poller.observe.figures import Figures

PartitionState = Literal[
    "idle",
    "ready",
    "in_flight",
    "backing_off",
    "waiting_schema",
    "waiting_sink",
    "writing_letters",
    "halted",
    "breaker",
    "draining",
    "blocked",
    "paused",
]
PollerState = Literal["starting", "running", "waiting", "paused", "halted", "stopping"]

LIVE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class PausedStatus:
    """Who paused it, and why. `since` is monotonic."""

    who: str
    why: str
    since: float


@dataclasses.dataclass(slots=True)  # not frozen: of a thousand partitions there are as many a second
class PartitionStatus:
    """One owned partition. Offsets are the next to read, `since` is monotonic, `next_try_in` seconds from now.

    `lag` counts from what is settled to the log's end. `oldest` is when the first record that is held was written, in
    epoch seconds; `moved` is monotonic: when something was settled last, or there was nothing to do. `stuck`: that is
    too long ago. None is "not known yet", or "does not apply".
    """

    topic: str
    partition: int
    state: PartitionState
    reason: str = ""
    since: float | None = None
    attempts: int = 0
    next_try_in: float | None = None
    last_error: str | None = None
    position: int | None = None
    settled: int | None = None
    committed: int | None = None
    end: int | None = None
    lag: int | None = None
    records: int = 0
    bytes: int = 0
    in_flight: int = 0
    paused: PausedStatus | None = None
    oldest: float | None = None
    moved: float | None = None
    stuck: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class SchemaWait:
    """A writer schema that records wait for. `since` is monotonic."""

    schema: str
    since: float
    tries: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class BreakerStatus:
    """Letters in a row against the limit, and when an open breaker lets a probe through."""

    state: Literal["closed", "open", "probing"] = "closed"
    in_a_row: int = 0
    limit: int = 0
    next_probe_in: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class BufferStatus:
    """Raw bytes held, in flight included, against the cap."""

    bytes: int = 0
    limit: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class PollerStatus:
    """The whole poller. `red` means that a person should look, and `reasons` say why; times are monotonic."""

    action: str
    version: str
    state: PollerState
    red: bool = False
    reasons: tuple[str, ...] = ()
    started_at: float = 0.0
    uptime: float = 0.0
    member: str = ""
    assigned: int = 0
    counters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    paused: PausedStatus | None = None
    breaker: BreakerStatus = BreakerStatus()
    buffer: BufferStatus = BufferStatus()
    schemas: tuple[SchemaWait, ...] = ()
    missing_topics: tuple[str, ...] = ()
    partitions: tuple[PartitionStatus, ...] = ()
    figures: Figures = dataclasses.field(default_factory=Figures)

    @property
    def taken_at(self) -> float:
        """When the snapshot was taken, to the millisecond."""
        return self.started_at + self.uptime


def as_document(status: PollerStatus, now: float, wall: float) -> dict[str, Any]:
    """The status in JSON types. `now` and `wall` are the present on both clocks: they turn times into ISO 8601."""

    def iso(moment: float | None) -> str | None:
        if moment is None:
            return None
        return datetime.fromtimestamp(wall - (now - moment), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    document = {"at": iso(now), **dataclasses.asdict(status)}
    document["started_at"] = iso(status.started_at)
    document |= {key: list(document[key]) for key in ("reasons", "schemas", "missing_topics", "partitions")}
    pauses = [each["paused"] for each in (document, *document["partitions"]) if each["paused"] is not None]
    for part in [*document["partitions"], *document["schemas"], *pauses]:
        part["since"] = iso(part["since"])
    for part in document["partitions"]:
        part["moved"] = iso(part["moved"])
        part["oldest"] = iso(None if part["oldest"] is None else now - (wall - part["oldest"]))
    document["figures"] = _plain_figures(status.figures)
    return document


def _plain_figures(figures: Figures) -> dict[str, Any]:
    return {
        "handler_seconds": figures.handler_seconds._asdict(),
        "batch_size": figures.batch_size._asdict(),
        "letters": [each._asdict() for each in figures.letters],
        "decode_seconds": round(figures.decode_seconds, 3),
        "handler_busy_seconds": round(figures.handler_busy_seconds, 3),
        "handler_slots": figures.handler_slots,
    }


class Board:
    """The newest snapshot and the time of the loop's last turn. One thread writes, any may read: references only."""

    def __init__(self) -> None:
        self.status: PollerStatus | None = None
        self._beat: float | None = None

    def publish(self, status: PollerStatus) -> None:
        """Show this snapshot from now on."""
        self.status = status

    def beat(self, now: float) -> None:
        """The loop has turned."""
        self._beat = now

    def silent_for(self, now: float) -> float | None:
        """Seconds since the loop last turned; None when it never did."""
        beat = self._beat
        return None if beat is None else max(0.0, now - beat)

    def alive(self, now: float, limit: float = LIVE_SECONDS) -> bool:
        """Whether the loop turned within `limit` seconds."""
        silent = self.silent_for(now)
        return silent is not None and silent <= limit
