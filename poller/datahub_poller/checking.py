"""`check`: everything that `run` needs, tried one by one without joining the group or handling an event.

Connects with short limits and reports every finding, not only the first. Says nothing of how they are shown.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from datahub_poller import app
from datahub_poller.config import ActionFile, consumer_properties
from datahub_poller.config.producer import producer_properties
from datahub_poller.decode.schemas import Registry
from datahub_poller.errors import CannotStart, Transient
from datahub_poller.kafka import assignors, reach, trial
from datahub_poller.observe.listening import in_url
from datahub_poller.observe.logs import get_logger
from datahub_poller.observe.server import StatusServer
from datahub_poller.observe.status import Board
from datahub_poller.signals import as_before

Verdict = Literal["ok", "failed", "warning", "skipped"]

BROKER_SECONDS = 10.0
"""The brokers get no longer than this to answer, however patient `run` is."""

ASSIGNOR_SECONDS = 2.0
"""What the brokers' settings are waited for: not everybody may read them."""

CLIENT_SECONDS = 12.0
"""On top of what a client is given: librdkafka alone waits ten seconds for a token."""

LOG = get_logger("datahub_poller.kafka")

_ADDRESSES = {
    "confluent": "source.config.connection.schema_registry_url",
    "glue": "source.config.schema_registry",
}

_PRODUCER_CONFIG = "dead_letter.config.producer_config"

_NAMES_THE_SETTING = ("`schema_registry_", "NO_PROXY")
"""Words of a registry's message that says already what to set."""


class Finding(NamedTuple):
    """What one step of the check found. Of several lines in `detail`, the first says it all."""

    step: str
    verdict: Verdict
    detail: str


def findings(action: ActionFile, environ: Mapping[str, str], offline: bool) -> Iterator[Finding]:
    """One finding after the other, as it is made; `offline` stops before anything is connected to."""
    parts = app.outside(action, environ)
    for finding in _all(action, environ, parts, offline):
        yield finding._replace(detail=parts.scrubber.text(finding.detail))


def _all(action: ActionFile, environ: Mapping[str, str], parts: app.Outside, offline: bool) -> Iterator[Finding]:
    yield from _file(action, environ)
    yield _try("handler", lambda: _loaded(parts, action))
    here = action.dead_letter.type == "file"
    if here or not offline:
        yield _try("dead letters", lambda: _writable(parts))
    if offline:
        yield from _clients(action, environ)
        yield from _assignor(consumer_properties(action, environ)[0], None)
        elsewhere = () if here else ("dead letters",)
        for step in (*elsewhere, "broker", "topics", *(_registry_step(name) for name in parts.registries)):
            yield Finding(step, "skipped", "--offline")
        return
    yield _port(action)
    yield from _kafka(action, environ, parts)
    for name, registry in parts.registries.items():
        yield _registry(action, name, registry)


def _file(action: ActionFile, environ: Mapping[str, str]) -> Iterator[Finding]:
    _, warnings = consumer_properties(action, environ)
    for warning in (*action.warnings, *warnings):
        yield Finding("action file", "warning", warning)


def _clients(action: ActionFile, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What librdkafka says of the effective properties, by clients that connect to nothing."""
    yield _try("kafka client", lambda: trial.try_consumer(consumer_properties(action, environ)[0], LOG))
    if action.dead_letter.type == "kafka":
        own = producer_properties(action, environ)
        yield _try("kafka client (dead letters)", lambda: trial.try_producer(own, _PRODUCER_CONFIG, LOG))


def _loaded(parts: app.Outside, action: ActionFile) -> str:
    with as_before():
        parts.invoker.load()
    return f"{action.handler.config.function} is there and takes (event, context)"


def _writable(parts: app.Outside) -> str:
    parts.sink.check()
    return f"{parts.sink.place} is writable"


def _port(action: ActionFile) -> Finding:
    host, port = action.status.host, action.status.port
    if port is None:
        return Finding("status port", "ok", "off")
    server = StatusServer(Board(), port, host=host)
    try:
        free = f"{in_url(host)}:{server.start()} is free"
    except CannotStart as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE):
            return Finding("status port", "failed", str(error))
        detail = f"{in_url(host)}:{port} is taken: by this action, if it is running; else `run` could not start"
        return Finding("status port", "warning", detail)
    finally:
        server.close()
    return Finding("status port", "ok", free if port else "any free one")


def _kafka(action: ActionFile, environ: Mapping[str, str], parts: app.Outside) -> Iterator[Finding]:
    limit = min(action.source.config.connection.client_timeout_seconds, BROKER_SECONDS)
    states: dict[str, str] = {}
    group: list[str | None] = []
    known: list[frozenset[str] | None] = []

    def ask() -> str:
        consumer = app.source(action, environ)
        try:
            if assignors.KEY in consumer.properties:
                consumer.reach.ask(parts.topics, limit)  # where no broker answers, that is what is told
                known.append(assignors.known_assignors(consumer.properties, time.monotonic, LOG, ASSIGNOR_SECONDS))
            states.update(consumer.reach.ask(parts.topics, limit))
            group.append(consumer.reach.group_refusal(parts.topics[0]) if parts.topics else None)
        finally:
            consumer.close()
        return f"{consumer.servers} answers"

    yield _try("broker", lambda: _within(limit + CLIENT_SECONDS, ask))
    for topic in parts.topics:
        match states.get(topic):
            case None:
                yield Finding(f"topic {topic}", "skipped", "the broker could not be asked")
            case reach.THERE:
                yield Finding(f"topic {topic}", "ok", reach.THERE)
            case reach.MISSING:
                hint = "`run` would wait for it. See source.config.topic_routes"
                yield Finding(f"topic {topic}", "failed", f"{reach.MISSING}; {hint}")
            case refused:
                yield Finding(f"topic {topic}", "failed", refused)
    for told in known:
        yield from _assignor(consumer_properties(action, environ)[0], told)
    for refusal in group:
        if refusal is not None:
            yield Finding(f"group {action.name}", "failed", refusal)


def _assignor(properties: Mapping[str, object], known: frozenset[str] | None) -> Iterator[Finding]:
    name = properties.get(assignors.KEY)
    if name is not None and (doubt := assignors.doubt(str(name), known)) is not None:
        where = f"{reach.CONSUMER_CONFIG}.{assignors.KEY}"
        yield Finding("group", "warning" if known is None else "failed", f"{where}: {doubt}")


def _registry(action: ActionFile, name: str, registry: Registry) -> Finding:
    # A client's own time-out counts each read anew, and does not count the look-up of a name.
    limit = 2 * action.source.config.schema_registry.timeout + CLIENT_SECONDS
    found = _try(_registry_step(name), lambda: _within(limit, registry.reach))
    if found.verdict == "ok" or any(word in found.detail for word in _NAMES_THE_SETTING):
        return found
    return found._replace(detail=f"{found.detail}. See {_ADDRESSES[name]}")


def _within(limit: float, attempt: Callable[[], str]) -> str:
    """What the attempt gives or raises, if it does so in time. It is left behind if it does not."""
    answers: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((attempt(), None))
        except BaseException as error:  # noqa: BLE001 - raised below, on the thread that asked
            answers.put(("", error))

    threading.Thread(target=run, name="check", daemon=True).start()
    try:
        answer, error = answers.get(timeout=limit)
    except queue.Empty:
        raise Transient(f"no answer within {limit:g} s") from None
    if error is not None:
        raise error
    return answer


def _registry_step(name: str) -> str:
    return f"schema registry ({name})"


def _try(step: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(step, "ok", attempt())
    except (CannotStart, Transient) as error:
        return Finding(step, "failed", str(error))
