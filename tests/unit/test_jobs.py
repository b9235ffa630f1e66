"""What workers do: outcomes of a call, and letters with all that is known of their records."""

from __future__ import annotations

import pytest

from datahub_poller.deadletter.letter import Trial
from datahub_poller.errors import HandlerFailed, Transient
from datahub_poller.invoke.base import Partial, Succeeded
from datahub_poller.jobs import Jobs
from datahub_poller.model import Event, Failure, Record, SchemaKey, TopicPartition, Undecodable
from datahub_poller.parts import Attempt, Doomed, Entry, Lease, Piece
from datahub_poller.works import Away, Delivered, Failed, Invoke, Named, Share, WriteLetters
from support.handlers import envelope

TP = TopicPartition("PlatformEvent_v1", 0)
RECORD = Record(TP, 7, 5, "CREATE_TIME", b"k", b"\x00\x00\x00\x00\x04rest", ())
FAILURE = Failure("handler", "ValueError", "no", response='{"a": 1}')


class Scripted:
    """An invoker that raises or answers what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    def invoke(self, invocation):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Kept(list):
    """A sink in memory."""

    def write(self, letters):
        self.extend(letters)


def jobs(invoker=None, sink=None):
    return Jobs(
        action="tags",
        invoker=invoker,
        sink=sink,
        read=lambda record: Event(envelope(record.offset)),
        clock=lambda: 100.0,
        wall=lambda: 1_700_000_000.0,
        timeout=60.0,
        cluster="c1",
        scrub=lambda text: text.replace("secret", "***"),
    )


def lettered(verdict, *history):
    sink = Kept()
    doomed = Doomed(Entry(RECORD, verdict, 0.0), FAILURE, len(history), "b9", tuple(history))
    assert jobs(sink=sink).letters(WriteLetters(1, Lease(TP), (doomed,)))() == Delivered()
    (letter,) = sink
    return letter


def test_a_letter_has_the_attempts_with_their_times_of_day():
    tries = [Attempt(90.0, "b1", 1, 10, "ValueError: a"), Attempt(99.5, "b9", 2, 1, "ValueError: no")]
    letter = lettered(Event(envelope(7)), *tries)
    assert letter.trials == (
        Trial(1_699_999_990.0, "b1", 1, 10, "ValueError: a"),
        Trial(1_699_999_999.5, "b9", 2, 1, "ValueError: no"),
    )
    assert (letter.attempts, letter.batch_id, letter.at, letter.action) == (2, "b9", 1_700_000_000.0, "tags")


def test_a_letter_has_the_cluster_the_schema_and_the_handlers_response():
    letter = lettered(Event(envelope(7)))
    assert (letter.cluster, letter.schema) == ("c1", SchemaKey("confluent", 4))
    assert letter.failure.response == '{"a": 1}'
    assert letter.envelope == envelope(7)


def test_what_was_undecodable_has_no_event():
    assert lettered(Undecodable(FAILURE)).envelope is None


INVOKE = Invoke(1, "b1", 1, (Share(Lease(TP), Piece([Entry(RECORD, Event(envelope(7)), 0.0)])),), again=False)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Succeeded(), Delivered()),
        (Partial(frozenset({(TP, 7)}), "the secret answer"), Named(frozenset({(TP, 7)}), "the *** answer")),
        (
            HandlerFailed("mine.Bad", "a secret", "in secret", ("mine.Bad", "ValueError"), "secret"),
            Failed(Failure("handler", "mine.Bad", "a ***", "in ***", "***"), ("mine.Bad", "ValueError")),
        ),
        (Transient("not reachable"), Away("not reachable")),
    ],
)
def test_what_a_call_comes_to_is_an_outcome_without_secrets(answer, outcome):
    assert jobs(invoker=Scripted(answer)).invocation(INVOKE)() == outcome
