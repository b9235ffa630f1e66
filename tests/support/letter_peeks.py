"""Whole letters as they lie in a place, read by a client of the test's own that takes nothing away.

Nothing of the poller's own stores is used: what they promise is what is tested.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Protocol

from support.on_aws import OnAws
from support.running import Stage
from support.sink_places import LETTER_HEADER, BucketPlace, FilePlace, Letters, QueuePlace, SinkPlace, TopicPlace

LEDGER_HEADER = "datahub-poller-redrive-ledger"


class Peek(Protocol):
    """A place, and all that lies there."""

    place: SinkPlace

    def letters(self) -> Letters:
        """Whole letters, as often as they lie there."""


class FilePeek:
    """The files of a stage, rotated ones too."""

    def __init__(self, stage: Stage) -> None:
        self.place = FilePlace(stage)
        self.place.section = {"type": "file", "config": {"ephemeral": "accept", "rotate": "64KiB"}}
        self._stage = stage

    def letters(self) -> Letters:
        files = [path for path in self._stage.letters_directory.glob("*/*.log") if path.name != "redrive.log"]
        return [json.loads(line) for path in sorted(files) for line in path.read_bytes().splitlines()]


class TopicPeek:
    """A topic: a letter is its message and its header."""

    def __init__(self, stage: Stage, topic: str, **config: Any) -> None:
        stage.bed.create_topic(topic, 2)
        self.place = TopicPlace(stage.bed.bootstrap, topic, **config)

    def letters(self) -> Letters:
        self.place._read()
        found = []
        for message in self.place.messages:
            headers = message.headers() or []
            if any(name == LEDGER_HEADER for name, _ in headers):
                continue
            letter = json.loads(dict(headers)[LETTER_HEADER])
            own = headers[: letter["meta"].pop("headers")]
            raw = {"key": message.key(), "value": message.value()}
            letter["meta"]["raw"] = {name: _base64(value) for name, value in raw.items()}
            letter["meta"]["raw"]["headers"] = [[name, _base64(value)] for name, value in own]
            found.append(letter)
        return found


class QueuePeek:
    """A queue, and the objects that its messages point to. What is looked at is shown again at once.

    A FIFO queue shows no more than ten messages before some are deleted: of one, what it took is what the proxy saw,
    without the large letters that were dealt with, whose objects are gone with them.
    """

    def __init__(self, aws: OnAws, *, fifo: bool) -> None:
        self._aws = aws
        self._bucket = aws.bucket()
        self._fifo = fifo
        limit = 256 * 1024  # as it was before 2025, and still is for queues that say so
        self.url = aws.queue(fifo=fifo, MaximumMessageSize=str(limit))
        self.place = QueuePlace(aws, fifo=fifo, overflow=f"s3://{self._bucket.name}/large")
        self.place.url = self.url
        self.place.section["config"]["queue"] = self.url
        self.overflown = 0

    def letters(self) -> Letters:
        self.overflown = 0
        if not self._fifo:
            return [self._letter(json.loads(body)) for body in self._shown()]
        bodies = [json.loads(body) for body in self._taken()]
        here = set(self._aws.keys(self._bucket))
        return [self._letter(body) for body in bodies if "s3" not in body or body["s3"]["key"] in here]

    def waiting(self) -> tuple[int, int]:
        """How many messages are to be seen, and how many are hidden."""
        return self._aws.waiting(self.url)

    def let_go(self) -> None:
        """When what a dead reader held shows itself, the emulator gives the last of a FIFO queue's group first.

        Received and shown again, it gives them in their order, as SQS does.
        """
        self._shown()

    def _taken(self) -> list[str]:
        sent = [each.json() for each in self._aws.proxy.asked("sqs:SendMessageBatch") if each.status == 200]
        return [entry["MessageBody"] for each in sent if each["QueueUrl"] == self.url for entry in each["Entries"]]

    def _shown(self) -> list[str]:
        received: list[dict[str, Any]] = []
        while found := self._aws.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            received += found
        for each in received:
            self._aws.sqs.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0
            )
        return [each["Body"] for each in received]

    def count(self) -> int:
        """Messages that are there, hidden ones too."""
        return sum(self._aws.waiting(self.url))

    def _letter(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("format") != "datahub-poller/pointer":
            return body
        self.overflown += 1
        assert body["s3"]["bucket"] == self._bucket.name
        letter: dict[str, Any] = json.loads(self._aws.content(self._bucket, body["s3"]["key"]))
        return letter


class BucketPeek:
    """A bucket, but for the ledger in it."""

    def __init__(self, aws: OnAws) -> None:
        self.place = BucketPlace(aws)
        self._aws = aws

    def letters(self) -> Letters:
        bucket = self.place.bucket
        keys = [key for key in self._aws.keys(bucket) if "/_redrive/" not in key]
        return [json.loads(line) for key in keys for line in self._aws.content(bucket, key).splitlines()]


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
