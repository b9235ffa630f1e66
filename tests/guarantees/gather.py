"""Reads what a run left behind into the parts of a trace: the handlers' journal, the topics' logs, the dead letters.

Owns the journal's form and a record's digest. It must not judge.
"""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, get_args

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.deadletter.file_names import FAILED_EVENTS, UNDECODABLE
from guarantees.reading import reader, to_the_ends
from guarantees.trace import Call, Due, Kind, Letter, Life, Ownership
from support.recorded import Place

PATIENCE: Final = 60.0
REQUEST: Final = 5.0
KINDS: Final[dict[bytes, Kind]] = {f"{kind}-".encode(): kind for kind in get_args(Kind)}


def digest_of(key: bytes | None, value: bytes | None) -> str:
    """Tells a record's bytes from any others; null is not empty."""
    digest = blake2b(digest_size=8)
    for part in (key, value):
        digest.update(struct.pack(">i", -1 if part is None else len(part)))
        digest.update(part or b"")
    return digest.hexdigest()


# -- the journal


def read_journal(path: Path) -> list[Call]:
    """Every call in the order in which they began. Several processes append to the file.

    That is not the file's order where a process was frozen between taking the time and writing it down. A line that is
    cut off or damaged by a kill is left out, and so is an end whose beginning is not there.
    """
    begun: list[dict[str, Any]] = []
    ends: dict[int, dict[str, Any]] = {}
    running: dict[tuple[str, str, int], int] = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            said = json.loads(line)
            call = said["c"], said["i"], said["a"]
        except (ValueError, TypeError, KeyError):
            continue
        if said["w"] == "b":
            running[call] = len(begun)
            begun.append(said)
        elif (number := running.pop(call, None)) is not None:
            ends[number] = said
    calls = (_call(said, ends.get(number)) for number, said in enumerate(begun))
    return sorted(calls, key=lambda call: call.began)


def _call(begin: dict[str, Any], end: dict[str, Any] | None) -> Call:
    places = tuple(_places(begin["e"]))
    done: frozenset[Place] = frozenset()
    if end is not None and end["ok"]:
        done = frozenset(places)
    elif end is not None and end["f"] is not None:
        done = frozenset(places).difference(_places(end["f"]))
    return Call(begin["c"], begin["i"], begin["a"], places, begin["t"], None if end is None else end["t"], done)


def _places(groups: list[list[Any]]) -> Iterator[Place]:
    for topic, partition, offsets in groups:
        for offset in offsets:
            yield Place(topic, partition, offset)


# -- the group


def under_present_clients(
    ownerships: Sequence[Ownership], lives: Sequence[Life], instances: Mapping[str, str]
) -> list[Ownership]:
    """The accounts of a group with static members, each under the client.id of the process that it is now.

    In a classic group the broker keeps the client.id with which an instance joined first, whatever process has taken
    its place since. `instances` is each process' group.instance.id by its client.id.
    """
    begun: dict[str, list[Life]] = {}
    for life in sorted(lives, key=lambda life: life.began):
        if life.client in instances:
            begun.setdefault(instances[life.client], []).append(life)

    def present(client: str, at: float) -> str:
        mine = begun.get(instances.get(client, ""), [])
        return next((life.client for life in reversed(mine) if life.began <= at), client)

    return [
        each._replace(held={present(client, each.at): held for client, held in each.held.items()})
        for each in ownerships
    ]


# -- the dead letters


def read_letters(directory: Path) -> list[Letter]:
    """All letters of the file sinks below a directory, rotated files included. A line that is torn is left out."""
    found = []
    for name in (FAILED_EVENTS, UNDECODABLE):
        for path in sorted(directory.rglob(f"{name}*")):
            for line in path.read_bytes().split(b"\n"):
                try:
                    said = json.loads(line)
                except ValueError:
                    continue
                found.append(_letter(said))
    return found


def _letter(line: dict[str, Any]) -> Letter:
    about = line["meta"]
    kafka, raw = about["kafka"], about["raw"]
    place = Place(kafka["topic"], kafka["partition"], kafka["offset"])
    digest = digest_of(_decoded(raw["key"]), _decoded(raw["value"]))
    return Letter(place, datetime.fromisoformat(about["at"]).timestamp(), about["id"], digest)


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


# -- the topics


def read_due(bootstrap: str, topics: Iterable[str], patience: float = PATIENCE) -> dict[Place, Due]:
    """What the topics' logs hold at the moment, of committed records, that has to be dealt with."""
    found: dict[Place, Due] = {}
    until = time.monotonic() + patience
    with reader(bootstrap) as consumer:
        messages: Iterator[Any] = to_the_ends(consumer, _partitions(consumer, list(topics), until), until)
        for message in messages:
            key, value = message.key(), message.value()
            if (kind := kind_of(key, value)) is not None:
                place = Place(message.topic(), message.partition(), message.offset())
                found[place] = Due(kind, digest_of(key, value))
    return found


def _partitions(consumer: Consumer, topics: list[str], until: float) -> list[KafkaPartition]:
    """From their low watermarks on."""
    while True:
        try:
            return [each for topic in topics for each in _of_topic(consumer, topic)]
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _of_topic(consumer: Consumer, topic: str) -> list[KafkaPartition]:
    described = consumer.list_topics(topic, timeout=REQUEST).topics[topic]
    if described.error is not None:
        raise KafkaException(described.error)
    found = [KafkaPartition(topic, number) for number in described.partitions]
    for each in found:
        each.offset, _ = consumer.get_watermark_offsets(each, timeout=REQUEST)
    return found


def kind_of(key: bytes | None, value: bytes | None) -> Kind | None:
    """By the key's beginning. None for what is not due: a null value, or a key that says `skip-`."""
    if value is None or key is None or key.startswith(b"skip-"):
        return None
    return KINDS[key[: key.index(b"-") + 1]]
