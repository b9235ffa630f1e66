"""What of a status is a wait, and what its lines say."""

from __future__ import annotations

import logging

import pytest

from datahub_poller.decode.schemas import Schemas
from datahub_poller.model import SchemaKey
from datahub_poller.observe.status import BreakerStatus, PartitionStatus, PollerStatus, SchemaWait
from datahub_poller.observe.waiting import ASKED, UNANSWERED_SECONDS, WaitWatch, waits_of


def status(*partitions, **more):
    return PollerStatus(**{"action": "a", "version": "1", "state": "running", "partitions": partitions, **more})


def stands(number, state, reason):
    return PartitionStatus("t", number, state, reason=reason)


def of_schemas(*waits, heads=None):
    """One partition stands before each of the schemas, or before those whose names are given."""
    names = [wait.schema for wait in waits] if heads is None else heads
    return status(
        *(stands(number, "waiting_schema", f"{name}: why: and more") for number, name in enumerate(names)),
        schemas=waits,
    )


def test_a_registry_is_one_wait_with_the_reason_of_what_has_waited_longest():
    one, two = (
        SchemaWait("confluent schema 4", 5.0, 3, "why: and more"),
        SchemaWait("confluent schema 2", 3.0, 9, "HTTP 401"),
    )
    glue = SchemaWait("glue schema 0-1", 1.0, 2, "denied")
    waits = waits_of(of_schemas(one, two, glue, heads=[one.schema, one.schema, two.schema, glue.schema]))
    assert list(waits) == ["schemas confluent", "schemas glue"]
    assert waits["schemas confluent"].reason == "HTTP 401"
    assert waits["schemas confluent"].about == {
        "schemas": ["confluent schema 2", "confluent schema 4"],
        "see": "source.config.connection.schema_registry_url",
        "partitions": 3,
    }
    assert waits["schemas glue"].about["see"] == "source.config.schema_registry"


def test_a_schema_that_no_partition_stands_before_is_none():
    assert waits_of(of_schemas(SchemaWait("confluent schema 4", 5.0, 3, "why"), heads=[])) == {}


def test_before_the_registry_has_answered_there_is_more_patience():
    schemas = Schemas({"confluent": None}, lambda fetch, work: None)  # type: ignore[dict-item]
    schemas.get(SchemaKey("confluent", 4), 10.0)
    (waiting,) = schemas.waiting().values()
    assert waiting.reason == ASKED
    (wait,) = waits_of(of_schemas(SchemaWait("confluent schema 4", 10.0, 1, waiting.reason))).values()
    assert wait.reason == "the registry has not answered yet"
    assert wait.grace == UNANSWERED_SECONDS


def test_however_many_schemas_ten_are_named():
    waits = waits_of(of_schemas(*(SchemaWait(f"confluent schema {n}", 1.0, 1, "why") for n in range(40))))
    assert len(waits["schemas confluent"].about["schemas"]) == 10
    assert waits["schemas confluent"].about["partitions"] == 40


@pytest.mark.parametrize(
    ("what", "begins", "reason"),
    [
        (status(missing_topics=("x",)), "topic does not exist yet: waiting for it", "the brokers know no such topic"),
        (status(reasons=("kafka: all are down",)), "kafka is in trouble", "all are down"),
        (status(reasons=("commits fail: denied",)), "commit failed, will be tried again", "denied"),
        (
            status(stands(0, "waiting_sink", "no space"), stands(1, "waiting_sink", "no space")),
            "dead letters could not be written, will be tried again",
            "no space",
        ),
        (
            status(stands(0, "writing_letters", "for 12 s by now")),
            "dead letters could not be written, will be tried again",
            "letters are being written for 12 s by now",
        ),
        (
            status(state="starting", counters={"rebalances": 0}),
            "waiting to join the group",
            "it has assigned no partition yet",
        ),
    ],
)
def test_what_else_is_waited_for(what, begins, reason):
    (wait,) = waits_of(what).values()
    assert (wait.words.begins, wait.reason) == (begins, reason)


@pytest.mark.parametrize(
    "what",
    [
        status(),
        status(state="starting"),
        status(stands(0, "idle", ""), stands(1, "writing_letters", ""), stands(2, "paused", "by x")),
        status(breaker=BreakerStatus("closed", 3, 20)),
    ],
)
def test_what_is_none(what):
    assert waits_of(what) == {}


def test_lines_have_the_level_of_their_kind(caplog):
    caplog.set_level(logging.INFO)
    watch = WaitWatch(logging.getLogger("test"))
    for now in range(4):
        watch.look(status(stands(0, "waiting_sink", "no space"), missing_topics=("x",)), float(now))
    watch.look(status(), 4.0)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "topic does not exist yet: waiting for it"),
        ("ERROR", "dead letters could not be written, will be tried again"),
        ("INFO", "topic exists now"),
        ("INFO", "no dead letter waits any more"),
    ]
