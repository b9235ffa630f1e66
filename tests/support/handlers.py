"""Handlers for tests: modules written to a directory, forgotten again by the interpreter afterwards; and events."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class HandlerDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, source: str) -> Path:
        """`name` with slashes and `.py`, such as `pkg/tags.py`."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        return file


@contextmanager
def handler_directory(path: Path) -> Iterator[HandlerDirectory]:
    """A directory for handlers; what was imported from anywhere meanwhile, and `sys.path`, is as before afterwards."""
    modules, paths = set(sys.modules), list(sys.path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield HandlerDirectory(path.resolve())
    finally:
        sys.path[:] = paths
        inside = [
            name for name, module in sys.modules.items() if name not in modules and _lies_in(module, path.resolve())
        ]
        for name in inside:
            del sys.modules[name]


def _lies_in(module: Any, path: Path) -> bool:
    names = getattr(module, "__dict__", {})  # not its attributes, which a module may make up
    places = [names.get("__file__"), *names.get("__path__", [])]
    return any(place is not None and Path(place).resolve().is_relative_to(path) for place in places)


def envelope(offset: int, partition: int = 0, topic: str = "PlatformEvent_v1") -> dict[str, Any]:
    """A small event of DataHub's, at these coordinates."""
    return {
        "event_type": "EntityChangeEvent_v1",
        "event": {
            "entityUrn": f"urn:li:dataset:(urn:li:dataPlatform:hive,db.t{offset},PROD)",
            "entityType": "dataset",
            "category": "TAG",
            "operation": "ADD",
            "modifier": "urn:li:tag:pii",
            "parameters": {"tagUrn": "urn:li:tag:pii"},
            "auditStamp": {"actor": "urn:li:corpuser:jdoe", "time": 1_700_000_000_000},
            "version": 0,
        },
        "meta": {"kafka": {"topic": topic, "partition": partition, "offset": offset}},
    }
