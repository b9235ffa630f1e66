"""Whether an id names another schema by now: asked when bytes fit none that is known under it.

Pure. Questions of an id are numbered from 1. A record that was refused is settled by the first answer to a question
that was asked after that: it was in the log before, so the answer is no older than the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from datahub_poller.decode.reader import Reader
from datahub_poller.model import Record, SchemaKey, TopicPartition

KEPT: Final = 8
"""How many schemas of an id are remembered."""
UNFIT: Final = frozenset({"not_avro", "left_over_bytes"})
"""The kinds of Poison that say that bytes and schema do not belong together."""
SHORTEST_REST: Final = 0.1
LONGEST_REST: Final = 1.0
RESTS: Final = 9.0
"""An id is not asked about again for nine times as long as the last answer took, within these bounds in seconds."""
RECORDS_KEPT: Final = 10_000
DOUBTED: Final = "bytes do not fit the schema that is known under this id, and the registry is asked anew"
ASKED_ANEW: Final = "asked anew, since bytes do not fit the schema that is known under this id"


def may_change(key: SchemaKey) -> bool:
    """Whether the same id may name another schema later: Confluent's integers. GUIDs and Glue's versions never do."""
    return isinstance(key.id, int)


@dataclass(slots=True)
class Question:
    """A schema asked for. `denied` counts the seconds over which the registry kept answering "not found"."""

    since: float
    due: float
    reason: str = "asked for"
    tries: int = 0
    asking: bool = False
    denied: float = 0.0
    last_denial: float | None = None  # None as well after an answer that was no answer


@dataclass(slots=True)
class Doubt:
    """What was asked about an id. `settled` is the last question that was answered; `again`: one more is wanted."""

    asked: int = 0
    settled: int = 0
    question: Question | None = None
    again: bool = False
    _began: float = 0.0
    _rests_until: float = 0.0

    def raised(self, now: float) -> int:
        """Bytes were refused: the number of the question that settles them."""
        if self.question is None:
            self.question = Question(now, max(now, self._rests_until), DOUBTED)
        elif self.question.asking:
            self.again = True
        return self.asked + 1

    def put(self, now: float) -> None:
        """The next question goes out."""
        self.asked += 1
        self.again = False
        self._began = now

    def answered(self, now: float) -> None:
        """The question that was put last is answered, whatever the answer was."""
        self.settled, self.question = self.asked, None
        self._rests_until = now + min(max(RESTS * (now - self._began), SHORTEST_REST), LONGEST_REST)
        if self.again:
            self.raised(now)


class RefusedRecords:
    """By which question each refused record is settled. What is forgotten beyond the limit asks anew."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[TopicPartition, int, int], int] = {}

    def number(self, record: Record) -> int | None:
        """None: it was not refused before."""
        return self._numbers.get(_place(record))

    def settled_by(self, record: Record, number: int) -> None:
        """It was refused for the first time."""
        if len(self._numbers) >= RECORDS_KEPT:
            del self._numbers[next(iter(self._numbers))]
        self._numbers[_place(record)] = number


def _place(record: Record) -> tuple[TopicPartition, int, int]:
    """With its bytes: a topic that was made anew has other ones at the same place."""
    return record.tp, record.offset, hash(record.value)


def named_last(reader: Reader, known: Sequence[Reader]) -> tuple[Reader, ...]:
    """The schemas of an id when the registry has named this one: it first, then the others, the latest seen first."""
    others = (each for each in known if each.fetched != reader.fetched)
    return (reader, *others)[:KEPT]
