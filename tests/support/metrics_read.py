"""Metrics as those read them for whom they are made: Prometheus' own parser, and CloudWatch's rules for lines."""

from __future__ import annotations

import json
import math

import jsonschema
from prometheus_client.parser import text_string_to_metric_families

# The schema and the rules of CloudWatch's "Specification: Embedded metric format", and of its API's "Dimension".
SIZES = [f"{prefix}{unit}" for prefix in ("", "Kilo", "Mega", "Giga", "Tera") for unit in ("bytes", "bits")]
UNITS = {size.capitalize() + per for size in SIZES for per in ("", "/Second")}
UNITS |= {"Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"}
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 255},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 255},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 255},
                                        "Unit": {"enum": sorted(UNITS)},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def check_emf(line: str) -> dict:
    """What the format's pages demand: the schema, targets that exist, numbers, dimensions that are texts."""
    assert "\n" not in line
    assert len(line.encode()) <= 256 * 1024
    document = json.loads(line, object_pairs_hook=_each_once, parse_constant=_no_number)
    jsonschema.validate(document, EMF)
    for directive in document["_aws"]["CloudWatchMetrics"]:
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert len(names) == len(set(names))
        for name in names:
            given = document[name]
            values = given if isinstance(given, list) else [given]
            assert 1 <= len(values) <= 100
            assert all(_is_a_value(value) for value in values), (name, given)
        for name in [name for names in directive["Dimensions"] for name in names]:
            assert _is_a_dimension(name)
            assert not name.startswith(":")
            assert len(name) <= 255
            assert _is_a_dimension(document[name])
            assert len(document[name]) <= 1024
    return document


def _is_a_value(value: object) -> bool:
    is_a_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_a_number and math.isfinite(value) and abs(value) <= 2**360


def _is_a_dimension(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable() and bool(text.strip())


def _each_once(pairs: list[tuple[str, object]]) -> dict:
    assert len({name for name, _ in pairs}) == len(pairs), "a member appears twice"
    return dict(pairs)


def _no_number(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def parsed(text: str) -> dict[str, dict[tuple, float]]:
    """Each sample's name and its labels but `action`, as Prometheus' own parser gives them."""
    found: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.type in ("counter", "gauge", "histogram"), family
        assert family.documentation
        for sample in family.samples:
            assert sample.labels["action"]
            key = tuple(value for name, value in sorted(sample.labels.items()) if name != "action")
            before = found.setdefault(sample.name, {})
            assert key not in before, "a series appears twice"
            before[key] = sample.value
    return found
