"""The file of events that every run reads: how it is written, read, framed and kept in the cache.

Owns its form. Knows nothing of how events are made: that imports DataHub's package, takes seconds and memory, and
is therefore a process of its own (`events.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import uuid
import zlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, NamedTuple

from support.jars import cache

TOPICS: Final = ("MetadataChangeLog_Versioned_v1", "MetadataChangeLog_Timeseries_v1", "PlatformEvent_v1")
SCHEMA_IDS: Final = {"MetadataChangeLog": 2, "PlatformEvent": 4}
GLUE_IDS: Final = {name: uuid.UUID(int=0xBE_0000 + number) for name, number in SCHEMA_IDS.items()}
SCHEMA_OF_TOPIC: Final = dict(zip(TOPICS, ("MetadataChangeLog", "MetadataChangeLog", "PlatformEvent"), strict=True))
GENERATOR: Final = Path(__file__).with_name("events.py")

Framing = Literal["confluent", "glue", "glue-zlib"]
FRAMINGS: Final[tuple[Framing, ...]] = ("confluent", "glue", "glue-zlib")
_LENGTHS: Final = struct.Struct("<BHI")


class Entry(NamedTuple):
    """One event without framing: the Avro bytes alone."""

    topic: str
    key: bytes
    body: bytes


class Corpus(NamedTuple):
    """All events in their order, and the texts of the schemas that they are written by."""

    schemas: Mapping[str, str]
    entries: list[Entry]


def write(path: Path, corpus: Corpus) -> None:
    """A line of JSON, then each entry behind its topic's number and its lengths. Appears only when it is complete."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        file.write(json.dumps({"schemas": dict(corpus.schemas)}).encode() + b"\n")
        for entry in corpus.entries:
            file.write(_LENGTHS.pack(TOPICS.index(entry.topic), len(entry.key), len(entry.body)))
            file.write(entry.key + entry.body)
    part.replace(path)


def read(path: Path) -> Corpus:
    """What `write` has written."""
    data = path.read_bytes()
    end = data.index(b"\n")
    entries, at = [], end + 1
    while at < len(data):
        topic, key, body = _LENGTHS.unpack_from(data, at)
        at += _LENGTHS.size
        entries.append(Entry(TOPICS[topic], data[at : at + key], data[at + key : at + key + body]))
        at += key + body
    return Corpus(json.loads(data[:end])["schemas"], entries)


def framed(entry: Entry, framing: Framing) -> bytes:
    """The value of a Kafka record, as the serializer of that registry writes it."""
    schema = SCHEMA_OF_TOPIC[entry.topic]
    if framing == "confluent":
        return b"\0" + SCHEMA_IDS[schema].to_bytes(4, "big") + entry.body
    if framing == "glue":
        return b"\3\0" + GLUE_IDS[schema].bytes + entry.body
    return b"\3\5" + GLUE_IDS[schema].bytes + zlib.compress(entry.body)


def partition_of(key: bytes, partitions: int) -> int:
    """Events of one key stay together, here as in a real cluster."""
    return zlib.crc32(key) % partitions


def made(count: int, seed: int, environ: Mapping[str, str] = os.environ) -> tuple[Path, bool]:
    """The file with so many events of this seed, and whether it had to be made: the cache keeps it.

    A changed generator or another release of DataHub's package makes it anew.
    """
    what = [GENERATOR.read_bytes(), Path(__file__).read_bytes(), version("acryl-datahub").encode()]
    directory = cache(environ) / "benchmarks" / hashlib.sha256(b"\0".join(what)).hexdigest()[:16]
    path = directory / f"events-{count}-{seed}.bin"
    if path.exists():
        return path, False
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-W", "ignore", str(GENERATOR), str(path), "--count", str(count), "--seed", str(seed)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path, True


def cycled(entries: list[Entry], count: int) -> Iterable[Entry]:
    """So many entries: the list from its beginning, again and again."""
    return (entries[number % len(entries)] for number in range(count))
