"""Dead letters read back from a queue of SQS: hidden while they are looked at, shown again unless they were dealt with.

A queue has no ledger: what was dealt with is deleted. It must not know what a line says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from datahub_poller.deadletter.aws_service import Refused
from datahub_poller.deadletter.sqs_held import Holding
from datahub_poller.deadletter.sqs_message import Pointer, pointer_in
from datahub_poller.deadletter.sqs_overflow import NotFollowed, Overflow
from datahub_poller.deadletter.sqs_queue import Held, Queue
from datahub_poller.deadletter.store import Mark, Stored
from datahub_poller.errors import CannotStart, Transient

HIDDEN: Final = 300
_LEAVING: Final = 5.0
MESSAGE_LIMIT: Final = 100_000
"""Messages that are looked at, at most: a queue lets 120,000 be held."""

_EXPIRED: Final = frozenset(
    {
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
    }
)


class Handle(NamedTuple):
    """By what a message is deleted, and its body in S3 with it."""

    message: str
    receipt: str
    pointer: Pointer | None


class SqsStore:
    """A Store of messages. Received ones stay hidden for `hidden` seconds; a thread of its own renews that in time.

    A scan ends when the queue gives nothing `empties` times in a row, for each of which it waits `wait` seconds.
    `clock` is monotonic; `beat` is how often the thread looks, in seconds, 0 never.
    """

    def __init__(
        self,
        queue: Queue,
        overflow: Overflow | None = None,
        hidden: int = HIDDEN,
        clock: Callable[[], float] = time.monotonic,
        wait: int = 1,
        empties: int = 3,
        limit: int = MESSAGE_LIMIT,
        beat: float | None = None,
    ) -> None:
        self._queue = queue
        self._overflow = overflow
        self._hidden = hidden
        self._holding = Holding(hidden, clock)
        self._wait = wait
        self._empties = empties
        self._limit = limit
        self._beat = hidden / 5 if beat is None else beat
        self._over = threading.Event()
        self._renewing: threading.Thread | None = None

    @property
    def place(self) -> str:
        """The queue's URL."""
        return self._queue.url

    @property
    def caution(self) -> str:
        """What looking does to the queue. Asks the queue; where that is refused, it says what is so of any queue."""
        said = [f"Looking hides messages from other readers for up to {self._hidden} s and counts as a receive."]
        with suppress(Refused):
            facts = self._queue.facts()
            if facts.receives is not None:
                said.append(
                    "Its redrive policy moves a message to the queue's own dead-letter queue after "
                    f"{facts.receives} receives: looking often may move letters there."
                )
            if facts.fifo:
                said.append("A FIFO queue shows only the first messages of each group.")
        return " ".join(said)

    def scan(self) -> Iterator[Stored]:
        """The letters that the queue gives, each once; a FIFO queue gives the next ones of a group when the first are
        deleted. A pointer that leads nowhere is handed out itself, `where` says why.
        """
        empty = given = 0
        while empty < self._empties and given < self._limit:
            received = self._received()
            empty = 0 if received else empty + 1
            for held in received:
                given += 1
                yield self._stored(held)

    def marks(self) -> Iterator[Mark]:
        """None: what was dealt with is not in the queue any more."""
        return iter(())

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        """Delete the messages. One that was shown again meanwhile stays, and will be found once more."""
        self.hold()
        self._delete([stored.handle for stored, _ in marks])

    def remove(self, letters: Sequence[Stored]) -> int:
        """Delete the messages, and count those that are gone."""
        self._delete([stored.handle for stored in letters])
        return sum(self._holding.is_gone(stored.handle.message) for stored in letters)

    def hold(self) -> None:
        """Hide what is held for longer, of which more than half the time has passed; what cannot be is let go."""
        due = self._holding.due()
        messages, since = list(due), self._holding.now()
        try:
            failed = self._queue.hide(list(due.values()), self._hidden)
        except Refused:
            return  # it is tried again before the other half has passed
        missing = {messages[each.number] for each in failed}
        self._holding.renewed(set(messages) - missing, since)
        self._holding.let_go(messages[each.number] for each in failed if each.code in _EXPIRED)

    def close(self) -> None:
        """Show every message again that is not deleted. What cannot be shown shows itself when its time is over."""
        self._over.set()
        if self._renewing is not None:
            self._renewing.join(_LEAVING)
        left = self._holding.receipts()
        with suppress(Refused):
            self._queue.hide(list(left.values()), 0)
        self._holding.let_go(left)

    def _received(self) -> list[Held]:
        """What was not received before. What was deleted and comes again, as a queue may do, is deleted again."""
        since = self._holding.now()
        try:
            received = self._queue.receive(self._hidden, self._wait)
            again = [each.receipt for each in received if self._holding.is_gone(each.id)]
            self._queue.delete(again)
        except Refused as error:
            reason = self._queue.why(error, "sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility")
            raise CannotStart(f"dead letters cannot be read from {self.place} ({reason})") from None
        self._renew_from_now_on()
        kept = [each for each in received if not self._holding.is_gone(each.id)]
        return [each for each in kept if self._holding.take(each.id, each.receipt, since)]

    def _stored(self, held: Held) -> Stored:
        pointer = pointer_in(held.body)
        handle = Handle(held.id, held.receipt, pointer)
        own, where = held.body.encode("utf-8", "surrogatepass") + b"\n", f"message {held.id}"
        if pointer is None:
            return Stored(own, where, handle)
        if self._overflow is None:
            return Stored(own, f"{where} (it points to S3, and dead_letter.config.overflow is not set)", handle)
        try:
            return Stored(self._overflow.follow(pointer), where, handle)
        except NotFollowed as error:
            return Stored(own, f"{where} ({error})", handle)

    def _delete(self, handles: Sequence[Handle]) -> None:
        latest = self._holding.receipts()
        wanted = {each.message: each for each in handles if not self._holding.is_gone(each.message)}
        messages = list(wanted)
        try:
            failed = self._queue.delete([latest.get(each.message, each.receipt) for each in wanted.values()])
        except Refused as error:
            reason = self._queue.why(error, "sqs:DeleteMessage")
            raise Transient(f"dead letters cannot be deleted from {self.place} ({reason})") from None
        missing = {messages[each.number] for each in failed}
        gone = [message for message in messages if message not in missing]
        self._holding.deleted(gone)
        self._delete_bodies([wanted[message].pointer for message in gone])
        self._holding.let_go(messages[each.number] for each in failed if each.code in _EXPIRED)
        stuck = [each for each in failed if each.code not in _EXPIRED]
        if stuck:
            reason = self._queue.why_code(stuck[0].code, stuck[0].said, "sqs:DeleteMessage")
            raise Transient(f"{len(stuck)} dead letters cannot be deleted from {self.place} ({reason})")

    def _delete_bodies(self, pointers: Sequence[Pointer | None]) -> None:
        """After their messages: a body that nothing points to does no harm, the other way round a letter is lost."""
        for pointer in pointers:
            if pointer is not None and self._overflow is not None:
                self._overflow.delete(pointer)

    def _renew_from_now_on(self) -> None:
        if self._renewing is None and self._beat > 0:
            self._renewing = threading.Thread(target=self._renew, name="letters-held", daemon=True)
            self._renewing.start()

    def _renew(self) -> None:
        while not self._over.wait(self._beat):
            self.hold()
