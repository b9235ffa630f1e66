"""A queue: sending, receiving, hiding and deleting messages, at most ten in a request, and why SQS refuses.

It must not know what a message says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson

from datahub_poller.aws import Account
from datahub_poller.deadletter.aws_remedies import sqs_remedy
from datahub_poller.deadletter.aws_service import Refused, Service
from datahub_poller.deadletter.sqs_batches import ENTRIES, OLD_BYTES
from datahub_poller.deadletter.sqs_message import Message

_ASKED: Final = ["MaximumMessageSize", "FifoQueue", "RedrivePolicy"]
_NO_ATTRIBUTE: Final = "InvalidAttributeName"


class Facts(NamedTuple):
    """What the queue says of itself. `limit` is in bytes of a message; `receives` after which it moves one away."""

    fifo: bool
    limit: int
    receives: int | None


class Failed(NamedTuple):
    """Why one entry of a request was refused, by its number; `ours`: it will not do better another time."""

    number: int
    code: str
    said: str
    ours: bool


class Held(NamedTuple):
    """A received message: what it says and by what it is deleted."""

    id: str
    body: str
    receipt: str


class Queue:
    """Everything raises Refused."""

    def __init__(self, account: Account, url: str) -> None:
        self.url = url
        self._service = Service(account, "sqs")

    def why(self, error: Refused, right: str) -> str:
        """A refusal in words: what stands in the way and what to do. `right` is what is needed on the queue."""
        return self.why_code(error.code, error.said, right)

    def why_code(self, code: str, said: str, right: str) -> str:
        """The same, of an entry's refusal."""
        remedy = sqs_remedy(code, right, self.url)
        return f"{code}: {remedy}. {said}" if remedy else f"{code}: {said}"

    def facts(self) -> Facts:
        """One request; a standard queue of an older emulator may refuse to be asked for what FIFO queues have."""
        try:
            found = self._attributes(_ASKED)
        except Refused as error:
            if error.code != _NO_ATTRIBUTE:
                raise
            found = self._attributes(["All"])
        fifo = found.get("FifoQueue") == "true" or self.url.endswith(".fifo")
        return Facts(fifo, int(found.get("MaximumMessageSize", OLD_BYTES)), _receives(found.get("RedrivePolicy")))

    def send(self, messages: Sequence[Message], *, fifo: bool) -> list[Failed]:
        """Which of at most ten messages were not taken. What the answer does not mention was not."""
        entries = [message.entry(number, fifo=fifo) for number, message in enumerate(messages)]
        return self._each(lambda sqs: sqs.send_message_batch(QueueUrl=self.url, Entries=entries), len(entries))

    def receive(self, hidden: int, wait: int) -> list[Held]:
        """At most ten messages, hidden for so many seconds; waits so long for the first."""
        found = self._service.ask(
            lambda sqs: sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=ENTRIES, VisibilityTimeout=hidden, WaitTimeSeconds=wait
            )
        )
        return [Held(each["MessageId"], each["Body"], each["ReceiptHandle"]) for each in found.get("Messages", ())]

    def delete(self, receipts: Sequence[str]) -> list[Failed]:
        """Which were not deleted; any number."""
        return self._in_parts(receipts, lambda part, sqs: sqs.delete_message_batch(QueueUrl=self.url, Entries=part), {})

    def hide(self, receipts: Sequence[str], seconds: int) -> list[Failed]:
        """Which were not hidden for so many seconds from now; 0 shows them. Any number."""
        return self._in_parts(
            receipts,
            lambda part, sqs: sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=part),
            {"VisibilityTimeout": seconds},
        )

    def _attributes(self, names: list[str]) -> dict[str, str]:
        answer = self._service.ask(lambda sqs: sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names))
        found: dict[str, str] = answer.get("Attributes", {})
        return found

    def _in_parts(
        self, receipts: Sequence[str], request: Callable[[list[dict[str, Any]], Any], Any], more: Mapping[str, Any]
    ) -> list[Failed]:
        failed: list[Failed] = []
        for start, part in _tens(receipts):
            entries = [{"Id": str(number), "ReceiptHandle": receipt, **more} for number, receipt in enumerate(part)]
            found = self._each(partial(request, entries), len(entries))
            failed += [each._replace(number=start + each.number) for each in found]
        return failed

    def _each(self, request: Callable[[Any], Any], count: int) -> list[Failed]:
        answer = self._service.ask(request)
        done = {each["Id"] for each in answer.get("Successful", ())}
        refused = {each["Id"]: each for each in answer.get("Failed", ())}
        return [_failed(number, refused.get(str(number), {})) for number in range(count) if str(number) not in done]


def _failed(number: int, entry: Mapping[str, Any]) -> Failed:
    said = str(entry.get("Message", "the answer does not say why"))
    return Failed(number, str(entry.get("Code", "Unmentioned")), said, bool(entry.get("SenderFault")))


def _tens(receipts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    remaining = iter(receipts)
    start = 0
    while part := list(islice(remaining, ENTRIES)):
        yield start, part
        start += len(part)


def _receives(policy: str | None) -> int | None:
    try:
        found = orjson.loads(policy or "{}")
        return int(found["maxReceiveCount"])
    except (ValueError, KeyError, TypeError):
        return None
