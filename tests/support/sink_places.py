"""Where the dead letters of a poller under test go, read from outside: by clients of the test's own, past any fault.

A place gives the section of the action file that lets letters go there, and what lies there. While it cannot be
read it gives what it gave before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from botocore.exceptions import ClientError
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from support.brokers import QUIET
from support.moto_server import REGION, MotoServer
from support.on_aws import OnAws
from support.running import Stage

Letters = list[dict[str, Any]]
LETTER_HEADER = "datahub-poller-letter"
ASK_SECONDS = 1.0
READ_SECONDS = 5.0


class SinkPlace(Protocol):
    """Where letters go."""

    section: dict[str, Any]
    """The action file's `dead_letter`."""
    environ: Mapping[str, str]
    """What the poller's environment needs for it."""

    def letters(self) -> Letters:
        """Every letter that ever lay there, as JSON; the same one as often as it was written."""


class FilePlace:
    """The directory of a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.section = {"type": "file", "config": {"ephemeral": "accept"}}
        self.environ: Mapping[str, str] = {}

    def letters(self) -> Letters:
        return self._stage.letters()


class TopicPlace:
    """A topic, of the source's cluster or of another one. `messages` are its records as they were read."""

    def __init__(self, bootstrap: str, topic: str, *, elsewhere: bool = False, **config: Any) -> None:
        own = {"topic": topic, "timeout": "2s", **config} | ({"bootstrap": bootstrap} if elsewhere else {})
        self.section = {"type": "kafka", "config": own}
        self.environ: Mapping[str, str] = {}
        self.messages: list[Message] = []
        self._bootstrap = bootstrap
        self._topic = topic
        self._next: dict[int, int] = {}

    def letters(self) -> Letters:
        with suppress(KafkaException):  # what cannot be read now is read later
            self._read()
        return [json.loads(dict(message.headers() or ())[LETTER_HEADER]) for message in self.messages]

    def renewed(self) -> None:
        """The topic was made anew: it is read from its beginning again."""
        self._next.clear()

    def _read(self) -> None:
        config = {"bootstrap.servers": self._bootstrap, "group.id": "looks-only", "enable.auto.commit": False, **QUIET}
        consumer = Consumer({**config, "fetch.wait.max.ms": 10})
        try:
            described = consumer.list_topics(self._topic, timeout=ASK_SECONDS).topics[self._topic]
            ends = {}
            for number in described.partitions:
                _, end = consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=ASK_SECONDS)
                if end > self._next.get(number, 0):
                    ends[number] = end
            starts = {number: self._next.get(number, OFFSET_BEGINNING) for number in ends}
            consumer.assign([TopicPartition(self._topic, number, start) for number, start in starts.items()])
            until = time.monotonic() + READ_SECONDS
            while any(self._next.get(number, 0) < end for number, end in ends.items()) and time.monotonic() < until:
                for message in consumer.consume(1000, 0.1):
                    if message.error() is None:
                        self.messages.append(message)
                        self._next[message.partition()] = message.offset() + 1
        finally:
            consumer.close()


class _OfAws:
    def __init__(self, aws: OnAws) -> None:
        self._aws = aws
        environ = MotoServer.environment()
        self.environ: Mapping[str, str] = {name: environ[name] for name in environ if name.startswith("AWS_")}

    def _section(self, kind: str, **config: Any) -> dict[str, Any]:
        reached = {"region": REGION, "endpoint": self._aws.proxy.url, "timeout": "3s"}
        return {"type": kind, "config": {**reached, **config}}


class QueuePlace(_OfAws):
    """A queue of SQS. Reading takes the messages out."""

    def __init__(self, aws: OnAws, *, fifo: bool = False, **config: Any) -> None:
        super().__init__(aws)
        self.url = aws.queue(fifo=fifo)
        self.section = self._section("sqs", queue=self.url, **config)
        self._taken: Letters = []

    def letters(self) -> Letters:
        with suppress(ClientError):  # as above
            self._taken += [json.loads(message["Body"]) for message in self._aws.messages(self.url)]
        return self._taken


class BucketPlace(_OfAws):
    """A bucket of S3."""

    def __init__(self, aws: OnAws, **config: Any) -> None:
        super().__init__(aws)
        self.bucket = aws.bucket()
        self.section = self._section("s3", bucket=self.bucket.name, **config)
        self._read: dict[str, Letters] = {}

    def letters(self) -> Letters:
        with suppress(ClientError):  # as above
            for key in self._aws.keys(self.bucket):
                if key not in self._read:
                    lines = self._aws.content(self.bucket, key).splitlines()
                    self._read[key] = [json.loads(line) for line in lines]
        return [letter for letters in self._read.values() for letter in letters]
