"""JSON of whatever a letter holds, envelopes that a handler had in its hands included. Pure, and never failing."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

DEPTH_LIMIT = 200
"""Levels of nesting that are kept where the fast writer refused; what lies deeper is only in the raw bytes."""


def in_json(value: Mapping[str, Any]) -> bytes:
    """The value as JSON, without a newline."""
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson's own error is one: a lone surrogate, an integer past 64 bits, an object, a cycle
        return json.dumps(_plain(value, ()), separators=(",", ":"), allow_nan=False).encode("ascii")


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """The nearest thing that JSON can say; `above` names the containers that hold the value, so that a cycle ends."""
    match value:
        case Mapping() | list() | tuple() | set() | frozenset() if len(above) == DEPTH_LIMIT or id(value) in above:
            return "(nested too deep for a letter)"
        case Mapping():
            return {_key(key): _plain(item, (*above, id(value))) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item, (*above, id(value))) for item in value]
        case _:
            return _scalar(value)


def _scalar(value: Any) -> Any:
    """Lone surrogates stay as escapes, integers of a length that readers take stay themselves."""
    match value:
        case None | bool():
            return value
        case float():
            return float(value) if math.isfinite(value) else None  # as orjson writes what is not finite
        case int():
            return int(value) if value.bit_length() < _BITS_AS_DIGITS else hex(value)
        case str():
            return str.__str__(value)
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case _:
            return _described(value)


_BITS_AS_DIGITS = 10_000
"""About 3,000 digits: Python refuses to write an integer of more than 4,300."""


def _key(key: Any) -> str:
    return str.__str__(key) if isinstance(key, str) else _described(key)


def _described(value: Any) -> str:
    try:
        return repr(value)[:200]
    except Exception:  # noqa: BLE001 - the value's class is not ours and may do anything
        return f"(a {type(value).__name__})"
