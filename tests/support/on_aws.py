"""A place of a test's own on an emulator of AWS, behind a proxy that can refuse: buckets, queues, what lies there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
import pytest

from datahub_poller.aws import Account
from datahub_poller.deadletter.s3_bucket import Bucket, Encryption
from support import recorded_calls
from support.faulting_proxy import FaultingProxy
from support.moto_server import REGION, MotoServer


class OnAws:
    """`account` goes through `proxy`, `persons` too; what the test itself asks goes past it, and is not in its log."""

    def __init__(self, moto: MotoServer, proxy: FaultingProxy) -> None:
        self.proxy = proxy
        self.account = Account(REGION, proxy.url, None, 20.0)
        self.persons = self.account._replace(command=recorded_calls.PERSON)
        self._moto = moto

    def client(self, service: str, region: str = REGION) -> Any:
        """A client past the proxy, and none of the poller's: patient, since the emulator loads a service when asked."""
        return boto3.client(service, region_name=region, endpoint_url=self._moto.url)

    @cached_property
    def s3(self) -> Any:
        """A client past the proxy."""
        return self.client("s3")

    @cached_property
    def sqs(self) -> Any:
        """A client past the proxy."""
        return self.client("sqs")

    def bucket(self, **kept: Any) -> Bucket:
        """A new bucket."""
        name = f"letters-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=name)
        return Bucket(self.account, name, **kept)

    def to_persons(self, bucket: Bucket) -> Bucket:
        """The same bucket as a command of `dead-letters` has it."""
        return Bucket(self.persons, bucket.name)

    def queue(self, *, fifo: bool = False, **attributes: str) -> str:
        """A new queue's URL."""
        name = f"letters-{uuid.uuid4().hex[:12]}" + (".fifo" if fifo else "")
        if fifo:
            attributes["FifoQueue"] = "true"
        url: str = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def keys(self, bucket: Bucket, prefix: str = "") -> list[str]:
        """All keys below the prefix."""
        found = self.s3.list_objects_v2(Bucket=bucket.name, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", ())]

    def content(self, bucket: Bucket, key: str) -> bytes:
        """An object's."""
        found: bytes = self.s3.get_object(Bucket=bucket.name, Key=key)["Body"].read()
        return found

    def messages(self, url: str) -> list[dict[str, Any]]:
        """Takes every message that the queue gives out of it."""
        taken: list[dict[str, Any]] = []
        while found := self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
            WaitTimeSeconds=0,
        ).get("Messages"):
            for message in found:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            taken += found
        return taken

    def waiting(self, url: str) -> tuple[int, int]:
        """How many messages are to be seen, and how many are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


KMS = Encryption("aws:kms", "alias/letters")


@contextmanager
def on_aws(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnAws]:
    """With credentials in the environment that are no real ones."""
    for name, value in moto.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    with FaultingProxy(moto.url) as proxy:
        yield OnAws(moto, proxy)
