"""Environment variables in the values of an action file, in the forms that DataHub users know.

Values only, never keys. `${...}` anywhere in a text expands the whole text, and an unset variable is a problem;
a text that merely begins with `$` falls back to itself; a bare `$NAME` further in is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expandvars import ExpandvarsException, UnboundVariable, expand

from datahub_poller.config.documents import MAX_ITEMS
from datahub_poller.config.problems import KeyPath, Problem, Wrong
from datahub_poller.config.secrets import is_secret, long_enough, looks_secret

MAX_DEPTH = 60

_BRACED = re.compile(r"\$\{.+\}")
_NAMES = re.compile(r"\$\{?[!#]?([A-Za-z_]\w*)", re.ASCII)


@dataclass(slots=True)
class Expansion:
    """The data with its variables expanded, what went wrong, and secret texts that came out of variables."""

    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    items: int = 0


def expanded(data: Any, environ: Mapping[str, str]) -> Expansion:
    """Expand every text of the plain data. A text that cannot be is left as it is, with a problem at its path."""
    result = Expansion()
    # A dict of our own: `${NAME:=value}` sets NAME for the values that follow.
    result.data = _value(data, (), dict(environ), result)
    return result


def _value(value: Any, path: KeyPath, environ: dict[str, str], result: Expansion) -> Any:
    result.items += 1
    if result.items > MAX_ITEMS or len(path) > MAX_DEPTH:
        raise Wrong("holds too much, or is nested too deeply", "Look for YAML aliases (*name) that multiply")
    match value:
        case dict():
            return {key: _value(item, _key(key, path, result), environ, result) for key, item in value.items()}
        case list():
            return [_value(item, (*path, index), environ, result) for index, item in enumerate(value)]
        case str():
            return _text(value, path, environ, result)
        case None | bool() | int() | float():
            return value
    result.problems.append(Problem(path, "is of a kind that JSON does not have", "Put it in quotes."))
    return None


def _key(key: Any, path: KeyPath, result: Expansion) -> KeyPath:
    if not isinstance(key, str):
        result.problems.append(Problem((*path, str(key)), "is a key that is not text", "Put the key in quotes."))
    return (*path, str(key))


def _text(text: str, path: KeyPath, environ: dict[str, str], result: Expansion) -> str:
    strict = _BRACED.search(text) is not None
    if not strict and not text.startswith("$"):
        return text
    _note_secrets(text, environ, result)
    try:
        return str(expand(text, nounset=True, environ=environ))
    except UnboundVariable as error:
        if not strict:
            return text
        result.problems.append(_unset(path, text, str(error.args[0]).partition(":")[0]))
    except (ExpandvarsException, ValueError, TypeError, RecursionError) as error:
        result.problems.append(_unexpandable(path, text, error))
    return text


def _note_secrets(text: str, environ: Mapping[str, str], result: Expansion) -> None:
    names = [name for name in _NAMES.findall(text) if looks_secret(name)]
    result.secrets.update(long_enough(environ.get(name, "") for name in names))


def _unset(path: KeyPath, text: str, name: str) -> Problem:
    braced = re.search(rf"\$\{{[!#]?{re.escape(name)}\b", text) is not None
    if braced or not is_secret(path):
        hint = f"Set it, or give a default: ${{{name}:-default}}. A dollar sign itself is written \\$."
        return Problem(path, f"the environment variable {name} is not set", hint)
    # What follows the dollar sign may be a piece of a password.
    what = "holds a dollar sign followed by a name that is no environment variable"
    return Problem(path, what, "A dollar sign itself is written \\$ in a value that also has ${...}.")


def _unexpandable(path: KeyPath, text: str, error: Exception) -> Problem:
    name = str(error.args[0]).partition(":")[0] if error.args else ""
    demand = re.search(rf"\$\{{{re.escape(name)}:?\?(?P<why>[^}}$]*)\}}", text)
    if demand:
        why = f": {demand['why']}" if demand["why"] else ""
        return Problem(path, f"the environment variable {name} is not set or empty{why}", "Set it.")
    what = "cannot be expanded: a ${...} in it is not closed or not understood"
    return Problem(path, what, "Known forms: ${NAME}, ${NAME:-default}, ${NAME:+other}, ${NAME:?message}.")
