"""Small action files for tests: as plain data, and written to disk."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from datahub_poller.config import ActionFile, parse_action
from datahub_poller.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "name": "tag-sync",
    "source": {"type": "kafka"},
    "handler": {"config": {"function": "tag_sync:handle"}},
}


def with_keys(keys: Mapping[str, Any], base: Mapping[str, Any] = MINIMAL) -> dict[str, Any]:
    """A minimal action file with these keys; a dot leads into a section (`batch.size`), a slash into a map of names."""
    data = copy.deepcopy(dict(base))
    for path, value in keys.items():
        section, _, name = path.partition("/")
        parts = section.split(".") + ([name] if name else [])
        inner = data
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        inner[parts[-1]] = value
    return data


def action_of(
    keys: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, **more: Any
) -> ActionFile:
    """The minimal action with these keys."""
    return parse_action(with_keys({} if keys is None else keys), {} if environ is None else environ, **more)


def problems_of(
    keys: Mapping[str, Any], environ: Mapping[str, str] | None = None, base: Mapping[str, Any] = MINIMAL, **more: Any
) -> list[str]:
    """What is wrong with the minimal action with these keys."""
    try:
        parse_action(with_keys(keys, base), {} if environ is None else environ, **more)
    except ConfigError as error:
        return error.problems
    return []


def written(directory: Path, text: str | Mapping[str, Any], name: str = "action.yaml") -> Path:
    """The path of an action file with this text or data."""
    path = directory / name
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(dict(text)), encoding="utf-8")
    return path
