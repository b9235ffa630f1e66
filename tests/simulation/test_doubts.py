"""The whole loop with an id whose schema changes, on virtual time: who waits, for how long, and what is told."""

from __future__ import annotations

import itertools

from datahub_poller.batching import Limits
from datahub_poller.decode.schemas import Schemas
from datahub_poller.demo.samples import VERSIONED_TOPIC
from datahub_poller.errors import Transient
from datahub_poller.filters import compile_filters
from datahub_poller.intake import Intake
from datahub_poller.model import TopicPartition
from datahub_poller.policy import Breaker
from datahub_poller.works import Delivered
from support.brokers import Sent
from support.changing import BAD, GOOD, KEY, NEW, OLD, OTHER, Registry
from support.decoding import ROUTES
from support.simulation import Answer, Simulation

A, B = TopicPartition(VERSIONED_TOPIC, 0), TopicPartition(VERSIONED_TOPIC, 1)
ANSWER = 0.02


class Doubting(Simulation):
    """A simulation that decodes for real. Questions take `answer` seconds; both ids are known from the start."""

    def __init__(self, **settings) -> None:
        self.registry = Registry()
        self.answer = ANSWER
        self.asked: list[float] = []
        self.schemas = Schemas({"confluent": self.registry}, self._submit)
        self.intake = Intake("confluent", ROUTES, self.schemas, compile_filters([], None), "c")
        self.intake.ask_again = self.schemas.ask_again
        super().__init__({VERSIONED_TOPIC: 2}, limits=Limits(size=10, window=0.05), **settings)
        self.desk.handler = lambda records: Answer(0.01, Delivered())
        for key in (OTHER, KEY):
            self.schemas.get(key, self.clock.now)
        self.clock.advance(1.0)
        for done in self.desk.take(0.0):
            self.intake.arrived(done, self.clock.now)
        self.asked.clear()

    def _submit(self, ticket, work) -> None:
        self.asked.append(self.clock.now)
        self.desk.question(self.answer, ticket, work)

    def send(self, tp, *values) -> None:
        self.broker.produce_all([Sent(tp.topic, tp.partition, value) for value in values])

    def places(self, kind, tp) -> list[int]:
        """The partition's offsets in calls of this kind, in order."""
        return [offset for call in self.trace.calls(kind) for where, _, offset in call.about["records"] if where == tp]

    def waiting_reasons(self) -> list[str]:
        """Reasons of partitions that waited for a schema, as the status told them."""
        return [each.reason for status in self.statuses for each in status.partitions if each.state == "waiting_schema"]


def test_an_upgrade_is_read_in_order_and_told_once():
    sim = Doubting()
    sim.send(A, *[GOOD[OLD]] * 25)
    sim.after(1.0, lambda: sim.registry.names.update({KEY: NEW}))
    sim.after(1.1, lambda: sim.send(A, *[GOOD[NEW], GOOD[OLD]] * 40))
    sim.after(1.2, lambda: sim.send(B, *[GOOD[NEW]] * 10))
    sim.run(lambda: sim.clock.now > 1_005 and sim.all_committed())
    assert sim.places("invoke", A) == list(range(105))
    assert sim.places("invoke", B) == list(range(10))
    assert sim.places("letters", A) == []
    assert sim.schemas.changes == 1


def test_a_registry_that_is_away_holds_up_the_partition_in_doubt_and_no_other():
    sim = Doubting()
    sim.registry.error = Transient("HTTP 503")
    sim.send(A, *[GOOD[OLD]] * 5, GOOD[NEW], *[GOOD[OLD]] * 500)
    for second in range(60):
        sim.after(second, lambda: sim.send(B, *[GOOD[OLD]] * 10))
    sim.run(sim.seconds(61.0))
    assert sim.places("invoke", A) == [0, 1, 2, 3, 4]
    assert sim.places("invoke", B) == list(range(600))
    assert sim.places("letters", A) == []
    assert any("HTTP 503" in reason for reason in sim.waiting_reasons())
    assert sim.longest_without_poll() < 0.5
    held = sim.ledger.held_bytes()
    assert held == 0 or held < 200 * len(GOOD[OLD])


def test_a_flood_of_bad_records_goes_on_at_a_rate_that_is_bounded_by_the_questions():
    sim = Doubting(breaker=Breaker(1_000_000, 60.0))
    count = 3_000
    sim.send(A, *[BAD if number % 100 == 0 else GOOD[OLD] for number in range(count)])
    sim.send(B, *[BAD] * 1_000)
    began = sim.clock.now
    sim.run()
    assert len(sim.places("invoke", A)) == count * 99 // 100
    assert sim.places("letters", A) == list(range(0, count, 100))
    assert sim.places("letters", B) == list(range(1_000))
    took = sim.clock.now - began
    assert took < 60  # a batch of ten for each second would take 400
    gaps = [after - before for before, after in itertools.pairwise(sim.asked)]
    assert min(gaps) >= 9 * ANSWER


def test_what_the_breaker_holds_is_delivered_when_the_id_names_the_schema_that_wrote_it():
    """The answers come from a server that was not upgraded yet: they confirm, and are wrong."""
    sim = Doubting(breaker=Breaker(20, 30.0))
    sim.send(A, *[GOOD[OLD]] * 5, *[GOOD[NEW]] * 80)
    sim.after(10.0, lambda: sim.registry.names.update({KEY: NEW}))
    sim.run(sim.all_committed)
    reasons = {reason for status in sim.statuses for reason in status.reasons if reason.startswith("breaker open")}
    assert any("19 records in a row are undecodable" in reason or "20 records" in reason for reason in reasons)
    assert all("undecodable" in reason and "left_over_bytes" in reason for reason in reasons)
    assert sorted(sim.places("letters", A) + sim.places("invoke", A)) == list(range(85))
    assert len(sim.places("letters", A)) < 20


def test_bad_records_are_letters_within_a_second():
    sim = Doubting()
    sim.send(A, GOOD[OLD], BAD, GOOD[OLD])
    began = sim.clock.now
    sim.run()
    assert sim.places("letters", A) == [1]
    assert sim.places("invoke", A) == [0, 2]
    assert sim.clock.now - began < 2.0
    assert len(sim.asked) == 1
