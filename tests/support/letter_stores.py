"""A place for dead letters in memory: what every Store promises, and what it was asked to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from datahub_poller.deadletter.found import Found, found
from datahub_poller.deadletter.letter import Letter, Past, to_line
from datahub_poller.deadletter.store import Done, Mark, Stored
from datahub_poller.errors import CannotStart, Transient
from datahub_poller.model import Failure, Record, TopicPartition


class MemoryStore:
    """A Store of lines. `unreadable`, `unmarkable` and `stuck` make scan, mark and remove raise with that text.

    `cannot_delete`: like a topic, it takes letters out only by what the ledger says.
    """

    def __init__(self, letters: Iterable[Letter | bytes] = (), ledger: Iterable[Mark] = ()) -> None:
        self.lines: dict[int, bytes] = {}
        self.ledger = list(ledger)
        self.removed: list[int] = []
        self.caution = ""
        self.place = "memory"
        self.unreadable = self.unmarkable = self.stuck = ""
        self.cannot_delete = False
        self.closed = False
        for letter in letters:
            self.put(letter)

    def put(self, letter: Letter | bytes) -> None:
        """Lay another letter there."""
        self.lines[len(self.lines) + len(self.removed)] = letter if isinstance(letter, bytes) else to_line(letter)

    def scan(self) -> Iterator[Stored]:
        if self.unreadable:
            raise CannotStart(self.unreadable)
        for number, line in list(self.lines.items()):
            yield Stored(line, f"memory:{number}", number)

    def marks(self) -> Iterator[Mark]:
        if self.unreadable:
            raise CannotStart(self.unreadable)
        return iter(list(self.ledger))

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        if self.unmarkable:
            raise Transient(self.unmarkable)
        for stored, mark in marks:
            assert stored.handle in self.lines, f"{stored.where} is not there"
            self.ledger.append(mark)

    def remove(self, letters: Sequence[Stored]) -> int:
        if self.stuck:
            raise Transient(self.stuck)
        for stored in letters:
            assert stored.handle in self.lines, f"{stored.where} is not there"
            if not self.cannot_delete:
                del self.lines[stored.handle]
                self.removed.append(stored.handle)
        return len(letters)

    def close(self) -> None:
        self.closed = True


def a_letter(offset: int = 7, **changes: Any) -> Letter:
    """A dead letter of `tag-sync`. Changes: `kind`, `message`, `stage`, `stack`, `response`; `topic`, `partition`,
    `key`, `value`; `event` (None: it never became one); `redrives`; and the fields of Letter itself.
    """
    defaults = {"stage": "handler", "kind": "ValueError", "message": "tag unknown", "stack": "", "response": ""}
    failure = Failure(**{name: changes.pop(name, value) for name, value in defaults.items()})
    tp = TopicPartition(changes.pop("topic", "PlatformEvent_v1"), changes.pop("partition", 0))
    key, value = changes.pop("key", b"k"), changes.pop("value", b"\x00bytes")
    record = Record(tp, offset, 1_700_000_000_123, "CREATE_TIME", key, value, changes.pop("headers", ()))
    about = {"entityUrn": f"urn:li:dataset:{offset}", "category": "TAG"}
    event = changes.pop("event", about)
    made = None if event is None else {"event_type": "EntityChangeEvent_v1", "event": event, "meta": {}}
    fields = {"attempts": 3, "batch_id": "b1", "action": "tag-sync", "at": 1_769_846_400.0 + offset, **changes}
    if "redrives" in fields:
        fields["past"] = Past(fields.pop("redrives"))
    return Letter(record, failure, envelope=made, **fields)


def a_mark(letter: Letter, done: Done = "delivered", **changes: Any) -> Mark:
    """What the ledger says of a letter."""
    mark = Mark(letter.action, letter.id, letter.past.redrives, done, 1_769_850_000.0, "op@host", "run-1")
    return mark._replace(**changes)


def as_found(letter: Letter | bytes, where: str = "there:1") -> Found:
    """A letter as it is read back."""
    return found(Stored(letter if isinstance(letter, bytes) else to_line(letter), where), "tag-sync")


ACTIONS_LINE = (
    b'{"event_type": "EntityChangeEvent_v1", "event": {"entityUrn": "urn:li:dataset:old", "category": "TAG"}, '
    b'"meta": {"kafka": {"topic": "PlatformEvent_v1", "partition": 1, "offset": 5}}}\n'
)
"""As DataHub Actions leaves it."""
