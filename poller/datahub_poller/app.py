"""The one place where an action file becomes a running poller: every part is made and wired here.

Only what the file needs is imported. Nothing here decides anything about records.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from datahub_poller import letterbox, report
from datahub_poller.batching import Limits
from datahub_poller.config import ActionFile, consumer_properties, secrets_of
from datahub_poller.config.librdkafka import with_whole_paths
from datahub_poller.deadletter.sink import Sink
from datahub_poller.decode.confluent import ConfluentRegistry
from datahub_poller.decode.glue import GlueRegistry
from datahub_poller.decode.schemas import Registry, RegistryName, Schemas
from datahub_poller.dispatch import Dispatch
from datahub_poller.filters import Filter, compile_filters
from datahub_poller.intake import EVENT_TYPES_OF, Intake
from datahub_poller.invoke.python import PythonInvoker
from datahub_poller.jobs import Jobs
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.source import KafkaSource
from datahub_poller.ledger import Ledger, Settings
from datahub_poller.loop import LoopSettings, Poller
from datahub_poller.model import Record, Verdict
from datahub_poller.obeying import Obeying
from datahub_poller.observe.logs import get_logger, log_event
from datahub_poller.observe.scrub import Scrubber
from datahub_poller.observe.status import Board
from datahub_poller.observe.stuck import StuckWatch
from datahub_poller.observe.waiting import WaitWatch
from datahub_poller.order_box import OrderBox
from datahub_poller.policy import Breaker, Policy
from datahub_poller.progress import Progress
from datahub_poller.results import Results
from datahub_poller.workers import Done, Mailbox, Workers
from datahub_poller.works import Invoke, Work

FETCH_THREADS = 4
LETTER_THREADS = 2
RECORD_OVERHEAD = 2048
"""Bytes that a small event costs as Python objects beside its own: measured, 2.4 KB in all for one of 129 bytes.

With half of it 50,000 small events that wait took 70 MB more than the buffer.
"""
LOG = get_logger("datahub_poller")


Watches = Sequence[StuckWatch | WaitWatch]
"""Each looks at every snapshot, and tells the log."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything of an action that is not the poller itself, each not yet connected."""

    invoker: PythonInvoker
    sink: Sink
    registries: Mapping[RegistryName, Registry]
    filter: Filter
    topics: tuple[str, ...]
    scrubber: Scrubber


def outside(action: ActionFile, environ: Mapping[str, str]) -> Outside:
    """The handler, the sink and the registries that the file names, and the topics that its filters need."""
    admitted = compile_filters(action.filters, action.filter)
    return Outside(
        invoker=invoker(action),
        sink=letterbox.sink(action, environ),
        registries=registries(action, environ),
        filter=admitted,
        topics=topics(action, admitted),
        scrubber=Scrubber(secrets_of(action, environ)),
    )


def invoker(action: ActionFile) -> PythonInvoker:
    """The target."""
    config = action.handler.config
    return PythonInvoker(config.function, config.path, config.timeout)


def registries(action: ActionFile, environ: Mapping[str, str]) -> dict[RegistryName, Registry]:
    """The registries to ask, by the framing that names their schemas. Their clients are made at the first question."""
    connection = action.source.config.connection
    wanted = action.source.config.schema_registry
    made: dict[RegistryName, Registry] = {}
    if wanted.type in ("confluent", "auto"):
        settings = with_whole_paths(connection.schema_registry_config, action.working_directory)
        made["confluent"] = ConfluentRegistry(connection.schema_registry_url, settings, wanted.timeout, environ)
    if wanted.type in ("glue", "auto"):
        made["glue"] = GlueRegistry(
            region=wanted.region,
            endpoint=wanted.endpoint,
            profile=wanted.profile,
            timeout=wanted.timeout,
            role=wanted.role,
            external_id=wanted.external_id,
        )
    return made


def prepare(made: Iterable[Registry]) -> None:
    """Import the registries' clients on a thread of their own: it takes as long as joining the group does."""

    def imports() -> None:
        for registry in made:
            with contextlib.suppress(Exception):  # the first question says what is wrong
                registry.prepare()

    threading.Thread(target=imports, name="registries", daemon=True).start()


def topics(action: ActionFile, admitted: Filter) -> tuple[str, ...]:
    """The topics of which some event may pass the filters, each once."""
    routes = action.source.config.topic_routes
    wanted = {
        topic: None for route, topic in routes.items() if any(admitted.admits(kind) for kind in EVENT_TYPES_OF[route])
    }
    return tuple(wanted)


def source(action: ActionFile, environ: Mapping[str, str], alive: Callable[[], None] = lambda: None) -> KafkaSource:
    """The consumer, not subscribed yet; `alive` is told while it waits for a broker. Raises CannotStart."""
    properties, warnings = consumer_properties(action, environ)
    for warning in warnings:
        log_event(LOG, logging.WARNING, "setting", about=warning)
    if (callback := properties.get("oauth_cb")) is not None:
        properties["oauth_cb"] = TokenSource(callback, str(properties.get("sasl.oauthbearer.config", "")))
    return KafkaSource(
        properties=properties,
        start_at=action.source.config.start,
        clock=time.monotonic,
        logger=get_logger("datahub_poller.kafka"),
        alive=alive,
    )


class Bench:
    """The workers' threads and their mailbox: what the loop knows as its desk."""

    def __init__(self, concurrency: int) -> None:
        self._mailbox = Mailbox()
        self._handlers = Workers("handler", concurrency, self._mailbox)
        self._letters = Workers("letters", LETTER_THREADS, self._mailbox)
        self._fetches = Workers("schemas", FETCH_THREADS, self._mailbox)
        self.jobs: Jobs | None = None

    def fetch(self, ticket: Any, work: Callable[[], Any]) -> None:
        """Ask a registry on a thread of its own kind."""
        self._fetches.submit(ticket, work)

    def start(self, work: Work) -> None:
        """Hand a work to the workers of its kind."""
        assert self.jobs is not None
        if isinstance(work, Invoke):
            self._handlers.submit(work.flight, self.jobs.invocation(work))
        else:
            self._letters.submit(work.flight, self.jobs.letters(work))

    def take(self, timeout: float) -> list[Done]:
        """What came back."""
        return self._mailbox.take(timeout)


def poller(
    action: ActionFile, parts: Outside, consumer: KafkaSource, board: Board, watches: Watches, orders: OrderBox
) -> Poller:
    """All of it wired, ready to run."""
    clock = time.monotonic
    bench = Bench(action.batch.concurrency)
    schemas = Schemas(parts.registries, bench.fetch)
    cluster = consumer.reach.cluster_id(parts.topics[0])
    intake = Intake(
        framing=action.source.config.schema_registry.type,
        routes={topic: route for route, topic in action.source.config.topic_routes.items()},
        schemas=schemas,
        filter=parts.filter,
        cluster_id=cluster,
    )

    def read(record: Record) -> Verdict:
        return intake.read(record, clock())

    ledger = Ledger(delivery_settings(action), _breaker(action), read)
    bench.jobs = Jobs(
        action=action.name,
        invoker=parts.invoker,
        sink=parts.sink,
        read=read,
        clock=clock,
        wall=time.time,
        timeout=action.handler.config.timeout,
        cluster=cluster,
        scrub=parts.scrubber.text,
    )

    return Poller(
        settings=_loop_settings(action, parts.topics),
        source=consumer,
        intake=intake,
        ledger=ledger,
        dispatch=Dispatch(ledger, new_id=lambda: secrets.token_hex(8)),
        results=Results(ledger, chance=random.random),
        desk=bench,
        clock=clock,
        publish=_publisher(action, schemas, board, watches),
        beat=board.beat,
        obey=partial(orders.serve, Obeying(ledger, intake.waiting, schemas.ask_again, parts.scrubber.text).obey),
        logger=LOG,
    )


def _publisher(action: ActionFile, schemas: Schemas, board: Board, watches: Watches) -> Callable[[Poller, float], None]:
    progress = Progress(max(action.status.stuck_after, 2 * action.batch.window))

    def publish(poller: Poller, now: float) -> None:
        counters = poller.ledger.counters
        if schemas.read_slowly:
            counters["schemas_read_by_fastavro"] = schemas.read_slowly
        counters["schema_changes"] = schemas.changes
        counters["schema_fetches"], counters["schema_fetches_failed"] = schemas.fetches, schemas.failures
        status = report.snapshot(poller, action.name, schemas.waiting(), progress, now)
        board.publish(status)
        for watch in watches:
            watch.look(status, now)

    return publish


def _breaker(action: ActionFile) -> Breaker:
    breaker = action.dead_letter.breaker
    return Breaker(breaker.in_a_row, breaker.pause)


def delivery_settings(action: ActionFile) -> Settings:
    """What the file says about delivery."""
    retry, batch = action.retry, action.batch
    return Settings(
        policy=Policy(
            attempts=retry.attempts,
            backoff=retry.backoff,
            max_backoff=retry.max_backoff,
            bisect=retry.bisect,
            order=batch.order,
            max_age=math.inf if retry.max_age is None else retry.max_age,
            fatal=frozenset(retry.fatal),
            retryable=frozenset(retry.retryable),
        ),
        limits=Limits(batch.size, batch.window, batch.bytes),
        concurrency=batch.concurrency,
        buffer=action.source.config.buffer,
        throw=action.options.failure_mode == "THROW",
        timeout=action.handler.config.timeout,
        overhead=RECORD_OVERHEAD,
        rate=batch.rate,
    )


def _loop_settings(action: ActionFile, wanted: Iterable[str]) -> LoopSettings:
    return LoopSettings(
        topics=tuple(wanted),
        commit_interval=action.source.config.commit_interval,
        revoke_wait=action.revoke_wait,
        shutdown=action.shutdown.deadline,
        on_gap=action.source.config.on_gap,
    )
