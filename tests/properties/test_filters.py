"""Laws of filters: the leading fields never drop what the whole event would pass, and no event makes one raise."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.filters import LEADING_FIELDS, compile_filters

MCL = "MetadataChangeLogEvent_v1"
TYPES = st.sampled_from([MCL, "EntityChangeEvent_v1", "RelationshipChangeEvent_v1", "Other_v1"])
WORDS = st.sampled_from(["dataset", "chart", "UPSERT", "", "1", "true", '{"a": 1}', "[1]", "null", "{"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from([0.0, 1.0]), WORDS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2).map(json.dumps),
    ),
    max_leaves=5,
)
FIELDS = st.sampled_from([*sorted(LEADING_FIELDS), "aspect", "category"])
BODIES = st.dictionaries(FIELDS, JSON, max_size=4)
ITEMS = st.dictionaries(
    TYPES,
    st.none() | st.fixed_dictionaries({}, optional={"event": st.none() | st.lists(BODIES, max_size=3)}),
    max_size=3,
).map(lambda wanted: {"type": "event_type", "config": {"filter": wanted}})
LEGACY = st.none() | st.fixed_dictionaries(
    {"event_type": TYPES | st.lists(TYPES, max_size=3)}, optional={"event": st.none() | BODIES}
)
FILTERS = st.builds(compile_filters, st.lists(ITEMS, max_size=3), LEGACY)


@given(FILTERS, BODIES)
def test_what_the_leading_fields_drop_the_whole_event_would_not_pass(chosen: Any, event: dict[str, Any]) -> None:
    lead = {field: event.get(field) for field in chosen.leading_fields}
    if not chosen.leading(lead):
        assert not chosen.passes({"event_type": MCL, "event": event, "meta": {}})


@given(FILTERS, BODIES)
def test_an_absent_leading_field_is_the_same_as_a_null(chosen: Any, event: dict[str, Any]) -> None:
    lead = {field: event.get(field) for field in chosen.leading_fields}
    assert chosen.leading(lead) == chosen.leading({key: value for key, value in lead.items() if value is not None})


@given(FILTERS, TYPES, BODIES)
def test_what_passes_is_of_an_admitted_type(chosen: Any, event_type: str, event: dict[str, Any]) -> None:
    if chosen.passes({"event_type": event_type, "event": event, "meta": {}}):
        assert chosen.admits(event_type)


@given(st.lists(ITEMS, max_size=3), LEGACY, TYPES, BODIES)
def test_filters_together_are_the_filters_one_by_one(
    items: list[Any], legacy: Any, event_type: str, event: dict[str, Any]
) -> None:
    envelope = {"event_type": event_type, "event": event, "meta": {}}
    together = compile_filters(items, legacy).passes(envelope)
    alone = [compile_filters([item], None) for item in items] + ([compile_filters([], legacy)] if legacy else [])
    assert together == all(one.passes(envelope) for one in alone)


@given(st.lists(ITEMS, min_size=1, max_size=3), TYPES, BODIES)
def test_the_order_of_filters_changes_nothing(items: list[Any], event_type: str, event: dict[str, Any]) -> None:
    envelope = {"event_type": event_type, "event": event, "meta": {}}
    assert compile_filters(items, None).passes(envelope) == compile_filters(items[::-1], None).passes(envelope)
