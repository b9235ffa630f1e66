"""An id that names one schema after another: schemas, their records, a registry that answers when it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from datahub_poller.decode.reader import Reader
from datahub_poller.decode.schemas import Fetch, Schemas
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import VERSIONED_TOPIC, confluent_frame, schema_text
from datahub_poller.errors import SchemaNotFound
from datahub_poller.filters import compile_filters
from datahub_poller.intake import Intake
from datahub_poller.model import Event, Record, SchemaKey, TopicPartition, Undecodable, Verdict
from datahub_poller.workers import Done
from support.decoding import CHANGE_LOG, CHANGE_LOG_ID, PLATFORM_ID, ROUTES, avro

KEY, OTHER = SchemaKey("confluent", CHANGE_LOG_ID), SchemaKey("confluent", PLATFORM_ID)
OLD = schema_text("MetadataChangeLog")


def with_field(name: str, place: int | None = None) -> str:
    """The change log's schema with a nullable text more, at the end or before the field at `place`."""
    schema = json.loads(OLD)
    at = len(schema["fields"]) if place is None else place
    schema["fields"].insert(at, {"name": name, "type": ["null", "string"], "default": None})
    return json.dumps(schema)


NEW, FIRST = with_field("traceId"), with_field("tenant", 0)


def value(text: str, **fields: Any) -> bytes:
    """A change log's value by this schema, under the one id."""
    return confluent_frame(CHANGE_LOG_ID, avro(text, CHANGE_LOG | fields))


GOOD = {text: value(text) for text in (OLD, NEW, FIRST)}
BAD = GOOD[OLD][:-9]


def record(body: bytes, offset: int = 0, partition: int = 0) -> Record:
    return Record(TopicPartition(VERSIONED_TOPIC, partition), offset, 1_772_000_000_000, "create", b"k", body, ())


def what(verdict: Verdict) -> str:
    """`event`, or the letter's kind, or the verdict's name."""
    match verdict:
        case Event():
            return "event"
        case Undecodable(failure):
            return failure.kind
    return type(verdict).__name__


class Registry:
    """What it has now is `names`; an id without a text is not found. `error` is raised instead of any answer."""

    def __init__(self) -> None:
        self.names: dict[SchemaKey, str] = {KEY: OLD, OTHER: schema_text("PlatformEvent")}
        self.error: Exception | None = None

    def ask_again(self, key: SchemaKey) -> FetchedSchema:
        if self.error is not None:
            raise self.error
        if key not in self.names:
            raise SchemaNotFound(f"no {key}")
        return FetchedSchema(self.names[key])

    fetch = ask_again

    def reach(self) -> str:
        return "here"

    def prepare(self) -> None:
        """Nothing to import."""


class World:
    """An intake that knows the first schema, and a clock. `answer` gives answers, of when the questions were put."""

    def __init__(self, filters: Sequence[dict[str, Any]] = ()) -> None:
        self.now = 100.0
        self.registry = Registry()
        self.open: list[Done] = []
        self.asked: list[tuple[Fetch, float]] = []
        self.schemas = Schemas({"confluent": self.registry}, self._submit)
        self.intake = Intake("confluent", ROUTES, self.schemas, compile_filters(filters, None), "c")
        for key in (OTHER, KEY):
            self.schemas.get(key, self.now)
            self.answer()
        self.asked.clear()

    def _submit(self, ticket: Fetch, work: Callable[[], Reader]) -> None:
        self.asked.append((ticket, self.now))
        try:
            self.open.append(Done(ticket, work(), None))
        except Exception as error:
            self.open.append(Done(ticket, None, error))

    def read(self, each: Record) -> str:
        return what(self.intake.read(each, self.now))

    def tick(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.intake.tick(self.now)

    def answer(self, seconds: float = 0.0) -> None:
        """All that was asked is answered."""
        self.now += seconds
        done, self.open = self.open, []
        for each in done:
            self.intake.arrived(each, self.now)

    def live(self, seconds: float, step: float = 0.25) -> None:
        """Time goes by, and what is asked is answered soon."""
        until = self.now + seconds
        while self.now < until:
            self.tick(step)
            self.answer(0.01)

    @property
    def doubts(self) -> list[float]:
        """When the id was asked about for a doubt."""
        return [at for ticket, at in self.asked if ticket.doubt and ticket.key == KEY]
