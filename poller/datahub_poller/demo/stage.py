"""The demo's stage: broker, registries, topics, and the files that a poller is run with. It also writes the events.

Everything listens on loopback. It knows nothing of the poller but its action file.
"""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import count, islice
from pathlib import Path
from string import Template
from typing import Any, Final, Literal, NamedTuple, Self

from confluent_kafka import Producer

from datahub_poller.demo.broker import MockCluster
from datahub_poller.demo.registry import RegistryServer
from datahub_poller.demo.samples import (
    PLATFORM_TOPIC,
    TIMESERIES_TOPIC,
    VERSIONED_TOPIC,
    Sample,
    SchemaName,
    confluent_frame,
    glue_frame,
    schema_text,
)
from datahub_poller.demo.story import ownership, story
from datahub_poller.demo.world import table_urn

ACTION: Final = "demo"
Fate = Literal["deliver", "fail", "undecodable"]
"""What the poller is to make of a record: deliver it, give it up with the handler's error, or keep its bytes."""

Coordinate = tuple[str, int, int]
"""Topic, partition, and the record's own offset."""

_REBALANCE_DELAY_MS = 100
_FLUSH_SECONDS = 10.0
_FAILING_OWNER = "urn:li:corpuser:zoe.nobody"


class _Topic(NamedTuple):
    partitions: int
    schema: SchemaName
    confluent_id: int
    glue_version: str


def _glue_version(name: str) -> str:
    """Made up, and the same in every demo."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


# The numbers are the schemas' in DataHub's own registry.
_TOPICS: Final = (
    (VERSIONED_TOPIC, _Topic(3, "MetadataChangeLog", 18, _glue_version(VERSIONED_TOPIC))),
    (TIMESERIES_TOPIC, _Topic(2, "MetadataChangeLog", 19, _glue_version(TIMESERIES_TOPIC))),
    (PLATFORM_TOPIC, _Topic(3, "PlatformEvent", 4, _glue_version(PLATFORM_TOPIC))),
)


class Stage:
    """Set up in `directory`, which must exist; taken down by `close`, the files stay.

    `produced` holds the fate of every record that the broker has acknowledged.
    """

    def __init__(self, directory: Path, seed: int = 7) -> None:
        self.directory = directory
        self.action_file = directory / "action.yaml"
        self.handler_file = directory / "demo_handler.py"
        self.notebook = directory / "handled.jsonl"
        self.letters = directory / "letters"
        self.log = directory / "poller.log"
        self.produced: dict[Coordinate, Fate] = {}
        self.status_port = _free_port()
        self._story = story(seed)
        self._number = count()
        self._broker = MockCluster()
        self._registry = RegistryServer()
        self.bootstrap, self.registry_url = self._broker.bootstrap, self._registry.url
        self._producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0, "linger.ms": 1})
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take down registry and broker."""
        self._producer.purge()
        self._producer.flush(0)
        self._registry.stop()
        self._broker.close()

    @property
    def partitions(self) -> list[tuple[str, int]]:
        """Every partition there is."""
        return [(name, number) for name, topic in _TOPICS for number in range(topic.partitions)]

    @property
    def ends(self) -> Mapping[tuple[str, int], int]:
        """For every partition, the offset that the next record gets."""
        ends = dict.fromkeys(self.partitions, 0)
        for topic, partition, offset in self.produced:
            ends[topic, partition] = max(ends[topic, partition], offset + 1)
        return ends

    def tell(self, number: int) -> None:
        """Write the next `number` events of the story, framed for either registry in turn."""
        for sample in islice(self._story, number):
            self._produce(sample, _framed(sample, next(self._number)), "deliver")
        self._flush()

    def spoil(self) -> None:
        """Write the two records that go wrong: one cut off in the middle, one that the handler cannot do."""
        victim = next(self._story)
        whole = _framed(victim, 0)
        self._produce(victim, whole[: len(whole) // 2], "undecodable")
        failing = ownership(table_urn("snowflake", "finance.public.invoices"), _FAILING_OWNER)
        self._produce(failing, _framed(failing, 0), "fail")
        self._flush()

    def _open(self) -> None:
        self._broker.rebalance_delay(_REBALANCE_DELAY_MS)
        for name, topic in _TOPICS:
            self._broker.create_topic(name, topic.partitions)
            self._registry.put(topic.confluent_id, schema_text(topic.schema))
            self._registry.put_version(topic.glue_version, schema_text(topic.schema))
        self._registry.start()
        for path, text in self._files():
            path.write_text(text, "utf-8")

    def _files(self) -> Iterator[tuple[Path, str]]:
        ours = resources.files(__package__)
        yield self.handler_file, (ours / "example_handler.py").read_text("utf-8")
        settings = {
            "bootstrap": self.bootstrap,
            "registry": self.registry_url,
            "letters": str(self.letters),
            "port": self.status_port,
        }
        template = Template((ours / "action.yaml").read_text("utf-8"))
        yield self.action_file, template.substitute({key: json.dumps(value) for key, value in settings.items()})

    def _produce(self, sample: Sample, value: bytes, fate: Fate) -> None:
        def acknowledged(error: Any, message: Any) -> None:
            if error is None:
                self.produced[message.topic(), message.partition(), message.offset()] = fate

        self._producer.produce(sample.topic, value, sample.key, on_delivery=acknowledged)

    def _flush(self) -> None:
        left = self._producer.flush(_FLUSH_SECONDS)
        if left:
            raise RuntimeError(f"the embedded broker did not take {left} records within {_FLUSH_SECONDS:g} s")


def _framed(sample: Sample, number: int) -> bytes:
    """Half for Confluent's registry, a quarter for Glue's as they are, a quarter for Glue's deflated."""
    topic = dict(_TOPICS)[sample.topic]
    match number % 4:
        case 0 | 2:
            return confluent_frame(topic.confluent_id, sample.body)
        case 1:
            return glue_frame(topic.glue_version, sample.body)
        case _:
            return glue_frame(topic.glue_version, sample.body, compress=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
