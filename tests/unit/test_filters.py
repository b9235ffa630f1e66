"""The truth table of DataHub's filters, and what is decided before an event is decoded."""

from __future__ import annotations

from typing import Any

import pytest

from datahub_poller.errors import ConfigError
from datahub_poller.filter_shape import filter_warnings
from datahub_poller.filters import Filter, compile_filters
from datahub_poller.nesting import MOST

MCL = "MetadataChangeLogEvent_v1"
ECE = "EntityChangeEvent_v1"
RCE = "RelationshipChangeEvent_v1"


def item(wanted: Any) -> dict[str, Any]:
    return {"type": "event_type", "config": {"filter": wanted}}


def by_type(event_type: str, *predicates: dict[str, Any]) -> Filter:
    return compile_filters([item({event_type: {"event": list(predicates)}})], None)


def envelope(event: dict[str, Any], event_type: str = ECE) -> dict[str, Any]:
    return {"event_type": event_type, "event": event, "meta": {}}


ABSENT = object()

TRUTH_TABLE = [
    # wanted, event's value, verdict
    ("TAG", "TAG", True),
    ("TAG", "OWNER", False),
    ("TAG", ABSENT, False),
    (None, ABSENT, True),
    (None, None, True),
    (None, "", False),
    (None, 0, False),
    (1, 1, True),
    (1, 1.0, True),
    (1, True, True),
    (0, False, True),
    (1, "1", False),
    (True, True, True),
    ("true", True, False),
    (True, "true", False),
    ("x", ["x"], False),
    ("x", {"x": 1}, False),
    (["a", "b"], "a", True),
    (["a", "b"], "b", True),
    (["a", "b"], "c", False),
    (["a", "b"], ABSENT, False),
    ([None], ABSENT, False),
    ([1], 1, False),
    ([True], True, False),
    (["1"], 1, False),
    (["a"], ["a"], False),
    ([{"a": 1}], {"a": 1}, False),
    ([], "a", False),
    ([], [], False),
    ({}, {}, True),
    ({}, {"a": 1}, True),
    ({}, ABSENT, False),
    ({}, [], False),
    ({}, 1, False),
    ({"a": 1}, {"a": 1, "b": 2}, True),
    ({"a": 1, "b": 2}, {"a": 1}, False),
    ({"a": None}, {}, True),
    ({"a": None}, {"a": None}, True),
    ({"a": ["x", "y"]}, {"a": "y"}, True),
    ({"a": ["x", "y"]}, {"a": ["y"]}, False),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1}}}, True),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": 1}}, False),
    ({}, "{}", True),
    ({}, " { } ", True),
    ({"a": 1}, '{"a": 1}', True),
    ({"a": {"b": 1}}, '{"a": "{\\"b\\": 1}"}', True),
    ({"a": {"b": 1}}, {"a": '{"b": 1}'}, True),
    ({"a": 1}, '{"a": 2}', False),
    ({"a": 1}, "[1]", False),
    ({}, "null", False),
    ({}, "not JSON", False),
    ({}, "", False),
    ({}, '{"a":', False),
]


@pytest.mark.parametrize(("wanted", "value", "verdict"), TRUTH_TABLE)
def test_a_wanted_value_matches_as_the_table_says(wanted: Any, value: Any, verdict: bool) -> None:
    event = {} if value is ABSENT else {"field": value}
    assert by_type(ECE, {"field": wanted}).passes(envelope(event)) is verdict
    legacy = compile_filters([], {"event_type": ECE, "event": {"field": wanted}})
    assert legacy.passes(envelope(event)) is verdict


def test_no_filters_let_everything_through_types_never_heard_of_too() -> None:
    everything = compile_filters([], None)
    assert everything.passes(envelope({}))
    assert everything.passes(envelope({}, "NewEvent_v7"))
    assert everything.admits("NewEvent_v7")
    assert everything.leading_fields == frozenset()
    assert everything.leading({"entityType": "dataset"})


@pytest.mark.parametrize("body", [None, {}, {"event": None}, {"event": [{}]}])
def test_a_type_without_conditions_lets_all_its_events_through(body: Any) -> None:
    chosen = compile_filters([item({ECE: body})], None)
    assert chosen.admits(ECE)
    assert chosen.passes(envelope({"any": "thing"}))
    assert not chosen.admits(RCE)
    assert not chosen.passes(envelope({}, RCE))


def test_an_empty_list_of_predicates_or_of_types_drops_everything() -> None:
    assert not by_type(ECE).passes(envelope({}))
    assert not by_type(ECE).admits(ECE)
    nothing = compile_filters([item({})], None)
    assert not nothing.passes(envelope({}))
    assert not nothing.admits(ECE)
    assert not compile_filters([], {"event_type": []}).admits(ECE)


def test_predicates_are_alternatives_and_their_keys_are_not() -> None:
    chosen = by_type(ECE, {"category": "TAG", "operation": "ADD"}, {"category": "OWNER"})
    assert chosen.passes(envelope({"category": "TAG", "operation": "ADD"}))
    assert chosen.passes(envelope({"category": "OWNER", "operation": "REMOVE"}))
    assert not chosen.passes(envelope({"category": "TAG", "operation": "REMOVE"}))


def test_an_event_must_pass_every_filter_and_the_older_one() -> None:
    chosen = compile_filters(
        [item({ECE: {"event": [{"a": 1}]}, MCL: None}), item({ECE: {"event": [{"b": 1}]}, RCE: None})],
        {"event_type": [ECE, MCL], "event": {"c": 1}},
    )
    assert chosen.passes(envelope({"a": 1, "b": 1, "c": 1}))
    for missing in "abc":
        assert not chosen.passes(envelope({key: 1 for key in "abc" if key != missing}))
    assert [event_type for event_type in (ECE, MCL, RCE) if chosen.admits(event_type)] == [ECE]


def test_the_older_filter_takes_one_type_or_several() -> None:
    assert compile_filters([], {"event_type": MCL}).passes(envelope({}, MCL))
    both = compile_filters([], {"event_type": [MCL, ECE], "event": {}})
    assert both.passes(envelope({}, MCL))
    assert both.passes(envelope({}, ECE))
    assert not both.passes(envelope({}, RCE))


def test_an_aspect_is_looked_into_although_it_is_json_in_a_string() -> None:
    chosen = by_type(
        MCL, {"aspectName": "dataHubExecutionRequestInput", "aspect": {"value": {"executorId": "default"}}}
    )
    event = {
        "aspectName": "dataHubExecutionRequestInput",
        "aspect": {"value": '{"executorId": "default", "args": {}}', "contentType": "application/json"},
    }
    assert chosen.passes(envelope(event, MCL))
    event["aspect"]["value"] = '{"executorId": "other"}'
    assert not chosen.passes(envelope(event, MCL))


def test_parameters_of_an_entity_change_are_a_plain_map() -> None:
    chosen = by_type(ECE, {"parameters": {"tagUrn": ["urn:li:tag:a", "urn:li:tag:b"]}})
    assert chosen.passes(envelope({"parameters": {"tagUrn": "urn:li:tag:b"}}))
    assert not chosen.passes(envelope({"parameters": {"tagUrn": "urn:li:tag:c"}}))
    assert not chosen.passes(envelope({}))


@pytest.mark.parametrize("depth", [MOST, 1_500, 5_000, 200_000])
def test_json_in_a_text_that_nests_too_deeply_does_not_match_and_does_not_raise(depth: int) -> None:
    chosen = by_type(ECE, {"field": {"a": 1}})
    assert not chosen.passes(envelope({"field": '{"a":1,"b":' + "[" * depth + "]" * depth + "}"}))
    assert chosen.passes(envelope({"field": '{"a":1,"b":' + "[" * (MOST - 1) + "]" * (MOST - 1) + "}"}))


def test_leading_fields_decide_what_they_can() -> None:
    chosen = by_type(MCL, {"entityType": "dataset", "aspect": {"value": {"x": 1}}}, {"aspectName": ["status", "tags"]})
    assert chosen.leading_fields == {"entityType", "aspectName"}
    assert chosen.leading({"entityType": "dataset", "aspectName": "other"})
    assert chosen.leading({"entityType": "chart", "aspectName": "tags"})
    assert not chosen.leading({"entityType": "chart", "aspectName": "other"})
    assert not chosen.leading({"entityType": "chart", "aspectName": None})
    assert not chosen.leading({"entityType": "chart"})


def test_one_predicate_without_leading_fields_leaves_its_filter_undecided() -> None:
    chosen = by_type(MCL, {"entityType": "dataset"}, {"aspect": {"value": {"x": 1}}})
    assert chosen.leading_fields == frozenset()
    assert chosen.leading({"entityType": "chart"})


def test_a_wanted_map_for_a_leading_field_is_left_to_the_whole_event() -> None:
    assert by_type(MCL, {"entityUrn": {"a": 1}}).leading_fields == frozenset()


def test_leading_fields_of_several_filters_are_joined_by_and() -> None:
    chosen = compile_filters(
        [item({MCL: {"event": [{"entityType": "dataset"}]}}), item({MCL: {"event": [{"x": 1}]}})],
        {"event_type": MCL, "event": {"changeType": ["UPSERT", "CREATE"], "aspect": {}}},
    )
    assert chosen.leading_fields == {"entityType", "changeType"}
    assert chosen.leading({"entityType": "dataset", "changeType": "CREATE"})
    assert not chosen.leading({"entityType": "dataset", "changeType": "DELETE"})
    assert not chosen.leading({"entityType": "chart", "changeType": "CREATE"})


def test_a_wanted_null_leading_field_matches_an_absent_one() -> None:
    chosen = by_type(MCL, {"entityUrn": None})
    assert chosen.leading({})
    assert chosen.leading({"entityUrn": None})
    assert not chosen.leading({"entityUrn": "urn:li:dataset:x"})


def test_where_change_logs_are_not_wanted_the_leading_fields_drop_them_all() -> None:
    chosen = by_type(ECE, {"category": "TAG"})
    assert not chosen.admits(MCL)
    assert not chosen.leading({"entityType": "dataset"})


BAD = [
    ({"a": 1}, None, "filters: must be a list"),
    (["x"], None, "filters[0]: must be a map"),
    ([{}], None, "filters[0].type: is required"),
    ([{"type": "event_type"}], None, "filters[0].config: is required"),
    ([{"type": "mine:Filter", "config": {}}], None, "filters[0].type: is not a filter type"),
    ([{"type": "event_type", "config": {}}], None, "filters[0].config.filter: is required"),
    ([{"type": "event_type", "config": {"filter": {}, "fitler": {}}}], None, "filters[0].config.fitler: is not a key"),
    ([{"type": "event_type", "config": None}], None, "filters[0].config: must be a map"),
    ([item([ECE])], None, "filters[0].config.filter: must be a map"),
    ([item({ECE: "x"})], None, f"filters[0].config.filter.{ECE}: must be a map"),
    ([item({ECE: {"events": []}})], None, f"filters[0].config.filter.{ECE}.events: is not a key"),
    ([item({ECE: {"event": {"a": 1}}})], None, f"filters[0].config.filter.{ECE}.event: must be a list"),
    ([item({ECE: {"event": [1]}})], None, f"filters[0].config.filter.{ECE}.event[0]: must be a map"),
    ([], ["x"], "filter: must be a map"),
    ([], {}, "filter.event_type: is required"),
    ([], {"event_type": 1}, "filter.event_type: must be an event type"),
    ([], {"event_type": [1]}, "filter.event_type: must be an event type"),
    ([], {"event_type": ECE, "event": [1]}, "filter.event: must be a map"),
    ([], {"event_type": ECE, "evnt": {}}, "filter.evnt: is not a key"),
]


@pytest.mark.parametrize(("filters", "legacy", "message"), BAD)
def test_a_malformed_filter_is_refused_at_its_path(filters: Any, legacy: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_filters(filters, legacy)
    assert any(problem.startswith(message) for problem in caught.value.problems), caught.value.problems


def test_every_malformed_filter_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_filters([item({ECE: {"event": {}}}), "x"], {"event": 1})
    assert len(caught.value.problems) == 4


def test_an_event_type_that_does_not_exist_is_warned_of() -> None:
    warnings = [str(w) for w in filter_warnings([item({"MetadataChangeLog_v1": None})], {"event_type": ["X", ECE]})]
    assert "Did you mean MetadataChangeLogEvent_v1?" in warnings[0]
    assert len(warnings) == 2
