"""An event as one line: what stands in it, and that nothing in a record can steer a terminal."""

from __future__ import annotations

import pytest

from datahub_poller.demo.samples import confluent_frame
from datahub_poller.model import Event, Failure, Record, TopicPartition
from datahub_poller.observe.event_line import event_line, time_text, undecodable_line
from support.decoding import (
    ENTITY_CHANGE,
    PLATFORM_ID,
    RELATIONSHIP_CHANGE,
    intake,
    platform_event,
    record,
)

KAFKA = {"topic": "PlatformEvent_v1", "partition": 3, "offset": 72, "timestamp": 1_769_846_400_005}
HEAD = "2026-01-31T08:00:00.005Z PlatformEvent_v1-3@72"


def envelope(event_type: str, **event: object) -> dict:
    return {"event_type": event_type, "event": event, "meta": {"kafka": KAFKA}}


def test_an_entity_change_says_category_operation_and_modifier():
    change = envelope(
        "EntityChangeEvent_v1", entityUrn="urn:li:dataset:x", category="TAG", operation="ADD", modifier="urn:li:tag:a"
    )
    assert event_line(change) == f"{HEAD} EntityChangeEvent_v1 urn:li:dataset:x TAG ADD urn:li:tag:a"


def test_what_is_not_there_leaves_no_hole():
    change = envelope("EntityChangeEvent_v1", entityUrn="urn:li:dataset:x", category="LIFECYCLE", operation="CREATE")
    assert event_line(change).endswith(" urn:li:dataset:x LIFECYCLE CREATE")


def test_a_change_log_says_the_aspect_and_what_became_of_it():
    log = envelope("MetadataChangeLogEvent_v1", entityUrn="urn:li:tag:x", aspectName="status", changeType="UPSERT")
    assert event_line(log) == f"{HEAD} MetadataChangeLogEvent_v1 urn:li:tag:x status UPSERT"


def test_a_change_log_without_an_urn_says_the_entity_type():
    log = envelope("MetadataChangeLogEvent_v1", entityType="tag", changeType="DELETE")
    assert event_line(log).endswith(" MetadataChangeLogEvent_v1 tag DELETE")


def test_a_relationship_change_says_both_ends():
    change = envelope(
        "RelationshipChangeEvent_v1", sourceUrn="a", destinationUrn="b", operation="ADD", relationshipType="OwnedBy"
    )
    assert event_line(change).endswith(" RelationshipChangeEvent_v1 a -> b ADD OwnedBy")


@pytest.mark.parametrize("change", [ENTITY_CHANGE, RELATIONSHIP_CHANGE])
def test_what_the_intake_gives_becomes_a_line(change):
    name = "entityChangeEvent" if change is ENTITY_CHANGE else "relationshipChangeEvent"
    value = confluent_frame(PLATFORM_ID, platform_event(name, change))
    verdict = intake().read(record("PlatformEvent_v1", value, offset=72), 1.0)
    assert isinstance(verdict, Event)
    line = event_line(verdict.envelope)
    assert line.startswith("2026-02-25T06:13:20.123Z PlatformEvent_v1-3@72 ")
    assert all(text in line for text in (change["operation"], change.get("entityUrn", change.get("sourceUrn"))))


def test_an_undecodable_record_says_why_and_how_long_it_is():
    what = Record(TopicPartition("t", 1), 5, -1, "NOT_AVAILABLE", None, b"abc", ())
    line = undecodable_line(what, Failure("decode", "not_avro", "no such branch"))
    assert line == "- t-1@5 UNDECODABLE not_avro: no such branch (3 bytes)"


def test_a_dropped_event_is_marked():
    change = envelope("EntityChangeEvent_v1", entityUrn="x", category="TAG", operation="ADD")
    assert event_line(change, dropped=True).endswith(" TAG ADD (dropped by the filters)")


@pytest.mark.parametrize("evil", ["\x1b[2J", "\n2026-01-31 forged", "\r", "\x9b31m", "\u202e", "\ud800", "\x07"])
def test_nothing_in_a_record_steers_the_terminal_or_ends_the_line(evil):
    fields = dict.fromkeys(("entityUrn", "category", "operation", "modifier"), f"a{evil}b")
    failure = Failure("decode", "not_avro", f"a{evil}b")
    what = Record(TopicPartition("t", 1), 5, 0, "CREATE_TIME", None, b"", ())
    for line in (event_line(envelope("EntityChangeEvent_v1", **fields)), undecodable_line(what, failure)):
        assert evil not in line
        assert line.isprintable()
        assert "\\" in line


def test_each_part_is_painted_by_its_role():
    log = envelope("MetadataChangeLogEvent_v1", entityUrn="u", aspectName="status", changeType="UPSERT")
    painted = event_line(log, lambda text, role: f"<{role}:{text}>")
    assert painted.split(" ")[1:] == [
        "<place:PlatformEvent_v1-3@72>",
        "<type:MetadataChangeLogEvent_v1>",
        "<entity:u>",
        "<change:status>",
        "<change:UPSERT>",
    ]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(-1, "-"), (0, "1970-01-01T00:00:00.000Z"), (10**17, f"{10**17}ms"), (10**30, f"{10**30}ms")],
)
def test_a_time_that_no_calendar_has_is_shown_all_the_same(milliseconds, text):
    assert time_text(milliseconds) == text


def test_values_that_are_no_text_are_shown():
    assert event_line(envelope("MetadataChangeLogEvent_v1", entityUrn=7, changeType=["x"])).endswith(" 7 ['x']")
