"""Schemas that arrive, that do not exist, and that nobody can be asked for: on virtual time, with scripted answers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from datahub_poller.decode.reader import Reader
from datahub_poller.decode.schemas import LONGEST_RETRY, Fetch, Schemas
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.errors import Poison, SchemaNotFound, Transient
from datahub_poller.model import Failure, SchemaKey
from datahub_poller.workers import Done

READER = Reader(FetchedSchema('{"type": "record", "name": "R", "fields": []}'))
GOOD, LOST, OTHER = SchemaKey("confluent", 0), SchemaKey("confluent", 7), SchemaKey("confluent", 8)
ELSEWHERE = SchemaKey("glue", "b7b4a7f0-9c96-4e4a-a687-fb5de9ef0c63")
NOT_FOUND, AWAY, FOUND = SchemaNotFound("no such id"), Transient("HTTP 503"), None
PATIENCE, TTL = 30.0, 300.0


class Unasked:
    """A registry whose questions are only counted: the tests answer for it."""

    def fetch(self, key):
        raise AssertionError("nothing is fetched on the poll thread")

    ask_again = fetch

    def reach(self):
        return ""


class Bench:
    """Schemas on a clock of its own; `open` are the questions without an answer yet."""

    def __init__(self) -> None:
        self.now = 100.0
        self.open: list[Fetch] = []
        self.asked: list[Fetch] = []
        registry = Unasked()
        self.schemas = Schemas({"confluent": registry, "glue": registry}, self.submit, PATIENCE, 2.0, TTL)

    def submit(self, ticket, work) -> None:
        assert callable(work)
        assert ticket not in self.open
        self.open.append(ticket)
        self.asked.append(ticket)

    def get(self, key):
        return self.schemas.get(key, self.now)

    def answer(self, ticket: Fetch, error) -> None:
        self.open.remove(ticket)
        self.schemas.arrived(Done(ticket, READER if error is None else None, error), self.now)

    def learn(self, key) -> None:
        assert self.get(key) is None
        self.answer(Fetch(key, control=False), FOUND)

    def live(self, seconds: float, answers, step: float = 0.5) -> None:
        """Let time go by; `answers(ticket)` is the outcome of every question, a moment after it was put."""
        until = self.now + seconds
        while self.now < until:
            for ticket in list(self.open):
                self.answer(ticket, answers(ticket))
            self.now += step
            self.schemas.tick(self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def sane(ticket: Fetch):
    """A registry that has everything but the lost ids."""
    return FOUND if ticket.key == GOOD else NOT_FOUND


def controls(bench: Bench) -> list[Fetch]:
    return [ticket for ticket in bench.asked if ticket.control]


def test_a_schema_is_asked_for_once_and_then_here(bench):
    for _ in range(16):
        assert bench.get(GOOD) is None
    assert bench.asked == [Fetch(GOOD, control=False)]
    assert bench.schemas.fetching()
    bench.schemas.tick(bench.now + 60)
    assert len(bench.asked) == 1
    bench.answer(bench.open[0], FOUND)
    assert bench.get(GOOD) is READER
    assert bench.schemas.waiting() == {}
    assert not bench.schemas.fetching()


def test_the_fetch_is_done_where_it_was_submitted():
    class Registry(Unasked):
        def fetch(self, key):
            return FetchedSchema('{"type": "record", "name": "R", "fields": []}')

    works = []
    schemas = Schemas({"confluent": Registry()}, lambda ticket, work: works.append((ticket, work)))
    schemas.get(GOOD, 0.0)
    ticket, work = works.pop()
    schemas.arrived(Done(ticket, work(), None), 1.0)
    assert isinstance(schemas.get(GOOD, 1.0), Reader)


def test_different_ids_do_not_wait_for_each_other(bench):
    assert bench.get(GOOD) is None
    assert bench.get(LOST) is None
    assert bench.get(ELSEWHERE) is None
    bench.answer(Fetch(LOST, control=False), FOUND)
    assert bench.get(LOST) is READER
    assert bench.get(GOOD) is None


def test_a_registry_that_is_away_is_asked_again_without_end_and_never_makes_poison(bench):
    bench.learn(GOOD)
    bench.get(LOST)
    bench.live(3_600, lambda _: AWAY)
    assert bench.get(LOST) is None
    waiting = bench.schemas.waiting()[LOST]
    assert (waiting.since, waiting.reason) == (100.0, "HTTP 503")
    assert 330 < waiting.tries < 370
    bench.live(11, lambda _: FOUND)
    assert bench.get(LOST) is READER


def test_questions_are_put_after_2_4_8_and_then_every_10_seconds(bench):
    bench.get(LOST)
    times = []
    for _ in range(6):
        bench.answer(Fetch(LOST, control=False), AWAY)
        before = bench.now
        while not bench.open:
            bench.now += 0.25
            bench.schemas.tick(bench.now)
        times.append(bench.now - before)
    assert times == [2, 4, 8, 10, 10, 10]


def test_an_unknown_id_is_poison_after_30_seconds_in_which_the_registry_knew_another(bench):
    bench.learn(GOOD)
    asked_at = bench.now
    bench.get(LOST)
    while bench.get(LOST) is None:
        assert bench.now < asked_at + PATIENCE + 1
        bench.live(0.5, sane)
    failure = bench.get(LOST)
    assert isinstance(failure, Failure)
    assert (failure.stage, failure.kind) == ("decode", "unknown_schema_id")
    assert "confluent schema 7" in failure.message
    assert "no such id" in failure.message
    assert bench.now >= asked_at + PATIENCE
    assert controls(bench)
    assert bench.schemas.waiting() == {}


def test_an_unknown_id_waits_while_no_id_is_known_to_be_good(bench):
    bench.get(LOST)
    bench.live(3_600, lambda _: NOT_FOUND)
    assert bench.get(LOST) is None
    assert controls(bench) == []


def test_a_registry_that_has_lost_what_it_knew_makes_no_poison(bench):
    bench.learn(GOOD)
    bench.get(LOST)
    bench.live(3_600, lambda _: NOT_FOUND)
    assert bench.get(LOST) is None
    assert bench.get(GOOD) is READER
    assert controls(bench)


def test_a_registry_that_loses_everything_half_way_makes_no_poison(bench):
    bench.learn(GOOD)
    bench.get(LOST)
    bench.live(15, sane)
    bench.live(3_600, lambda _: NOT_FOUND)
    assert bench.get(LOST) is None


def test_a_good_id_of_another_registry_says_nothing(bench):
    bench.learn(ELSEWHERE)
    bench.get(LOST)
    bench.live(600, lambda ticket: FOUND if ticket.key == ELSEWHERE else NOT_FOUND)
    assert bench.get(LOST) is None
    assert controls(bench) == []


def test_time_without_an_answer_does_not_count(bench):
    bench.learn(GOOD)
    bench.get(LOST)
    bench.live(20, sane)
    bench.live(600, lambda _: AWAY)
    bench.live(5, sane)
    assert bench.get(LOST) is None
    bench.live(30, sane)
    assert isinstance(bench.get(LOST), Failure)


def test_a_control_that_gets_no_answer_is_no_sign_of_sanity(bench):
    bench.learn(GOOD)
    bench.get(LOST)
    bench.live(600, lambda ticket: AWAY if ticket.control else NOT_FOUND)
    assert bench.get(LOST) is None
    bench.live(25, sane)
    assert isinstance(bench.get(LOST), Failure)


def test_an_id_registered_late_is_read(bench):
    bench.learn(GOOD)
    bench.get(LOST)
    bench.live(25, sane)
    bench.live(6, lambda _: FOUND)
    assert bench.get(LOST) is READER


def test_a_refusal_is_remembered_for_its_time_and_then_asked_for_again(bench):
    bench.learn(GOOD)
    bench.get(LOST)
    bench.live(31, sane)
    asked = len(bench.asked)
    until = bench.now + TTL - 3
    while bench.now < until:
        assert isinstance(bench.get(LOST), Failure)
        bench.live(10, sane)
    assert len(bench.asked) == asked
    bench.live(5, sane)
    assert bench.get(LOST) is None
    assert len(bench.asked) == asked + 1
    bench.live(1, lambda _: FOUND)
    assert bench.get(LOST) is READER


def test_a_schema_that_cannot_be_used_is_refused_at_once_and_for_its_time(bench):
    bench.get(LOST)
    bench.answer(bench.open[0], Poison("unusable_schema", "not Avro"))
    assert bench.get(LOST) == Failure("decode", "unusable_schema", "not Avro")
    bench.now += TTL - 1
    assert isinstance(bench.get(LOST), Failure)
    bench.now += 2
    assert bench.get(LOST) is None


def test_an_error_that_nobody_expected_waits_like_a_registry_that_is_away(bench):
    bench.get(LOST)
    bench.answer(bench.open[0], RuntimeError("a bug"))
    assert bench.get(LOST) is None
    assert bench.schemas.waiting()[LOST].reason == "RuntimeError: a bug"


def test_one_control_at_a_time_however_many_ids_are_unknown(bench):
    bench.learn(GOOD)
    lost = [SchemaKey("confluent", number) for number in range(10, 30)]
    for key in lost:
        bench.get(key)
    for key in lost:
        bench.answer(Fetch(key, control=False), NOT_FOUND)
    assert len(controls(bench)) == 1
    bench.live(31, sane)
    assert all(isinstance(bench.get(key), Failure) for key in lost)


def test_an_answer_that_nobody_waits_for_is_ignored(bench):
    bench.schemas.arrived(Done(Fetch(LOST, control=False), READER, None), bench.now)
    assert bench.get(LOST) is None


KEYS = st.sampled_from([GOOD, LOST, OTHER, ELSEWHERE])


class SchemasMachine(RuleBasedStateMachine):
    """Any order of questions, answers and time. The model keeps each id's run of denials and what was ever found."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.found: set[SchemaKey] = set()
        self.denials: dict[SchemaKey, list[float | None]] = {}
        self.registry_found: dict[str, list[float]] = {"confluent": [], "glue": []}

    @rule(key=KEYS)
    def ask(self, key):
        verdict = self.bench.get(key)
        match verdict:
            case Reader():
                assert key in self.found
            case Failure(kind="unknown_schema_id"):
                run = self.denials[key]
                denied = sum(b - a for a, b in itertools.pairwise(run) if a is not None and b is not None)
                assert denied >= PATIENCE
                assert any(at >= run[-2] for at in self.registry_found[key.registry])
            case Failure(kind=kind):
                assert kind == "unusable_schema"
            case None:
                assert key in self.bench.schemas.waiting()

    @rule(seconds=st.floats(0.1, 40.0))
    def wait(self, seconds):
        self.bench.now += seconds
        self.bench.schemas.tick(self.bench.now)

    @precondition(lambda self: self.bench.open)
    @rule(data=st.data(), outcome=st.sampled_from(["found", "denied", "denied", "denied", "away", "unusable"]))
    def answer(self, data, outcome):
        ticket = data.draw(st.sampled_from(self.bench.open))
        run = self.denials.setdefault(ticket.key, [])
        if outcome == "found":
            self.found.add(ticket.key)
            self.registry_found[ticket.key.registry].append(self.bench.now)
        elif not ticket.control:
            run.append(self.bench.now if outcome == "denied" else None)
        errors = {"found": None, "denied": NOT_FOUND, "away": AWAY, "unusable": Poison("unusable_schema", "no")}
        self.bench.answer(ticket, errors[outcome])

    @invariant()
    def nothing_asked_for_is_forgotten(self):
        open_keys = {ticket.key for ticket in self.bench.open if not ticket.control}
        self.bench.schemas.tick(self.bench.now)
        for key, waiting in self.bench.schemas.waiting().items():
            assert waiting.tries >= 1
            assert waiting.reason
            assert key in open_keys or key not in self.found
        assert len([ticket for ticket in self.bench.open if ticket.control]) <= 2

    @invariant()
    def every_waiting_id_is_asked_for_again_soon(self):
        dues = [each.due for each in self.bench.schemas._missing.values() if not each.asking]
        assert all(due <= self.bench.now + LONGEST_RETRY for due in dues)


TestSchemasMachine = SchemasMachine.TestCase
TestSchemasMachine.settings = settings(max_examples=200, stateful_step_count=40)


class NeverFoundMachine(RuleBasedStateMachine):
    """A registry that never has anything: nothing is ever given up."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()

    @rule(key=KEYS)
    def ask(self, key):
        assert self.bench.get(key) is None

    @rule(seconds=st.floats(0.1, 100.0))
    def wait(self, seconds):
        self.bench.now += seconds
        self.bench.schemas.tick(self.bench.now)

    @precondition(lambda self: self.bench.open)
    @rule(data=st.data(), error=st.sampled_from([NOT_FOUND, AWAY, RuntimeError("odd")]))
    def answer(self, data, error):
        self.bench.answer(data.draw(st.sampled_from(self.bench.open)), error)


TestNeverFoundMachine = NeverFoundMachine.TestCase


def test_a_schema_beyond_the_generator_is_counted():
    bench = Bench()
    fields = ",".join(f'{{"name": "f{number}", "type": "long"}}' for number in range(5_000))
    wide = Reader(FetchedSchema(f'{{"type": "record", "name": "R", "fields": [{fields}]}}'))
    for key, reader in ((GOOD, READER), (LOST, wide)):
        bench.get(key)
        bench.schemas.arrived(Done(Fetch(key, control=False), reader, None), bench.now)
    assert bench.schemas.read_slowly == 1
