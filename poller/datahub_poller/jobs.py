"""What workers do: an invocation, or a write of letters, as a callable that gives an `Outcome`.

Made on the loop's thread, run on a worker's. What a handler or a sink raises becomes an outcome here; anything
else is a fault of our own and ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from datahub_poller.deadletter.letter import Letter, Past, Trial
from datahub_poller.deadletter.redriven import past_of
from datahub_poller.deadletter.sink import Sink
from datahub_poller.decode.framing import schema_of
from datahub_poller.errors import HandlerFailed, Transient
from datahub_poller.invoke.base import Invocation, Invoker, Partial, Place
from datahub_poller.model import Envelope, Event, Failure, GivenUp, Record, Verdict
from datahub_poller.parts import Doomed, Entry
from datahub_poller.works import Away, Delivered, Failed, Invoke, Named, Outcome, WriteLetters


def past_by_header(record: Record) -> Past:
    """What a record has behind it that came from a topic."""
    return past_of(record.headers)


@dataclass(frozen=True, slots=True)
class Jobs:
    """`read` gives a record's verdict anew: a handler may have changed the envelope that it was given before.

    `scrub` takes secrets out of what a handler's error says; `past` tells what a record has behind it.
    """

    action: str
    invoker: Invoker
    sink: Sink
    read: Callable[[Record], Verdict]
    clock: Callable[[], float]
    wall: Callable[[], float]
    timeout: float
    cluster: str = "unknown"
    scrub: Callable[[str], str] = str
    past: Callable[[Record], Past] = past_by_header

    def invocation(self, work: Invoke) -> Callable[[], Outcome]:
        """One call of the handler with the events of all shares."""
        entries = [entry for share in work.shares for entry in share.piece.entries]
        if work.again:
            events = [self._envelope(entry, again=True) for entry in entries]
        else:  # nearly always
            events = [entry.verdict.envelope for entry in entries if isinstance(entry.verdict, Event)]

        def places() -> Iterator[Place]:
            return ((entry.record.tp.topic, entry.record.tp.partition, entry.offset) for entry in entries)

        def run() -> Outcome:
            invocation = Invocation(
                self.action, work.batch_id, work.attempt, events, self.clock() + self.timeout, places
            )
            try:
                outcome = self.invoker.invoke(invocation)
            except HandlerFailed as error:
                said = self.scrub(str(error)), self.scrub(error.stack), self.scrub(error.response)
                return Failed(Failure("handler", error.kind, *said), error.lineage)
            except Transient as error:
                return Away(str(error))
            if isinstance(outcome, Partial):
                return Named(outcome.failed, self.scrub(outcome.response))
            return Delivered()

        return run

    def letters(self, work: WriteLetters) -> Callable[[], Outcome]:
        """One write of a lane's letters."""
        at, now = self.wall(), self.clock()
        letters = [self._letter(doomed, at, at - now) for doomed in work.doomed]

        def run() -> Outcome:
            try:
                self.sink.write(letters)
            except Transient as error:
                return Away(str(error))
            return Delivered()

        return run

    def _letter(self, doomed: Doomed, at: float, epoch: float) -> Letter:
        """`epoch` is the wall's time when the clock's was 0."""
        record = doomed.entry.record
        return Letter(
            record=record,
            failure=doomed.failure,
            attempts=doomed.attempts,
            envelope=self._envelope_or_none(doomed.entry),
            batch_id=doomed.batch_id,
            action=self.action,
            at=at,
            cluster=self.cluster,
            schema=schema_of(record),
            trials=tuple(Trial(epoch + tried.at, *tried[1:]) for tried in doomed.history),
            past=self.past(record),
        )

    def _envelope(self, entry: Entry, again: bool) -> Envelope:
        verdict: Verdict = entry.verdict
        if again and isinstance(anew := self.read(entry.record), Event):
            verdict = anew
        assert isinstance(verdict, Event)
        return verdict.envelope

    def _envelope_or_none(self, entry: Entry) -> Envelope | None:
        if isinstance(entry.verdict, Event):
            return self._envelope(entry, again=True)
        if not isinstance(entry.verdict, GivenUp):
            return None
        anew = self.read(entry.record)  # a person may have given up what can be read
        return anew.envelope if isinstance(anew, Event) else None
