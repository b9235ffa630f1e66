"""Dead letters in a queue of SQS: a message for each, in the order of their partition where the queue is a FIFO one.

A letter that is too large for a message goes to S3 and the message points to it, or is not written at all: never
cut, never left out. It must not know what a line says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from datahub_poller.deadletter.aws_remedies import is_busy
from datahub_poller.deadletter.aws_service import Refused
from datahub_poller.deadletter.letter import Letter
from datahub_poller.deadletter.s3 import check
from datahub_poller.deadletter.s3_keys import below
from datahub_poller.deadletter.sqs_batches import batches, request_limit
from datahub_poller.deadletter.sqs_message import Message, message
from datahub_poller.deadletter.sqs_overflow import Overflow
from datahub_poller.deadletter.sqs_queue import Facts, Failed, Queue
from datahub_poller.errors import CannotStart, Transient

PAUSES: Final = (0.05, 0.2, 0.8)
"""Seconds before what was not taken is sent again within a write."""


class SqsSink:
    """A Sink of messages. `sleep` waits so many seconds between the tries of one write."""

    def __init__(
        self,
        queue: Queue,
        overflow: Overflow | None = None,
        sleep: Callable[[float], None] = time.sleep,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._queue = queue
        self._overflow = overflow
        self._sleep = sleep
        self._pauses = pauses
        self._lock = threading.Lock()
        self._facts: Facts | None = None

    @property
    def place(self) -> str:
        """The queue's URL."""
        return self._queue.url

    def check(self) -> None:
        """Ask the queue what it takes, and put an empty object where letters go that are too large for it."""
        try:
            self._read_facts()
        except Refused as error:
            raise CannotStart(self._unwritten(self._queue.why(error, "sqs:GetQueueAttributes"))) from None
        if self._overflow is not None:
            check(self._overflow.bucket, self._overflow.prefix)

    def write(self, letters: Sequence[Letter]) -> None:
        """Send them all; what the queue does not take at once is sent again a few times before that is an error."""
        facts = self._known_facts()
        self._check_sizes(letters, facts)
        for batch in batches(self._messages(letters, facts), request_limit(facts.limit), fifo=facts.fifo):
            self._send(batch, facts)

    def close(self) -> None:
        """Nothing is held between writes."""

    def _messages(self, letters: Sequence[Letter], facts: Facts) -> Iterator[Message]:
        """One is made when it is about to be sent: the line of one that is too large is put into the bucket then."""
        for letter in letters:
            made = message(letter)
            if made.size > facts.limit and self._overflow is not None:
                made = self._overflown(letter, self._overflow)
            yield made

    def _overflown(self, letter: Letter, overflow: Overflow) -> Message:
        try:
            return overflow.put(letter)
        except Refused as error:
            reason = overflow.bucket.why(error, "s3:PutObject", below(overflow.prefix, ""))
            place = overflow.bucket.address(overflow.prefix)
            raise Transient(f"a dead letter too large for a message cannot be written to {place} ({reason})") from None

    def _check_sizes(self, letters: Sequence[Letter], facts: Facts) -> None:
        """Before anything is sent: what is sent before an error is sent again after it."""
        if self._overflow is not None:
            return
        for letter in letters:
            if (size := message(letter).size) > facts.limit:
                raise Transient(
                    f"the dead letter {letter.id} of {size} bytes is too large for a message of {self.place}, which "
                    f"takes {facts.limit}: name an S3 bucket for such letters in dead_letter.config.overflow"
                )

    def _send(self, batch: list[Message], facts: Facts) -> None:
        left = batch
        for pause in (*self._pauses, None):
            failed = self._tried(left, facts, last=pause is None)
            left = [left[each.number] for each in failed]
            if not left:
                return
            if pause is None or all(each.ours for each in failed):
                self._forget_facts()
                reason = self._queue.why_code(failed[0].code, failed[0].said, "sqs:SendMessage")
                raise Transient(f"{len(left)} of {len(batch)} {self._unwritten(reason)}")
            self._sleep(pause)

    def _tried(self, messages: list[Message], facts: Facts, *, last: bool) -> list[Failed]:
        """What was not taken: all, where the request was refused by a service that is busy and may be asked again."""
        try:
            failed = self._queue.send(messages, fifo=facts.fifo)
        except Refused as error:
            if error.may_be_done:
                self._sent(messages)
            shared = error.may_be_done and self._overflow is not None  # two messages must not share an object
            if is_busy(error.code, error.status) and not last and not shared:
                return [Failed(index, error.code, error.said, ours=False) for index in range(len(messages))]
            self._forget_facts()
            raise Transient(self._unwritten(self._queue.why(error, "sqs:SendMessage"))) from None
        missing = {each.number for each in failed}
        self._sent([each for index, each in enumerate(messages) if index not in missing])
        return failed

    def _sent(self, messages: Sequence[Message]) -> None:
        if self._overflow is not None:
            for each in messages:
                self._overflow.sent(each.name)

    def _known_facts(self) -> Facts:
        with self._lock:
            known = self._facts
        if known is not None:
            return known
        try:
            return self._read_facts()
        except Refused as error:
            raise Transient(self._unwritten(self._queue.why(error, "sqs:GetQueueAttributes"))) from None

    def _read_facts(self) -> Facts:
        found = self._queue.facts()
        with self._lock:
            self._facts = found
        return found

    def _forget_facts(self) -> None:
        """Somebody may have changed the queue's limit."""
        with self._lock:
            self._facts = None

    def _unwritten(self, reason: str) -> str:
        return f"dead letters cannot be written to {self.place} ({reason})"
