"""Whatever an action file holds, loading it gives an action or a list of problems, and shows no secret."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.config import ActionFile, consumer_properties, effective, load, parse_action, secrets_of
from datahub_poller.config.models import ActionFile as Model
from datahub_poller.config.reference import rows
from datahub_poller.errors import ConfigError

CANARY = "canary-7f3a"
KEYS = [row.key.strip("`") for row in rows(Model)]
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["${A}", "${B:-1}", "$A", "5s", "1KiB", "${KAFKA_PASSWORD}", "http://u:" + CANARY + "@h"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["type", "config", "filter", "event", "a", "sasl.password"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
SETTINGS = st.dictionaries(st.sampled_from([*KEYS, "unknown", "batch", "source.config", "handler"]), VALUES, max_size=6)
ENVIRON = {"A": "text", "KAFKA_PASSWORD": CANARY}


def put(data: dict[str, Any], path: str, value: Any) -> None:
    *sections, last = path.split(".")
    for section in sections:
        below = data.get(section)
        data[section] = below if isinstance(below, dict) else {}
        data = data[section]
    data[last] = value


def outcome(data: dict[str, Any]) -> ActionFile | list[str]:
    try:
        return parse_action(data, ENVIRON)
    except ConfigError as error:
        return error.problems


@given(SETTINGS)
def test_any_values_give_an_action_or_problems(settings: dict[str, Any]) -> None:
    data: dict[str, Any] = {"name": "a", "source": {"type": "kafka"}, "handler": {"config": {"function": "a:b"}}}
    for path, value in settings.items():
        put(data, path, value)
    result = outcome(data)
    if isinstance(result, list):
        assert result
        assert all("\n" not in problem for problem in result)
        assert CANARY not in str(result)
        return
    settled = effective(result, ENVIRON)
    assert CANARY not in json.dumps(settled)
    assert CANARY not in repr(result)
    consumer_properties(result, ENVIRON)
    secrets_of(result, ENVIRON)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=4))
def test_any_map_gives_problems(data: dict[str, Any]) -> None:
    assert isinstance(outcome(data), list)


@given(st.one_of(st.text(), st.text(alphabet="ab: -[]{}\n*&!'\"|>#%@`,?\t", max_size=40), st.binary(max_size=40)))
def test_any_bytes_give_problems(content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    with tempfile.TemporaryDirectory() as directory:
        for suffix in ("yaml", "json"):
            path = Path(directory) / f"action.{suffix}"
            path.write_bytes(data)
            with pytest.raises(ConfigError) as caught:
                load(path, ENVIRON)
            assert caught.value.problems
            assert all(problem.startswith(str(path)) for problem in caught.value.problems)


@given(SETTINGS)
def test_what_loads_from_data_loads_from_yaml_and_json_alike(settings: dict[str, Any]) -> None:
    data: dict[str, Any] = {"name": "a", "source": {"type": "kafka"}, "handler": {"config": {"function": "a:b"}}}
    for path, value in settings.items():
        put(data, path, value)
    try:
        text = json.dumps(data, allow_nan=False)
    except ValueError:
        return
    with tempfile.TemporaryDirectory() as directory:
        results = []
        for suffix, content in (("json", text), ("yaml", yaml.safe_dump(data, sort_keys=False))):
            path = Path(directory) / f"action.{suffix}"
            path.write_text(content, encoding="utf-8")
            try:
                results.append(str(load(path, ENVIRON).model_dump()))
            except ConfigError as error:
                results.append(str([problem.removeprefix(str(path)) for problem in error.problems]))
        assert results[0] == results[1]
