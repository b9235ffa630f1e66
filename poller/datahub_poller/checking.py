"""`check`: everything that `run` needs, tried one by one without joining the group or handling an event.

Connects with short limits and reports every finding, not only the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from datahub_poller import app
from datahub_poller.config import ActionFile
from datahub_poller.errors import CannotStart, Transient
from datahub_poller.kafka.source import KafkaSource

Verdict = Literal["ok", "failed", "skipped"]


class Finding(NamedTuple):
    """What one step of the check found."""

    step: str
    verdict: Verdict
    detail: str


def findings(action: ActionFile, environ: Mapping[str, str], offline: bool) -> Iterator[Finding]:
    """One finding after the other, as it is made; `offline` stops before anything is connected to."""
    parts = app.outside(action)
    yield _try("handler", lambda: _loaded(parts, action))
    yield _try("dead letters", lambda: _writable(parts))
    if offline:
        for step in ("broker", "topics", "schema registry"):
            yield Finding(step, "skipped", "--offline")
        return
    yield from _kafka(action, environ, parts)
    for name, registry in parts.registries.items():
        yield _try(f"schema registry ({name})", registry.reach)


def _loaded(parts: app.Outside, action: ActionFile) -> str:
    parts.invoker.load()
    return action.handler.config.function


def _writable(parts: app.Outside) -> str:
    parts.sink.check()
    return "writable"


def _kafka(action: ActionFile, environ: Mapping[str, str], parts: app.Outside) -> Iterator[Finding]:
    connection = action.source.config.connection
    missing: set[str] = set()
    made: list[KafkaSource] = []

    def reach() -> str:
        made.append(app.source(action, environ))
        missing.update(made[0].reach(parts.topics, connection.client_timeout_seconds))
        return connection.bootstrap

    found = _try("broker", reach)
    yield found
    for topic in parts.topics:
        if found.verdict == "failed":
            yield Finding(f"topic {topic}", "skipped", "no broker to ask")
        elif topic in missing:
            yield Finding(f"topic {topic}", "failed", "does not exist (`run` would wait for it)")
        else:
            yield Finding(f"topic {topic}", "ok", "exists")
    for consumer in made:
        consumer.close()


def _try(step: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(step, "ok", attempt())
    except (CannotStart, Transient) as error:
        return Finding(step, "failed", str(error))
