"""Metrics as those read them for whom they are made: Prometheus' own parser, and CloudWatch's rules for lines."""

from __future__ import annotations

import json
import math

import jsonschema
from prometheus_client.parser import text_string_to_metric_families

# The rules of CloudWatch's "Specification: Embedded metric format".
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
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
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
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
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
    document = json.loads(line)
    jsonschema.validate(document, EMF)
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for metric in directive["Metrics"]:
            value = document[metric["Name"]]
            assert isinstance(value, int | float)
            assert not isinstance(value, bool)
            assert math.isfinite(value)
            assert abs(value) < 2**360
        for name in [name for names in directive["Dimensions"] for name in names]:
            assert isinstance(document[name], str)
            assert 1 <= len(document[name]) <= 1024
    return document


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
