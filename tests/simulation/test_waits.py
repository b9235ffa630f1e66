"""What the log tells of waiting: a registry, a topic, the dead-letter place and Kafka, over minutes of virtual time."""

from __future__ import annotations

import logging

import pytest

from datahub_poller.batching import Limits
from datahub_poller.model import SchemaKey, TopicPartition
from datahub_poller.observe.readiness import not_ready
from datahub_poller.policy import Breaker, Policy
from datahub_poller.works import Away, Delivered
from support.simulation import FAILED, Answer, Simulation

A, B, PE = TopicPartition("mcl", 0), TopicPartition("mcl", 1), TopicPartition("pe", 0)
SMALL = Limits(size=10, window=0.2)
SCHEMA = ("waiting for a schema", "still waiting for a schema", "no longer waiting for a schema")
TOPIC = ("topic does not exist yet: waiting for it", "topic still does not exist", "topic exists now")
SINK = (
    "dead letters could not be written, will be tried again",
    "dead letters still cannot be written",
    "no dead letter waits any more",
)
KAFKA = ("kafka is in trouble", "kafka is still in trouble", "kafka answers again")
COMMITS = ("commit failed, will be tried again", "commits still fail", "no commit fails any more")
GROUP = ("waiting to join the group", "still waiting to join the group", "no longer waiting for the group")
SIX_MINUTES = 360.0


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO)

    def lines(*events):
        return [
            (record.getMessage(), record.datahub_poller_fields)
            for record in caplog.records
            if record.getMessage() in events
        ]

    return lines


def whole(lines, words):
    """The fields of a wait of five minutes: told at its beginning, four times while it lasted, and at its end."""
    begins, lasts, ends = words
    assert [event for event, _ in lines] == [begins, *[lasts] * 4, ends]
    assert 298 <= lines[-1][1]["seconds"] <= 302
    return [fields for _, fields in lines]


def test_a_registry_that_is_away_for_five_minutes(log):
    sim = Simulation({"mcl": 2}, limits=SMALL)
    sim.write(A, "good", key=7)
    sim.write(B, "good", key=8)
    sim.after(300, lambda: [sim.desk.schema(SchemaKey("confluent", number), 0.0) for number in (7, 8)])
    sim.run(sim.seconds(SIX_MINUTES))
    first, second, *_ = whole(log(*SCHEMA), SCHEMA)
    assert first == {
        "schemas": ["confluent schema 7", "confluent schema 8"],
        "see": "source.config.connection.schema_registry_url",
        "partitions": 2,
        "reason": "the registry answered 503",
    }
    assert second["seconds"] in (61, 62, 63)
    assert sim.all_committed()


def test_a_thousand_partitions_that_wait_for_one_registry_are_one_line(log):
    sim = Simulation({"mcl": 1000}, limits=SMALL, poll_records=2000)
    for number in range(1000):
        sim.write(TopicPartition("mcl", number), "good", key=7)
    sim.run(sim.seconds(10.0))
    ((_, fields),) = log(*SCHEMA)
    assert (fields["partitions"], fields["schemas"]) == (1000, ["confluent schema 7"])


def test_a_schema_that_comes_as_usual_is_not_told(log):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, "good", key=7)
    sim.after(1.5, lambda: sim.desk.schema(SchemaKey("confluent", 7), 0.0))
    sim.run(sim.seconds(30.0))
    assert sim.all_committed()
    assert log(*SCHEMA) == []


def test_a_registry_that_flaps_costs_a_line_a_minute(log):
    """Each schema comes after ten seconds, and then another one is needed."""
    sim = Simulation({"mcl": 1}, limits=SMALL)
    for number in range(20):
        sim.after(20 * number, lambda number=number: sim.write(A, "good", key=number))
        sim.after(20 * number + 10, lambda number=number: sim.desk.schema(SchemaKey("confluent", number), 0.0))
    sim.run(sim.seconds(500.0), limit=900.0)
    lines = log(*SCHEMA)
    assert sim.all_committed()
    assert [event for event, _ in lines[:2]] == [SCHEMA[0], SCHEMA[2]]
    assert 6 <= len(lines) <= 2 + 500 / 60
    assert lines[-1][0] == SCHEMA[2], "the last end is told, if late"


def test_a_topic_that_does_not_exist_beside_one_that_does(log):
    sim = Simulation({"mcl": 1, "pe": 0}, limits=SMALL)
    sim.write(A, "good")
    sim.after(300, lambda: (sim.broker.create_topic("pe", 1), sim.write(PE, "good")))
    sim.run(sim.seconds(SIX_MINUTES))
    first = whole(log(*TOPIC), TOPIC)[0]
    assert first["topic"] == "pe"
    assert first["see"] == "source.config.topic_routes"
    during, after = sim.statuses[100], sim.statuses[-3]
    assert (during.state, during.red, during.reasons) == ("waiting", True, ("topic pe does not exist",))
    assert during.partitions[0].settled == 1, "the other goes on meanwhile"
    assert not_ready(during) is None
    assert (after.state, after.red, after.missing_topics) == ("running", False, ())
    assert sim.all_committed()


def test_where_no_topic_exists_it_is_not_ready_and_says_why(log):
    sim = Simulation({"mcl": 0}, limits=SMALL)
    sim.after(60, lambda: sim.broker.create_topic("mcl", 1))
    sim.run(sim.seconds(120.0))
    during, after = sim.statuses[20], sim.statuses[-3]
    assert (during.state, during.red, during.reasons) == ("waiting", True, ("topic mcl does not exist",))
    assert not_ready(during) == "no partition is assigned: mcl does not exist"
    assert (after.state, not_ready(after)) == ("running", None)
    assert [event for event, _ in log(*TOPIC, *GROUP)] == [TOPIC[0], TOPIC[2]]


def test_a_topic_that_is_deleted_while_it_runs_and_not_made_again(log):
    sim = Simulation({"mcl": 1, "pe": 1}, limits=SMALL)
    sim.after(60, lambda: sim.broker.logs.update(pe=[]))
    sim.run(sim.seconds(190.0))
    assert [event for event, _ in log(*TOPIC)] == [TOPIC[0], TOPIC[1], TOPIC[1]]
    status = sim.statuses[-2]
    assert (status.red, status.reasons) == (True, ("topic pe does not exist",))
    assert [each.topic for each in status.partitions] == ["mcl"]


def test_a_dead_letter_place_that_is_away_for_five_minutes(log, caplog):
    sim = Simulation({"mcl": 2}, limits=SMALL)
    sim.write(A, "junk")
    sim.write(B, "junk")
    away_until = sim.clock.now + 300.0
    answers = iter(range(10_000))
    sim.desk.sink = lambda records: Answer(
        0.1, Away(f"throttled, request {next(answers)}") if sim.clock.now < away_until else Delivered()
    )
    sim.run(sim.seconds(420.0))
    lines = log(*SINK)
    assert [event for event, _ in lines[:5]] == [SINK[0], *[SINK[1]] * 4]
    assert [event for event, _ in lines[5:]] in ([SINK[2]], [SINK[1], SINK[2]]), "the last back-off is a minute"
    assert lines[0][1]["partitions"] == 2
    assert lines[0][1]["see"] == "dead_letter"
    assert "throttled" in lines[0][1]["reason"]
    assert {r.levelno for r in caplog.records if r.getMessage() in SINK[:2]} == {logging.ERROR}


def test_letters_that_hang_in_their_place_are_told(log):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, "junk")
    sim.desk.sink = lambda records: Answer(200.0, Delivered())
    sim.run(sim.seconds(250.0))
    lines = log(*SINK)
    assert [event for event, _ in lines] == [SINK[0], SINK[1], SINK[1], SINK[1], SINK[2]]
    assert lines[0][1]["reason"].startswith("letters are being written for 1")


def test_commits_that_fail_for_five_minutes(log):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.after(10, lambda: (sim.broker.refusals.extend(["not authorized"] * 10_000), sim.write(A, "good")))
    sim.after(310, sim.broker.refusals.clear)
    sim.run(sim.seconds(420.0))
    lines = log(*COMMITS)
    assert [event for event, _ in lines[:5]] == [COMMITS[0], *[COMMITS[1]] * 4]
    assert [event for event, _ in lines[5:]] in ([COMMITS[2]], [COMMITS[1], COMMITS[2]])
    assert lines[0][1] == {"reason": "not authorized"}


def test_a_commit_that_fails_once_is_not_told(log):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.after(10, lambda: (sim.broker.refusals.append("a rebalance"), sim.write(A, "good")))
    sim.run(sim.seconds(60.0))
    assert sim.statuses[-1].counters["commits_failed"] == 1
    assert log(*COMMITS) == []


def test_brokers_that_are_away_for_five_minutes_and_brokers_that_flap(log):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.after(10, lambda: sim.poller.trouble("all brokers are down"))
    for number in range(290):  # with every broker that is tried
        sim.after(11 + number, lambda number=number: sim.poller.trouble(f"broker {number % 3} is down"))
    sim.after(310, lambda: sim.poller.trouble(None))
    for number in range(40):
        sim.after(320 + 10 * number, lambda: sim.poller.trouble("all brokers are down"))
        sim.after(325 + 10 * number, lambda: sim.poller.trouble(None))
    sim.run(sim.seconds(309.0 + 600.0), limit=2000.0)
    lines = log(*KAFKA)
    whole(lines[:6], KAFKA)
    assert 5 <= len(lines[6:]) <= 1 + 600 / 60
    assert lines[-1][0] == KAFKA[2]


def test_a_group_that_takes_long_to_join_is_told(log):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.source.inner._rebalance = lambda: None  # it waits for a member that does not answer
    sim.after(90, lambda: delattr(sim.source.inner, "_rebalance"))
    sim.run(sim.seconds(120.0))
    assert [event for event, _ in log(*GROUP)] == [GROUP[0], GROUP[1], GROUP[2]]


def test_an_open_breaker_and_a_handler_past_its_timeout_are_told_while_they_last(log):
    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), breaker=Breaker(3, 600.0), policy=Policy(attempts=1))
    sim.desk.handler = lambda records: Answer(0.1, FAILED)
    sim.write(A, *["good"] * 5)
    sim.run(sim.seconds(200.0))
    assert len(log("breaker opened")) == 1
    lasts = log("breaker is still open")
    assert len(lasts) == 3
    assert lasts[0][1]["reason"] == "3 records in a row were given up"

    sim = Simulation({"mcl": 1}, limits=Limits(window=0.0), timeout=10.0)
    sim.desk.handler = lambda records: Answer(200.0, Delivered())
    sim.write(A, "good")
    sim.run(sim.seconds(250.0))
    assert len(log("handler is past its timeout and still runs")) == 1
    lines = log("handler still runs past its timeout", "no handler runs past its timeout any more")
    assert [event for event, _ in lines] == ["handler still runs past its timeout"] * 3 + [
        "no handler runs past its timeout any more"
    ]


def test_a_stop_is_no_end_of_waiting(log):
    sim = Simulation({"mcl": 1}, limits=SMALL)
    sim.write(A, "good", key=7)
    sim.run(sim.seconds(30.0))
    assert [event for event, _ in log(*SCHEMA)] == [SCHEMA[0]]
