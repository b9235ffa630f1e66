"""From plain data to the typed action file: every problem that the models find, in our own words.

Where values are wrong it also makes a stand-in without them, so that the rules between the others can be checked.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from datahub_poller.config.models import ActionFile
from datahub_poller.config.problems import NOTHING, KeyPath, Problem, Wrong, did_you_mean
from datahub_poller.config.spellings import NOT_YET

_STAND_INS: Mapping[KeyPath, Any] = {
    ("name",): "stand-in",
    ("source",): {"type": "kafka"},
    ("source", "type"): "kafka",
    ("handler",): {"config": {"function": "stand:in"}},
    ("handler", "config"): {"function": "stand:in"},
    ("handler", "config", "function"): "stand:in",
}

_PASSES = 3
"""Mending what one pass finds may bring up more: a stand-in where a section was no map."""

_WHAT: Mapping[str, str] = {
    "missing": "is required",
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "list_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}


def validated(data: Mapping[str, Any]) -> tuple[ActionFile | None, list[Problem], frozenset[KeyPath]]:
    """The action file, or a stand-in for it; the problems; and the keys that the stand-in lacks or invents.

    `None` where not even a stand-in can be made.
    """
    problems: list[Problem] = []
    touched: set[KeyPath] = set()
    rest = copy.deepcopy(dict(data))
    for _ in range(_PASSES):
        try:
            return ActionFile.model_validate(rest), problems, frozenset(touched)
        except ValidationError as error:
            found = error.errors(include_url=False)
        if not touched:
            problems = [problem for item in found for problem in _problems(item, data)]
        for path in [path for item in found for path in _places(item)]:
            touched.add(path)
            _mend(rest, path)
    return None, problems, frozenset(touched)


def _places(item: Any) -> list[KeyPath]:
    """Where exactly the values are that this error is about."""
    path: KeyPath = tuple(item["loc"])
    cause = item.get("ctx", {}).get("error")
    inner = [problem.path for problem in cause.problems] if isinstance(cause, Wrong) else []
    return [(*path, *below) for below in inner] if inner else [path]


def _problems(item: Any, data: Mapping[str, Any]) -> Iterator[Problem]:
    path: KeyPath = tuple(item["loc"])
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, Wrong):
        for inner in cause.problems:
            yield inner._replace(path=(*path, *inner.path))
        if not cause.problems:
            may_be_shown = cause.show_value and _harmless(item["input"])
            yield Problem(path, cause.what, cause.hint, item["input"] if may_be_shown else NOTHING)
    elif item["type"] in {"extra_forbidden", "invalid_key"}:
        yield _unknown_key(path)
    elif item["type"] == "missing":
        if path != ("handler",) or data.get("action") is None:
            yield Problem(path, "is required", _required_hint(path))
    else:
        # A text where a map belongs may be anything, a password too: only single values are shown.
        scalar = item["type"] in {"bool_parsing", "bool_type", "string_type"}
        yield Problem(path, _WHAT.get(item["type"], "is wrong"), "", item["input"] if scalar else NOTHING)


def _harmless(value: Any) -> bool:
    """Not a text that could be an address with a user and a password in it."""
    return not isinstance(value, str) or not ("@" in value or "://" in value)


def _unknown_key(path: KeyPath) -> Problem:
    if path in NOT_YET:
        return Problem(path, *NOT_YET[path])
    section = _section(path[:-1])
    known = [field.alias or name for name, field in section.model_fields.items()]
    where = ".".join(str(part) for part in path[:-1])
    what = f"is not a key of {where}" if where else "is not a key of an action file"
    return Problem(path, what, did_you_mean(str(path[-1]), known))


def _required_hint(path: KeyPath) -> str:
    match path:
        case ("name",):
            return "It is the consumer group: name: my-action."
        case ("source",) | ("source", "type"):
            return "Write source: {type: kafka, config: {...}}."
        case ("handler",) | ("handler", "config") | ("handler", "config", "function"):
            return 'Write handler: {config: {function: "module:function"}}.'
    return ""


def _section(path: KeyPath) -> type[BaseModel]:
    section: type[BaseModel] = ActionFile
    for part in path:
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        annotation = fields[str(part)].annotation
        models = [one for one in (annotation, *get_args(annotation)) if _is_model(one)]
        section = models[0]
    return section


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _mend(data: dict[str, Any], path: KeyPath) -> None:
    """Take out the value at the path, or put in what must be there."""
    inner: Any = data
    for part in path[:-1]:
        below = inner.get(part)
        if not isinstance(below, dict):  # a list loses all of itself: without an item it would be another list
            inner.pop(part, None)
            return
        inner = below
    if path in _STAND_INS:
        inner[path[-1]] = copy.deepcopy(_STAND_INS[path])
    else:
        inner.pop(path[-1], None)
