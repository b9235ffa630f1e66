"""Which events of which lanes make the next batch, and when. Pure.

A batch takes from free lanes, oldest first: under backlog it holds one partition, in thin traffic it gathers
several, so that a target that is paid per invocation stays cheap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from datahub_poller.lanes import Lane
from datahub_poller.model import Event
from datahub_poller.parts import Entry


@dataclass(frozen=True, slots=True)
class Limits:
    """A batch closes at `size` events, at `bytes` of raw key and value, or `window` seconds after its oldest came."""

    size: int = 100
    window: float = 0.0
    bytes: int = 5 * 1024 * 1024


class Pick(NamedTuple):
    """The first so many events of a lane."""

    lane: Lane
    events: int


def choose(lanes: Iterable[Lane], limits: Limits, now: float, at_once: bool = False) -> list[Pick]:
    """The next batch, or nothing while it may still grow. `at_once` does not wait for the window."""
    heads = _heads(lanes)
    picks: list[Pick] = []
    events = size = 0
    full = False
    for _, lane in heads:
        count, held = lane.ready(limits.size - events, limits.bytes - size)
        if picks and size + held > limits.bytes:
            full = True
            break
        picks.append(Pick(lane, count))
        events += count
        size += held
        full = events >= limits.size or size >= limits.bytes or _cut_by_bytes(lane, count)
        if full:
            break
    if full or (picks and (at_once or now >= heads[0][0].at + limits.window)):
        return picks
    return []


def due_at(lanes: Iterable[Lane], limits: Limits) -> float | None:
    """When the window of the oldest event closes."""
    return min((entry.at + limits.window for entry, _ in _heads(lanes)), default=None)


def _heads(lanes: Iterable[Lane]) -> list[tuple[Entry, Lane]]:
    heads = [
        (entry, lane)
        for lane in lanes
        if lane.free and (entry := lane.head()) is not None and isinstance(entry.verdict, Event)
    ]
    heads.sort(key=lambda pair: pair[0].at)
    return heads


def _cut_by_bytes(lane: Lane, count: int) -> bool:
    # An event that stays behind although it is ready did not fit: the batch is as full as it gets.
    return len(lane.pending) > count and isinstance(lane.pending[count].verdict, Event)
