"""The parts of `redrive` made and wired for each target: the handler, a file, a topic."""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from datahub_poller import app
from datahub_poller.config import ActionFile
from datahub_poller.config.dead_letter import DeadLetter
from datahub_poller.config.producer import producer_properties
from datahub_poller.decode.schemas import Schemas
from datahub_poller.dispatch import Dispatch
from datahub_poller.errors import CannotStart
from datahub_poller.filters import compile_filters
from datahub_poller.intake import Intake
from datahub_poller.jobs import Jobs
from datahub_poller.ledger import Ledger, Settings
from datahub_poller.model import Record, Verdict
from datahub_poller.observe.logs import get_logger
from datahub_poller.policy import Breaker
from datahub_poller.redrive.copying import Copying, Place
from datahub_poller.redrive.handing import Handing
from datahub_poller.redrive.marking import Marking
from datahub_poller.redrive.to_file import EventFile
from datahub_poller.redrive.to_topic import Topic
from datahub_poller.redrive.transform import Transform
from datahub_poller.redrive.wave import Again, Wave
from datahub_poller.results import Results


@dataclass(frozen=True, slots=True)
class Manner:
    """How a person wants it: what the action file says otherwise where it is None.

    `keep_going`: the breaker does not stop the run.
    """

    rate: float | None = None
    batch_size: int | None = None
    keep_going: bool = False
    transform: Transform | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run is told and tells: `stop` gives the time by which to have ended, None as long as nobody asked.

    `pause` waits so many seconds or until somebody asks to stop; `trouble` hears of what stands in the way.
    """

    stop: Callable[[], float | None]
    pause: Callable[[float], None]
    trouble: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


def to_handler(
    action: ActionFile, environ: Mapping[str, str], manner: Manner, marking: Marking, around: Surroundings
) -> Handing:
    """The handler loaded, the sink tried, and all of it wired. Raises CannotStart."""
    parts = app.outside(action, environ)
    parts.invoker.load()
    parts.sink.check()
    bench = app.Bench(action.batch.concurrency)
    intake = _intake(action, Schemas(parts.registries, bench.fetch))
    wave = Wave(intake.read, manner.transform)

    def read(record: Record) -> Verdict:
        return wave.read(record, around.clock())

    ledger = Ledger(_settings(action, manner), _breaker(action, manner), read)
    bench.jobs = Jobs(
        action=action.name,
        invoker=parts.invoker,
        sink=Again(parts.sink, wave),
        read=read,
        clock=around.clock,
        wall=around.wall,
        timeout=action.handler.config.timeout,
        scrub=parts.scrubber.text,
        past=wave.past,
    )
    return Handing(
        ledger=ledger,
        dispatch=Dispatch(ledger, new_id=lambda: secrets.token_hex(8)),
        results=Results(ledger, around.chance),
        desk=bench,
        wave=wave,
        schemas=intake,
        marking=marking,
        clock=around.clock,
        stop=around.stop,
        trouble=around.trouble,
    )


def to_file(
    path: Path, append: bool, action: ActionFile, manner: Manner, marking: Marking, around: Surroundings
) -> Copying:
    """The file opened. Raises CannotStart."""
    return _copying(EventFile(path, append, manner.transform), action, manner, marking, around)


def to_topic(
    topic: str,
    action: ActionFile,
    environ: Mapping[str, str],
    manner: Manner,
    marking: Marking,
    around: Surroundings,
) -> Copying:
    """A producer of the source's cluster made, and the topic asked for. Raises CannotStart."""
    from datahub_poller.kafka.produce import Producer  # noqa: PLC0415 - only where a topic is written to

    here = action
    if action.dead_letter.config.bootstrap is not None:  # those settings are of another cluster
        here = action.model_copy(update={"dead_letter": DeadLetter()})
    properties = producer_properties(here, environ)
    logger = get_logger("datahub_poller.kafka")
    producer = Producer(properties, here.dead_letter.config.timeout, time.monotonic, logger)
    try:
        producer.ask(topic, action.source.config.connection.client_timeout_seconds)
    except CannotStart as error:
        raise CannotStart(f"--to topic {topic}: {error}") from None
    return _copying(Topic(producer, topic), action, manner, marking, around)


def _copying(place: Place, action: ActionFile, manner: Manner, marking: Marking, around: Surroundings) -> Copying:
    size = action.batch.size if manner.batch_size is None else manner.batch_size
    rate = action.batch.rate if manner.rate is None else manner.rate
    return Copying(place, marking, size, rate, around.clock, around.pause, around.stop, around.chance, around.trouble)


def _settings(action: ActionFile, manner: Manner) -> Settings:
    settings = app.delivery_settings(action)
    limits = settings.limits
    size = limits.size if manner.batch_size is None else manner.batch_size
    return replace(
        settings,
        limits=replace(limits, size=size, window=0.0),  # all letters are there: there is nothing to wait for
        rate=settings.rate if manner.rate is None else manner.rate,
        throw=False,  # a letter's place is the sink, not the end of the run
    )


def _breaker(action: ActionFile, manner: Manner) -> Breaker:
    """One that does not probe: the run ends when it opens."""
    return Breaker(0 if manner.keep_going else action.dead_letter.breaker.in_a_row, math.inf)


def _intake(action: ActionFile, schemas: Schemas) -> Intake:
    return Intake(
        framing=action.source.config.schema_registry.type,
        routes={topic: route for route, topic in action.source.config.topic_routes.items()},
        schemas=schemas,
        filter=compile_filters(action.filters, action.filter),
        cluster_id="unknown",  # the letter says which
    )
