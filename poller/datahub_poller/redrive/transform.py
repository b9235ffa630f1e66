"""The user's function that repairs a letter's event: found by name, called with a copy, its answer judged.

It must not know what is done with the event.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from datahub_poller.errors import CannotStart

SETTING = "--transform"


class Repaired(NamedTuple):
    """The event to hand out instead."""

    event_type: str
    event: dict[str, Any]


class Left(NamedTuple):
    """The letter stays as it is, and why."""

    reason: str


Transform = Callable[[Mapping[str, Any]], Repaired | Left]
"""Takes a letter's document."""


def load(name: str, path: Path, scrub: Callable[[str], str] = str) -> Transform:
    """The function `module:function`, looked for as the handler is. Raises CannotStart.

    `scrub` takes secrets out of what its errors say.
    """
    function = _found(name, path)

    def transform(document: Mapping[str, Any]) -> Repaired | Left:
        try:
            answer = function(copy.deepcopy(dict(document)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the function is the user's and may raise anything
            return Left(scrub(f"{SETTING}: {_said(error)}"))
        return judged(answer)

    return transform


def judged(answer: object) -> Repaired | Left:
    """What the function's answer means."""
    if answer is None:
        return Left(f"{SETTING} leaves it as it is")
    if not isinstance(answer, dict):
        return Left(f'{SETTING} returned a {type(answer).__name__}: return {{"event_type": ..., "event": ...}} or None')
    event_type, event = answer.get("event_type"), answer.get("event")
    if not isinstance(event_type, str) or not isinstance(event, dict):
        return Left(f"{SETTING} returned no event: `event_type` must be a text and `event` an object")
    try:
        orjson.dumps(event)
    except TypeError as error:
        return Left(f"{SETTING} returned an event that is no JSON: {error}")
    return Repaired(event_type, event)


def _found(name: str, path: Path) -> Callable[[dict[str, Any]], Any]:
    module, _, attributes = name.partition(":")
    if not module or not attributes:
        raise CannotStart(f"{SETTING} {name!r}: write it as module:function, such as repairs:mend")
    directory = str(path.resolve())
    if directory not in sys.path:
        sys.path.append(directory)
    importlib.invalidate_caches()
    try:
        function: Any = importlib.import_module(module)
        for attribute in attributes.split("."):
            function = getattr(function, attribute)
    except (Exception, SystemExit) as error:
        hint = f"It is looked for among the installed packages and in handler.config.path ({directory})"
        raise CannotStart(f"{SETTING} {name!r} cannot be loaded: {_said(error)}. {hint}") from error
    if not callable(function):
        raise CannotStart(f"{SETTING} {name!r} is no function: it is of type {type(function).__name__}")
    found: Callable[[dict[str, Any]], Any] = function
    return found


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:  # noqa: BLE001 - its __str__ is the user's as well
        return type(error).__name__
