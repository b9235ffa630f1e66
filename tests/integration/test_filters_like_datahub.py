"""Our filters give the verdicts of DataHub Actions' own filter classes, on the same envelopes.

One difference, on purpose: a value that is JSON nested deeper than Python's stack raises in DataHub, and
here it does not match. Its own test names it.
"""

from __future__ import annotations

import json
import random
import warnings
from typing import Any, NamedTuple

import pytest

from datahub_poller.filters import compile_filters

pytestmark = pytest.mark.filterwarnings("ignore")

MCL = "MetadataChangeLogEvent_v1"
ECE = "EntityChangeEvent_v1"
TYPES = [MCL, ECE, "RelationshipChangeEvent_v1", "Unknown_v1"]
FIELDS = ["entityType", "aspectName", "changeType", "entityUrn", "aspect", "parameters", "category"]
WORDS = ["a", "b", "", "1", "true", "null", "{", "[]", "{}", ' {"a": 1} ', '{"a": NaN}', '"a"', "ä"]
CASES = 4_000


class Theirs(NamedTuple):
    """DataHub's classes."""

    event_type_filter: Any
    legacy: Any
    envelope: Any


class PlainEvent:
    """An event of DataHub's kind that is its JSON and nothing else."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    def as_json(self) -> str:
        return json.dumps(self.body)


@pytest.fixture(scope="module")
def theirs() -> Theirs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside DataHub's packages, at import
        from datahub_actions.event.event_envelope import EventEnvelope
        from datahub_actions.plugin.filter.event_type_filter import EventTypeFilter
        from datahub_actions.plugin.transform.filter.filter_transformer import FilterTransformer
    return Theirs(EventTypeFilter, FilterTransformer, EventEnvelope)


def json_value(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.choice(["null", "bool", "int", "float", "word", "word", "list", "map", "map", "json"])
    if depth == 0 and kind in {"list", "map", "json"}:
        kind = "word"
    match kind:
        case "null":
            return None
        case "bool":
            return rng.random() < 0.5
        case "int":
            return rng.choice([0, 1, 2, 10**30])
        case "float":
            return rng.choice([0.0, 1.0, 1.5])
        case "word":
            return rng.choice(WORDS)
        case "list":
            return [json_value(rng, depth - 1) for _ in range(rng.randrange(3))]
        case "map":
            return {rng.choice("ab"): json_value(rng, depth - 1) for _ in range(rng.randrange(3))}
    return json.dumps({rng.choice("ab"): json_value(rng, depth - 1)})


def wanted_for(rng: random.Random, value: Any) -> Any:
    """A wanted value that has a chance to match: the value itself, a list with it, a part of it, or anything."""
    if rng.random() < 0.3:
        return json_value(rng)
    if isinstance(value, str) and rng.random() < 0.5:
        try:
            value = json.loads(value)
        except ValueError:
            return [value, json_value(rng)]
    if isinstance(value, dict):
        return {key: wanted_for(rng, inner) for key, inner in value.items() if rng.random() < 0.7}
    return [value, "x"] if rng.random() < 0.4 else value


def body(rng: random.Random) -> dict[str, Any]:
    return {field: json_value(rng) for field in rng.sample(FIELDS, rng.randrange(1, 5))}


def predicate(rng: random.Random, event: dict[str, Any]) -> dict[str, Any]:
    fields = [field for field in event if rng.random() < 0.6] + ([rng.choice(FIELDS)] if rng.random() < 0.2 else [])
    return {field: wanted_for(rng, event.get(field)) for field in fields}


def item(rng: random.Random, event: dict[str, Any]) -> dict[str, Any]:
    bodies: list[Any] = [None, {}, {"event": None}, {"event": []}]
    predicates = {"event": [predicate(rng, event) for _ in range(rng.randrange(1, 3))]}
    wanted = {name: rng.choice([*bodies, *[predicates] * 8]) for name in TYPES if rng.random() < 0.8}
    return {"type": "event_type", "config": {"filter": wanted}}


def test_the_filters_of_an_action_give_datahubs_verdicts(theirs: Theirs) -> None:
    rng = random.Random(20261123)
    passed = 0
    for case in range(CASES):
        event, event_type = body(rng), rng.choice([MCL, ECE, rng.choice(TYPES)])
        filters = [item(rng, event) for _ in range(rng.choice([0, 1, 1, 2]))]
        legacy = None
        if rng.random() < 0.4:
            names: Any = rng.choice([event_type, ECE, [event_type, "x"], [ECE], []])
            legacy = {"event_type": names, "event": rng.choice([None, predicate(rng, event)])}
        envelope = theirs.envelope(event_type, PlainEvent(event), {})
        expected = all(theirs.event_type_filter.create(one["config"], None).matches(envelope) for one in filters)
        if expected and legacy is not None:
            expected = theirs.legacy.create(legacy, None).transform(envelope) is not None
        ours = compile_filters(filters, legacy)
        seen = json.loads(json.dumps(event))
        verdict = ours.passes({"event_type": event_type, "event": seen, "meta": {}})
        assert verdict == expected, (case, event_type, event, filters, legacy)
        if event_type == MCL and expected:
            assert ours.leading({field: seen.get(field) for field in ours.leading_fields})
        passed += expected
    assert CASES * 0.2 < passed < CASES * 0.8, "the cases must be of both verdicts"


@pytest.mark.parametrize("style", ["filters", "filter"])
def test_every_pair_of_wanted_and_seen_kinds_gives_datahubs_verdict(theirs: Theirs, style: str) -> None:
    kinds: list[Any] = [None, True, False, 0, 1, 1.0, 2, "", "a", "1", "true", "null", "{}", '{"a": 1}', "[1]", "{"]
    kinds += [[], ["a"], [1], [None], [True], [["a"]], [{"a": 1}], {}, {"a": 1}, {"a": "1"}, {"a": None}, {"a": ["a"]}]
    kinds += [{"a": {"b": 1}}, {"a": '{"b": 1}'}, '{"a": "{\\"b\\": 1}"}', {"b": None}]
    for wanted in kinds:
        config = {"filter": {ECE: {"event": [{"field": wanted}]}}}
        legacy = {"event_type": ECE, "event": {"field": wanted}}
        for seen in kinds:
            envelope = theirs.envelope(ECE, PlainEvent({"field": seen}), {})
            if style == "filters":
                expected = theirs.event_type_filter.create(config, None).matches(envelope)
                ours = compile_filters([{"type": "event_type", "config": config}], None)
            else:
                expected = theirs.legacy.create(legacy, None).transform(envelope) is not None
                ours = compile_filters([], legacy)
            assert ours.passes({"event_type": ECE, "event": {"field": seen}, "meta": {}}) == expected, (wanted, seen)


def test_what_datahub_refuses_to_load_we_refuse_too(theirs: Theirs) -> None:
    for config in [
        {},
        {"filter": None},
        {"filter": {ECE: {"event": {"a": 1}}}},
        {"filter": {ECE: {"x": 1}}},
        {"x": {}},
    ]:
        with pytest.raises(ValueError):
            theirs.event_type_filter.create(config, None)
        with pytest.raises(Exception, match="filters"):
            compile_filters([{"type": "event_type", "config": config}], None)


def test_where_datahub_raises_on_endless_nesting_ours_does_not_match(theirs: Theirs) -> None:
    config = {"filter": {ECE: {"event": [{"field": {"a": 1}}]}}}
    event = {"field": "[" * 100_000}
    with pytest.raises(RecursionError):
        theirs.event_type_filter.create(config, None).matches(theirs.envelope(ECE, PlainEvent(event), {}))
    ours = compile_filters([{"type": "event_type", "config": config}], None)
    assert not ours.passes({"event_type": ECE, "event": event, "meta": {}})
