"""Filters that DataHub accepts and that let nothing through: told with path, value and likely remedy."""

from __future__ import annotations

from typing import Any

import pytest

from datahub_poller.decode import datahub
from datahub_poller.decode.shapes import TEXTS, WHOLE, RecordShape
from datahub_poller.filter_doubts import filter_doubts
from datahub_poller.filter_fields import FIELDS, Anything, Fields, Kind, Texts, Whole
from datahub_poller.filters import compile_filters
from support.action_files import action_of
from support.decoding import ENTITY_CHANGE as AN_ENTITY_CHANGE

ECE, RCE, MCL = "EntityChangeEvent_v1", "RelationshipChangeEvent_v1", "MetadataChangeLogEvent_v1"


def item(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"type": "event_type", "config": {"filter": wanted}}


def doubts(event_type: str, predicate: dict[str, Any]) -> list[str]:
    return [str(doubt) for doubt in filter_doubts([item({event_type: {"event": [predicate]}})], None)]


def at(event_type: str, field: str) -> str:
    return f"filters[0].config.filter.{event_type}.event[0].{field}"


@pytest.mark.parametrize(
    ("event_type", "predicate", "said"),
    [
        (ECE, {"category": "tag"}, "category: 'tag' matches no event. DataHub writes TAG."),
        (
            ECE,
            {"category": "glossary term"},
            "category: 'glossary term' matches no event. DataHub writes GLOSSARY_TERM.",
        ),
        (ECE, {"category": "OWNER"}, "category: 'OWNER' matches no event. DataHub writes OWNERSHIP."),
        (ECE, {"category": ["TAG", "domain"]}, "category[1]: 'domain' matches no event. DataHub writes DOMAIN."),
        (ECE, {"operation": "add"}, "operation: 'add' matches no event. DataHub writes ADD."),
        (ECE, {"operation": "ADD "}, "operation: 'ADD ' matches no event. DataHub writes ADD."),
        (ECE, {"entityType": "Dataset"}, "entityType: 'Dataset' matches no event. DataHub writes dataset."),
        (ECE, {"entityType": "corpUser"}, "entityType: 'corpUser' matches no event. DataHub writes corpuser."),
        (MCL, {"aspectName": "GlobalTags"}, "aspectName: 'GlobalTags' matches no event. DataHub writes globalTags."),
        (MCL, {"changeType": "upsert"}, "changeType: 'upsert' matches no event. DataHub writes UPSERT."),
        (
            MCL,
            {"changeType": "INSERT"},
            (
                "changeType: 'INSERT' is no changeType that DataHub is known to write. Known: UPSERT, CREATE, UPDATE, "
                "DELETE, PATCH, RESTATE, CREATE_ENTITY."
            ),
        ),
        (RCE, {"operation": "Remove"}, "operation: 'Remove' matches no event. DataHub writes REMOVE."),
        (
            ECE,
            {"category": "TAG*"},
            "category: 'TAG*' matches no event: a filter has no wildcards. Write the whole value, or a list of values.",
        ),
        (
            ECE,
            {"entityUrn": "urn:li:dataset:*"},
            (
                "entityUrn: 'urn:li:dataset:*' matches no event: a filter has no wildcards. Write the whole value, or "
                "a list of values."
            ),
        ),
        (
            ECE,
            {"entityUrn": "sales.orders"},
            "entityUrn: 'sales.orders' matches no event: entityUrn is a URN. It begins with urn:li:.",
        ),
        (ECE, {"version": "3"}, "version: '3' matches no event: version is a number. Write 3, without quotes."),
        (ECE, {"modifier": 3}, 'modifier: 3 matches no event: modifier is text. Write "3", in quotes.'),
        (ECE, {"modifier": True}, 'modifier: true matches no event: modifier is text. Write "true", in quotes.'),
        (
            ECE,
            {"version": [0, 1]},
            (
                "version: [0, 1] matches no event: version is a number. A list matches text alone: write one item of "
                "`event` for each number."
            ),
        ),
        (ECE, {"category": []}, "category: an empty list matches no event. Leave it out, or name the values."),
        (
            ECE,
            {"catagory": "TAG"},
            "catagory: EntityChangeEvent_v1 has no such field, so that no event passes. Did you mean category?",
        ),
        (
            ECE,
            {"entity_type": "dataset"},
            "entity_type: EntityChangeEvent_v1 has no such field, so that no event passes. Did you mean entityType?",
        ),
        (
            ECE,
            {"aspectName": "status"},
            (
                "aspectName: EntityChangeEvent_v1 has no such field, so that no event passes. "
                "MetadataChangeLogEvent_v1 has it."
            ),
        ),
        (
            ECE,
            {"auditStamp": {"user": "x"}},
            (
                "auditStamp.user: auditStamp has no such field, so that no event passes. Known: time, actor, "
                "impersonator, message."
            ),
        ),
        (
            ECE,
            {"auditStamp": {"time": "1"}},
            "auditStamp.time: '1' matches no event: time is a number. Write 1, without quotes.",
        ),
        (
            MCL,
            {"aspect": "x"},
            "aspect: 'x' matches no event: aspect is a map. Name its fields below it: value, contentType.",
        ),
        (MCL, {"headers": {"n": 1}}, 'headers.n: 1 matches no event: n is text. Write "1", in quotes.'),
    ],
)
def test_what_can_let_nothing_through_is_told_with_what_is_likely_meant(
    event_type: str, predicate: dict[str, Any], said: str
) -> None:
    assert doubts(event_type, predicate) == [f"filters[0].config.filter.{event_type}.event[0].{said}"]


@pytest.mark.parametrize(
    ("event_type", "predicate"),
    [
        (ECE, {"category": "TAG", "operation": ["ADD", "REMOVE"], "entityType": "dataset", "version": 0}),
        (ECE, {"category": "SOMETHING_NEW", "operation": "PENDING", "entityType": "ourOwnEntity"}),
        (ECE, {"operation": "CREATED"}),
        (ECE, {"modifier": None, "somethingNew": None}),
        (ECE, {"parameters": {"anything": 1, "or": {"deep": ["x*"]}}}),
        (ECE, {"parameters": "text"}),
        (ECE, {"modifier": "50% off"}),
        (ECE, {"auditStamp": {"actor": "urn:li:corpuser:datahub", "time": 1}}),
        (MCL, {"aspectName": "ourOwnAspect", "aspect": {"value": {"executorId": "default", "n": 1}}}),
        (MCL, {"changeType": ["UPSERT", "RESTATE"], "systemMetadata": {"properties": {"any": "x"}}}),
        (RCE, {"relationshipType": "OwnedBy", "properties": {"any": "x"}, "operation": "RESTATE"}),
        ("SomethingElse_v1", {"anything": 1}),
    ],
)
def test_what_some_datahub_may_write_is_not_warned_of(event_type: str, predicate: dict[str, Any]) -> None:
    assert doubts(event_type, predicate) == []


def test_a_filter_that_an_event_passes_is_not_warned_of() -> None:
    assert doubts(ECE, AN_ENTITY_CHANGE) == []
    passes = compile_filters([item({ECE: {"event": [AN_ENTITY_CHANGE]}})], None).check_of(ECE)
    assert passes(AN_ENTITY_CHANGE)


def test_an_empty_list_of_conditions_and_items_without_a_type_in_common_let_nothing_through() -> None:
    (empty,) = filter_doubts([item({ECE: {"event": []}})], None)
    assert str(empty).startswith(f"filters[0].config.filter.{ECE}.event: an empty list lets no event through")
    (apart,) = filter_doubts([item({ECE: None}), item({MCL: None})], None)
    assert str(apart).startswith("filters: no event type is in every item, so that nothing passes")
    assert list(filter_doubts([item({ECE: None, MCL: None}), item({MCL: None})], None)) == []


def test_the_older_filter_is_judged_for_all_its_event_types_together() -> None:
    def legacy(event_type: Any, body: Any) -> list[str]:
        return [str(each) for each in filter_doubts([], {"event_type": event_type, "event": body})]

    assert legacy(ECE, {"category": "tag"}) == ["filter.event.category: 'tag' matches no event. DataHub writes TAG."]
    assert legacy([ECE, MCL], {"category": "TAG"}) == [], "of one of the types it may pass"
    assert len(legacy([ECE, MCL], {"bogus": 1})) == 1
    assert legacy([], {"bogus": 1}) == []
    assert legacy(ECE, None) == []


def test_an_action_file_has_them_among_its_warnings() -> None:
    warnings = action_of({"filters": [item({ECE: {"event": [{"category": "tag"}]}})]}).warnings
    assert f"{at(ECE, 'category')}: 'tag' matches no event. DataHub writes TAG." in warnings


SHAPES = {ECE: datahub._ENTITY_CHANGE, RCE: datahub._RELATIONSHIP_CHANGE, MCL: datahub.CHANGE_LOG}


@pytest.mark.parametrize("event_type", [ECE, RCE, MCL])
def test_the_fields_are_those_that_events_have(event_type: str) -> None:
    beside = {"parameters"} if event_type == ECE else set()
    same(SHAPES[event_type], FIELDS[event_type], beside)


def same(shape: RecordShape, fields: Any, beside: set[str]) -> None:
    assert {field.name for field in shape.fields} | beside == set(fields)
    for field in shape.fields:
        kind: Kind = fields[field.name]
        if isinstance(field.shape, RecordShape):
            assert isinstance(kind, Fields)
            same(field.shape, kind.fields, set())
        else:
            assert isinstance(kind, Whole) == (field.shape is WHOLE), field.name
            assert isinstance(kind, Texts) == (
                field.shape is TEXTS or "map" in field.name or field.name == "properties"
            )
            assert isinstance(kind, Anything) == (field.name == "value")
