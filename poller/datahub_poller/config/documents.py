"""An action file's text and the plain data in it: YAML or JSON in, maps and lists out, or what is wrong and where.

Knows nothing of keys and variables. No message holds text of the file: it might be a secret.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from datahub_poller.config.problems import Problem, Wrong

MAX_FILE = 2**20
"""Bytes. An action file is a page or two; more is a mistake, or an attack."""

MAX_ITEMS = 50_000
"""Keys and values, aliases counted wherever they are used."""

_QUOTED = re.compile(r"""\s*(?:'(?!<[a-z ]+>')[^']{2,}'|"[^"]{2,}"|'[^']{2,}$)""")
_QUOTING_HINT = "A value that begins with one of * & ! % @ ` or holds ': ' must stand in quotes"


def read(path: Path) -> str:
    """The file's text. Raises `Wrong`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except IsADirectoryError:
        raise Wrong("is a directory", "Give the action file itself") from None
    except FileNotFoundError:
        raise Wrong("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise Wrong(f"cannot be read: {reason}") from None
    if len(data) > MAX_FILE:
        raise Wrong("is larger than 1 MiB, which no action file is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Wrong(f"line {line}: is not UTF-8 text") from None


def parse(text: str, suffix: str) -> dict[str, Any]:
    """The map that the text holds; `suffix` is .yaml, .yml or .json. Raises `Wrong`."""
    match suffix.lower():
        case ".yaml" | ".yml":
            data = _yaml(text)
        case ".json":
            data = _json(text)
        case _:
            raise Wrong("has a suffix that is not known", "Name it .yaml, .yml or .json")
    if data is None:
        raise Wrong("is empty", "See the README for an action file to begin with")
    if not isinstance(data, dict):
        raise Wrong("must be a map of keys at its top level", "The first line could be: name: my-action")
    return data


class _Loader(yaml.SafeLoader):
    """YAML's safe types without times, which stay text as they do in JSON; notes keys that are given twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.twice: list[Problem] = []

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        _note_twice(node, self.twice)
        super().flatten_mapping(node)
        if len(node.value) > MAX_ITEMS:
            raise Wrong("holds too much: its merged maps have too many keys")


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _note_twice(node: yaml.MappingNode, twice: list[Problem]) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        line = key.start_mark.line + 1
        first = lines.setdefault(key.value, line)
        problem = Problem(
            (), f"line {line}: the key '{key.value}' stands twice in the same map", f"First on line {first}"
        )
        if first != line and problem not in twice:
            twice.append(problem)


def _yaml(text: str) -> Any:
    loader = None
    try:
        loader = _Loader(text)
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise Wrong(_yaml_message(error), _QUOTING_HINT) from None
    except yaml.YAMLError:
        raise Wrong("is not YAML: it holds characters that YAML forbids") from None
    except RecursionError:
        raise Wrong("is nested too deeply") from None
    except Wrong:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # PyYAML's, for a tag that misfits
        raise Wrong("is not YAML: a value in it does not fit its !!tag", "Put it in quotes") from None
    finally:
        if loader is not None:
            loader.dispose()
    if loader.twice:
        raise Wrong("has keys twice", problems=loader.twice)
    return data


def _yaml_message(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark if error.problem_mark is not None else error.context_mark
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    problem = _QUOTED.sub("", error.problem or "it cannot be read")
    return f"{where}is not YAML: {problem}"


def _json(text: str) -> Any:
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise Wrong(f"line {error.lineno}, column {error.colno}: is not JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise Wrong("is not JSON: it is nested too deeply, or a number in it is too long") from None
    if twice:
        raise Wrong(
            "has keys twice", problems=[Problem((), f"the key '{key}' stands twice in the same map") for key in twice]
        )
    return data
