"""What has become of the demo's records so far: read from the handler's notebook, the dead letters and the broker.

Counts nothing that the poller says of itself, so that its numbers are checked against others' word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from datahub_poller.demo.stage import Coordinate, Fate

_ASK_SECONDS = 2.0


class Tail:
    """The lines of a file that may not be there yet and grows, as JSON, each once and only when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The lines since the last time."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield json.loads(line)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the handler, as it wrote it down. `error` is None if it succeeded."""

    number: int
    attempt: int
    events: tuple[Coordinate, ...]
    told: tuple[str, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """One dead letter."""

    at: Coordinate
    why: str
    undecodable: bool


@dataclass
class Tally:
    """Where every record has ended, against what its fate was to be."""

    delivered: set[Coordinate] = field(default_factory=set)
    dead: set[Coordinate] = field(default_factory=set)
    undecodable: set[Coordinate] = field(default_factory=set)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    invocations: int = 0
    succeeded: int = 0

    def invoked(self, invocation: Invocation) -> None:
        """Count a call of the handler."""
        self.invocations += 1
        if invocation.error is None:
            self.succeeded += 1
            self.delivered.update(invocation.events)

    def given_up(self, letter: GivenUp) -> None:
        """Count a dead letter."""
        (self.undecodable if letter.undecodable else self.dead).add(letter.at)

    def counts(self, produced: Mapping[Coordinate, Fate]) -> dict[str, int]:
        """The numbers in one line."""
        return {
            "produced": len(produced),
            "delivered": len(self.delivered),
            "dead-lettered": len(self.dead),
            "undecodable": len(self.undecodable),
        }

    def problems(self, produced: Mapping[Coordinate, Fate], ends: Mapping[tuple[str, int], int]) -> list[str]:
        """What does not add up, in words; empty when every record has met its fate and all is committed."""
        met: tuple[tuple[Fate, AbstractSet[Coordinate], str], ...] = (
            ("deliver", self.delivered, "delivered"),
            ("fail", self.dead, "dead-lettered"),
            ("undecodable", self.undecodable, "kept as undecodable"),
        )
        found: list[str] = []
        for fate, got, word in met:
            wanted = {at for at, its in produced.items() if its == fate}
            found += [f"{len(wanted - got)} records are not {word}"] if wanted - got else []
            found += [f"{len(got - wanted)} records are {word} that should not be"] if got - wanted else []
        for (topic, partition), end in ends.items():
            committed = self.committed.get((topic, partition), 0)
            found += [f"{topic}-{partition} is committed up to {committed} of {end}"] if committed != end else []
        return found


class Follower:
    """Reads on from where it was. `close` gives up its connection to the broker."""

    def __init__(self, bootstrap: str, group: str, notebook: Path, letters: Path) -> None:
        self._notebook = Tail(notebook)
        self._failed = Tail(letters / "failed_events.log")
        self._undecodable = Tail(letters / "undecodable.log")
        self._number = 0
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})

    def close(self) -> None:
        """Leave the broker; this never was a member of the group."""
        self._consumer.close()

    def invocations(self) -> Iterator[Invocation]:
        """The handler's calls since the last time."""
        for line in self._notebook.new():
            self._number += 1
            events = tuple((topic, partition, offset) for topic, partition, offset in line["events"])
            told = tuple(line["told"])
            yield Invocation(self._number, line["attempt"], events, told, line["error"])

    def given_up(self) -> Iterator[GivenUp]:
        """The dead letters since the last time."""
        for line in self._failed.new():
            yield _letter(line["meta"], undecodable=False)
        for line in self._undecodable.new():
            yield _letter(line["meta"], undecodable=True)

    def committed(self, partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The group's offsets as the broker has them; what it does not say now is left out."""
        asked = [TopicPartition(topic, partition) for topic, partition in partitions]
        try:
            answered = self._consumer.committed(asked, _ASK_SECONDS)
        except KafkaException:
            return {}
        return {(it.topic, it.partition): it.offset for it in answered if it.error is None and it.offset >= 0}


def _letter(about: Mapping[str, Any], *, undecodable: bool) -> GivenUp:
    kafka, failure = about["kafka"], about["failure"]
    at = (kafka["topic"], kafka["partition"], kafka["offset"])
    return GivenUp(at, f"{failure['kind']}: {failure['message']}", undecodable)
