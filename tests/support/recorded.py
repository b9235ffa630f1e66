"""What a recording handler wrote down, and the judges of it: promises checked from outside of the poller.

They see the handler's file, the letters and what the broker says is committed; nothing of the poller's own account.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from datahub_poller.model import TopicPartition


class Place(NamedTuple):
    """A record's own coordinates."""

    topic: str
    partition: int
    offset: int

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


@dataclass(slots=True)
class Call:
    """One invocation. `done` is what it dealt with; `ended` is None where the process died in it."""

    pid: int
    batch_id: str
    attempt: int
    places: list[Place]
    ids: list[str]
    began: float
    envelopes: list[dict[str, Any]]
    ended: float | None = None
    done: set[Place] = field(default_factory=set)


class Recorded:
    """Every call in the order of their beginnings, over all lives of the process."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    @classmethod
    def read(cls, path: Path) -> Recorded:
        """From the handler's file, which may not be there yet. A line cut off at the end is left out."""
        calls: list[Call] = []
        running: dict[tuple[int, str, int], Call] = {}
        text = path.read_text() if path.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            said = json.loads(line)
            key = said["pid"], said["batch_id"], said["attempt"]
            if said["what"] == "begin":
                running[key] = _call(said)
                calls.append(running[key])
            else:
                _end(running.pop(key), said)
        return cls(calls)

    @property
    def begun(self) -> set[Place]:
        """What was handed out at all."""
        return {place for call in self.calls for place in call.places}

    @property
    def done(self) -> set[Place]:
        """What was in a call that succeeded."""
        return {place for call in self.calls for place in call.done}

    @property
    def times_done(self) -> Counter[Place]:
        """How often each succeeded."""
        return Counter(place for call in self.calls for place in call.done)

    @property
    def envelopes(self) -> dict[Place, dict[str, Any]]:
        """The envelope that each was handed out as, where the plan said to keep them."""
        found = {}
        for call in self.calls:
            found |= dict(zip(call.places, call.envelopes, strict=False))
        return found

    def of(self, tp: TopicPartition) -> list[Call]:
        """The calls that held events of a partition."""
        return [call for call in self.calls if any(place.tp == tp for place in call.places)]


def _call(said: dict[str, Any]) -> Call:
    places = [Place(topic, partition, offset) for topic, partition, offset, _, _ in said["events"]]
    ids = [each[4] for each in said["events"]]
    return Call(said["pid"], said["batch_id"], said["attempt"], places, ids, said["at"], said.get("envelopes", []))


def _end(call: Call, said: dict[str, Any]) -> None:
    call.ended = said["at"]
    if said["ok"]:
        call.done = set(call.places)
    elif said["failed"] is not None:
        call.done = set(call.places) - {Place(*each[:3]) for each in said["failed"]}


# -- the judges


def all_accounted_for(recorded: Recorded, letters: Iterable[Place], produced: Iterable[Place]) -> None:
    """Every record was delivered in a call that succeeded, or has a letter."""
    missing = sorted(set(produced) - recorded.done - set(letters))
    assert not missing, f"{len(missing)} records lost: {[str(place) for place in missing[:10]]}"


def first_hand_outs_in_order(recorded: Recorded) -> None:
    """In each life of the process, a partition's records are handed out for the first time in offset order."""
    last: dict[tuple[int, TopicPartition], int] = defaultdict(lambda: -1)
    seen: set[tuple[int, Place]] = set()
    for call in recorded.calls:
        for place in call.places:
            if (call.pid, place) in seen:
                continue
            seen.add((call.pid, place))
            before = last[call.pid, place.tp]
            assert place.offset > before, f"{place} was first handed out after {before} (process {call.pid})"
            last[call.pid, place.tp] = place.offset


def one_call_at_a_time_per_partition(recorded: Recorded) -> None:
    """In each life, no call with records of a partition begins before the one before it has ended."""
    busy: dict[tuple[int, TopicPartition], Call] = {}
    for call in recorded.calls:
        for tp in {place.tp for place in call.places}:
            other = busy.get((call.pid, tp))
            assert other is None or (other.ended is not None and other.ended <= call.began), (
                f"batches {call.batch_id} and {call.batch_id} of {tp} ran at a time"
            )
            busy[call.pid, tp] = call


def commits_not_ahead(
    committed: Mapping[TopicPartition, int],
    recorded: Recorded,
    letters: Iterable[Place],
    produced: Iterable[Place],
) -> None:
    """Everything below a committed offset is delivered or has a letter.

    To be called with what was committed before the file and the letters were read.
    """
    settled = recorded.done | set(letters)
    ahead = [place for place in produced if place.offset < committed.get(place.tp, 0) and place not in settled]
    assert not ahead, f"committed ahead of {[str(place) for place in sorted(ahead)[:10]]}: {committed}"


def to_come_again(committed: Mapping[TopicPartition, int], recorded: Recorded) -> set[Place]:
    """What was delivered and is not committed: after a crash it is delivered twice."""
    return {place for place in recorded.done if place.offset >= committed.get(place.tp, 0)}
