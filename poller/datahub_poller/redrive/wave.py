"""The letters of one wave by their places: what their records read as, and the letters that they become again.

One thread reads; the sink is the workers'. It must not know when anything is handed out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from datahub_poller.deadletter.letter import NOTHING_BEHIND, Letter, Past
from datahub_poller.deadletter.redriven import past
from datahub_poller.deadletter.sink import Sink
from datahub_poller.model import Awaiting, Envelope, Event, Record, SchemaKey, Skipped, TopicPartition, Verdict
from datahub_poller.redrive.envelopes import cluster_of, envelope_of, record_of
from datahub_poller.redrive.outcomes import Outcome
from datahub_poller.redrive.planning import Case
from datahub_poller.redrive.transform import Left, Transform

Place = tuple[TopicPartition, int]
_ASIDE = Skipped("filtered")


class Wave:
    """What is being handed out. `decode` reads a record as it is today, `transform` repairs its event."""

    def __init__(self, decode: Callable[[Record, float], Verdict], transform: Transform | None = None) -> None:
        self.left: list[Outcome] = []
        """Letters that stay as they are, since they were last taken from here."""
        self._decode = decode
        self._transform = transform
        self._cases: dict[Place, Case] = {}
        self._prepared: dict[Place, Envelope | None] = {}

    def begin(self, cases: Sequence[Case]) -> list[Record]:
        """These are to be handed out now: their records, in this order."""
        self._prepared = {}
        self._cases = {}
        records = []
        for number, case in enumerate(cases):
            record = record_of(case.letter, number)
            self._cases[record.tp, record.offset] = case
            records.append(record)
        return records

    def case_of(self, record: Record) -> Case:
        """Whose record this is."""
        return self._cases[record.tp, record.offset]

    def read(self, record: Record, now: float) -> Verdict:
        """The letter's own event; of a letter without one, what the record reads as today.

        Skipped: nothing can be handed out, and why is in `left`.
        """
        place = record.tp, record.offset
        if place not in self._prepared:
            made = self._prepare(self._cases[place], record, now)
            if isinstance(made, Awaiting):
                return made
            if isinstance(made, Left):
                self.left.append(Outcome(self._cases[place], None, made.reason))
            self._prepared[place] = None if isinstance(made, Left) else made
        envelope = self._prepared[place]
        # A copy: the handler may change what it is given, and what fails is handed out again.
        return _ASIDE if envelope is None else Event(copy.deepcopy(envelope))

    def _prepare(self, case: Case, record: Record, now: float) -> Envelope | Left | Awaiting:
        letter = case.letter
        document, why = letter.document, ""
        if letter.event_type is None and not letter.foreign:
            verdict = self._decode(record, now)
            if isinstance(verdict, Awaiting):
                return verdict
            if isinstance(verdict, Event):
                document = {**document, **{key: verdict.envelope[key] for key in ("event_type", "event")}}
            else:
                why = _why(verdict)
        if self._transform is not None:
            repaired = self._transform(document)
            return repaired if isinstance(repaired, Left) else envelope_of(letter, *repaired)
        if why:
            return Left(why)
        return envelope_of(letter, document["event_type"], document["event"])

    # -- what fails again

    def past(self, record: Record) -> Past:
        """What the record has behind it now."""
        letter = self.case_of(record).letter
        return NOTHING_BEHIND if letter.foreign else past(letter.document)

    def again(self, letter: Letter) -> Letter | None:
        """A letter as it is written when its record failed again; None where there is no record to write."""
        before = self.case_of(letter.record).letter
        if before.foreign:
            return None
        event = before.document["event"]
        envelope = {"event_type": before.event_type, "event": event} if before.event_type is not None else None
        return replace(
            letter,
            cluster=cluster_of(before),
            schema=_schema(before.document) or letter.schema,
            envelope=envelope or self._decoded(letter),
        )

    def _decoded(self, letter: Letter) -> Envelope | None:
        """The event that was decoded now; not what a transform made of it: the letter is of the record as it is."""
        return None if self._transform is not None else letter.envelope


class Again:
    """The action's sink for what failed again. A letter of DataHub Actions' has no record: it stays where it is."""

    def __init__(self, sink: Sink, wave: Wave) -> None:
        self._sink = sink
        self._wave = wave

    @property
    def place(self) -> str:
        """The sink's."""
        return self._sink.place

    def check(self) -> None:
        """As the sink does."""
        self._sink.check()

    def write(self, letters: Sequence[Letter]) -> None:
        """Raises Transient."""
        if ours := [made for letter in letters if (made := self._wave.again(letter)) is not None]:
            self._sink.write(ours)

    def close(self) -> None:
        """As the sink does."""
        self._sink.close()


def _schema(document: Mapping[str, Any]) -> SchemaKey | None:
    schema = document["meta"].get("schema")
    return None if schema is None else SchemaKey(schema["registry"], schema["id"])


def _why(verdict: Verdict) -> str:
    if isinstance(verdict, Skipped):
        return {
            "filtered": "decoded, but the action's filters drop it",
            "tombstone": "it has no value",
            "not_routed": "it is of no kind that the action reads",
        }[verdict.reason]
    return f"still undecodable: {getattr(verdict, 'failure', verdict)}"
