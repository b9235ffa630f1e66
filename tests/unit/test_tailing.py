"""What `tail` shows, in which order and until when: on scripted partitions, with a clock that goes by the look."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from datahub_poller.decode.schemas import Schemas
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import confluent_frame, schema_text
from datahub_poller.errors import CannotStart, ConfigError, Fatal
from datahub_poller.filters import compile_filters
from datahub_poller.intake import Intake
from datahub_poller.kafka.browse import Last, Read, Span
from datahub_poller.model import Event, Record, SchemaKey, TopicPartition, Undecodable
from datahub_poller.start import Earliest
from datahub_poller.tailing.reading import Fetches, Seen, Tail, Wanted
from datahub_poller.tailing.wiring import topics_of
from support.action_files import action_of
from support.decoding import ENTITY_CHANGE, PLATFORM_ID, ROUTES, Shelf, own_schemas, platform_event

TOPIC = "PlatformEvent_v1"
NEW_ID = 77
PATIENCE = 60.0
TAGS = [{"type": "event_type", "config": {"filter": {"EntityChangeEvent_v1": {"event": [{"category": "TAG"}]}}}}]


def at(partition: int, offset: int, time: int, value: bytes | None) -> Record:
    return Record(TopicPartition(TOPIC, partition), offset, time, "CREATE_TIME", None, value, ())


def event(category: str = "TAG", schema: int = PLATFORM_ID) -> bytes:
    return confluent_frame(schema, platform_event("entityChangeEvent", {**ENTITY_CHANGE, "category": category}))


class Over(Exception):
    """Somebody has seen enough. A real KeyboardInterrupt would end the tests where it is not expected."""


class Log:
    """Partitions as lists of records, read by one clock: each look takes a second. After the last it is over."""

    def __init__(self, *records: Record, ends: Mapping[TopicPartition, int] | None = None, looks: int = 1000) -> None:
        self.records = list(records)
        self.ends = {} if ends is None else dict(ends)
        self.looks = looks
        self.now = 0.0
        self.at: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.brought: Counter[TopicPartition] = Counter()

    def clock(self) -> float:
        return self.now

    def assign(self, begins: Mapping[TopicPartition, int]) -> None:
        self.at.update(begins)

    def drop(self, partitions: Sequence[TopicPartition]) -> None:
        for tp in partitions:
            self.at.pop(tp, None)

    def pause(self, tp: TopicPartition) -> None:
        self.paused.add(tp)

    def resume(self, tp: TopicPartition) -> None:
        self.paused.discard(tp)

    def read(self, limit: int, timeout: float) -> Read:
        self.now += 1.0
        self.looks -= 1
        if self.looks < 0:
            raise Over
        open_ones = self.at.keys() - self.paused
        found = [each for each in self.records if each.tp in open_ones and each.offset >= self.at[each.tp]][:limit]
        for each in found:
            self.at[each.tp] = each.offset + 1
            self.brought[each.tp] += 1
        return Read(found, {tp: end for tp, end in self.ends.items() if tp in open_ones})


class Bench:
    """A Tail over a log, and what it said."""

    def __init__(self, log: Log, spans: Mapping[int, tuple[int, int]], filters: Sequence[dict] = (), **wanted) -> None:
        self.shelf = Shelf(own_schemas())
        self.said: list[str] = []
        asked = Wanted(Earliest())._replace(**wanted)
        admitted = compile_filters(filters, None)
        fetches = Fetches()
        schemas = Schemas({"confluent": self.shelf, "glue": self.shelf}, fetches.submit)
        used = admitted if asked.filtered else compile_filters([], None)
        self.tail = Tail(
            log,
            Intake("auto", ROUTES, schemas, used, "c"),
            fetches,
            {TopicPartition(TOPIC, number): Span(*span) for number, span in spans.items()},
            asked,
            admitted,
            PATIENCE,
            log.clock,
            self.said.append,
        )

    def shown(self) -> list[Seen]:
        return [seen for batch in self.tail.batches() for seen in batch]

    def until_interrupted(self) -> list[Seen]:
        seen: list[Seen] = []
        with pytest.raises(Over):
            seen.extend(itertools.chain.from_iterable(self.tail.batches()))
        return seen


def places(seen: Sequence[Seen]) -> list[tuple[int, int]]:
    return [(each.record.tp.partition, each.record.offset) for each in seen]


def test_it_ends_at_the_ends_as_they_were_at_the_start():
    log = Log(*(at(0, offset, offset, event()) for offset in range(6)), at(1, 0, 3, event()))
    bench = Bench(log, {0: (1, 4), 1: (0, 1), 2: (9, 9)})
    assert places(bench.shown()) == [(0, 1), (0, 2), (0, 3), (1, 0)]
    assert log.at == {}


def test_nothing_to_read_is_not_waited_for():
    log = Log()
    assert Bench(log, {0: (4, 4)}).shown() == []
    assert log.now == 0.0


def test_an_end_without_a_record_before_it_is_an_end():
    # The last offsets are a transaction's marker, or were compacted away.
    log = Log(at(0, 0, 0, event()), ends={TopicPartition(TOPIC, 0): 3})
    assert places(Bench(log, {0: (0, 3)}).shown()) == [(0, 0)]


def test_the_newest_are_shown_in_the_order_of_their_times():
    log = Log(*(at(number % 2, number // 2, 100 - number, event()) for number in range(8)))
    bench = Bench(log, {0: (0, 4), 1: (0, 4)}, newest=3)
    assert [each.record.timestamp for each in bench.shown()] == [98, 99, 100]


def test_of_the_newest_none_gives_way_to_what_comes_later():
    log = Log(*(at(0, offset, offset, event()) for offset in range(6)), looks=3)
    bench = Bench(log, {0: (0, 4)}, newest=2, follow=True)
    assert places(bench.until_interrupted()) == [(0, 2), (0, 3), (0, 4), (0, 5)]


def test_none_of_what_was_there_is_shown_where_none_is_asked_for():
    log = Log(at(0, 4, 1, event()), looks=3)
    assert places(Bench(log, {0: (4, 4), 1: (0, 0)}, newest=0, follow=True).until_interrupted()) == [(0, 4)]


def test_what_the_filters_drop_is_counted():
    log = Log(at(0, 0, 0, event("OWNER")), at(0, 1, 1, event()), at(0, 2, 2, None))
    bench = Bench(log, {0: (0, 3)}, TAGS)
    assert places(bench.shown()) == [(0, 1)]
    assert bench.tail.skipped == {"filtered": 1, "tombstone": 1}


def test_without_the_filters_what_they_drop_is_shown_and_marked():
    log = Log(at(0, 0, 0, event("OWNER")), at(0, 1, 1, event()))
    assert [each.dropped for each in Bench(log, {0: (0, 2)}, TAGS, filtered=False).shown()] == [True, False]


def test_what_cannot_be_decoded_is_shown_with_its_reason():
    log = Log(at(0, 0, 0, b"{}"), at(0, 1, 1, event()))
    first, second = Bench(log, {0: (0, 2)}).shown()
    assert isinstance(first.verdict, Undecodable)
    assert first.verdict.failure.kind == "unknown_framing"
    assert isinstance(second.verdict, Event)


def test_an_unknown_schema_holds_its_partition_in_order_and_the_others_go_on():
    log = Log(
        at(0, 0, 0, event()),
        at(0, 1, 1, event(schema=NEW_ID)),
        at(0, 2, 2, event()),
        at(1, 0, 5, event()),
        at(1, 1, 6, event()),
        looks=30,
    )
    bench = Bench(log, {0: (0, 3), 1: (0, 2)})
    batches = bench.tail.batches()
    assert places(next(batches)) == [(0, 0), (1, 0), (1, 1)]
    assert log.paused == {TopicPartition(TOPIC, 0)}
    assert len(bench.said) == 1
    assert f"waiting for confluent schema {NEW_ID}: " in bench.said[0]
    bench.shelf.texts[SchemaKey("confluent", NEW_ID)] = bench.shelf.texts[SchemaKey("confluent", PLATFORM_ID)]
    assert [place for batch in batches for place in places(batch)] == [(0, 1), (0, 2)]
    assert len(bench.said) == 1


def test_the_newest_do_not_wait_for_a_schema():
    log = Log(at(0, 0, 0, event(schema=NEW_ID)), at(1, 0, 5, event()), looks=4)
    bench = Bench(log, {0: (0, 1), 1: (0, 1)}, newest=10, follow=True)
    assert places(next(bench.tail.batches())) == [(1, 0)]


def test_a_schema_that_never_comes_is_given_up_with_a_count():
    log = Log(*(at(0, offset, 0, event(schema=NEW_ID)) for offset in range(3)), at(1, 0, 5, event()))
    bench = Bench(log, {0: (0, 3), 1: (0, 1)})
    bench.shelf.texts.clear()  # or it would be told from a wrong registry, and be undecodable, after half a minute
    with pytest.raises(Fatal, match=r"gave up after 60 s .*: 4 records of 2 partitions not shown: .* schema 77: "):
        next(bench.tail.batches())
    assert PATIENCE < log.now < PATIENCE + 5


def test_an_id_that_the_registry_denies_for_long_enough_is_undecodable():
    log = Log(at(0, 0, 0, event()), at(0, 1, 0, event(schema=NEW_ID)))
    first, second = Bench(log, {0: (0, 2)}).shown()
    assert isinstance(first.verdict, Event)
    assert isinstance(second.verdict, Undecodable)
    assert second.verdict.failure.kind == "unknown_schema_id"


def test_a_broker_that_brings_nothing_is_given_up_and_what_was_gathered_is_shown():
    log = Log(at(0, 0, 0, event()))
    bench = Bench(log, {0: (0, 5)}, newest=10)
    batches = bench.tail.batches()
    assert places(next(batches)) == [(0, 0)]
    assert log.now < PATIENCE
    with pytest.raises(Fatal, match="4 records of 1 partition not shown: the broker brings nothing"):
        next(batches)


def test_with_follow_nothing_is_given_up():
    log = Log(at(0, 0, 0, event(schema=NEW_ID)), looks=500)
    bench = Bench(log, {0: (0, 1)}, follow=True)
    bench.shelf.texts.clear()
    assert bench.until_interrupted() == []
    assert log.now > 5 * PATIENCE


# -- which topics

ROUTED = {"source.config.topic_routes": {"mcl": "changes", "pe": "events"}}


def chosen(wanted: Wanted, filters: Sequence[dict] = ()) -> tuple[str, ...]:
    action = action_of({**ROUTED, "filters": list(filters)})
    return topics_of(action, compile_filters(action.filters, action.filter), wanted)


def test_the_topics_are_those_that_the_filters_let_through():
    assert chosen(Wanted(Last(1))) == ("changes", "events")
    assert chosen(Wanted(Last(1)), TAGS) == ("events",)
    assert chosen(Wanted(Last(1), filtered=False), TAGS) == ("changes", "events")
    assert chosen(Wanted(Last(1), topics=("events", "events"))) == ("events",)


def test_a_topic_that_is_named_in_vain_is_wrong_use():
    with pytest.raises(ConfigError) as wrong:
        chosen(Wanted(Last(1), topics=("changes", "nowhere")), TAGS)
    assert wrong.value.problems == [
        "--topic changes: no event of it passes the filters. Add --no-filter",
        "--topic nowhere: not one of source.config.topic_routes: changes, events",
    ]


def test_filters_that_let_nothing_of_the_routed_topics_through_cannot_start():
    action = action_of({"source.config.topic_routes": {"mcl": "changes"}})
    with pytest.raises(CannotStart, match="no event of any topic passes them"):
        topics_of(action, compile_filters(TAGS, None), Wanted(Last(1)))


# -- bytes that do not fit


def test_events_of_a_schema_that_the_id_came_to_name_are_shown_and_the_change_is_told():
    schema = json.loads(schema_text("PlatformEvent"))
    schema["fields"].append({"name": "traceId", "type": ["null", "string"], "default": None})
    newer, body = json.dumps(schema), platform_event("entityChangeEvent", ENTITY_CHANGE)
    values = [event(), confluent_frame(PLATFORM_ID, body + b"\x00"), event()]
    bench = Bench(Log(*[at(0, offset, offset, value) for offset, value in enumerate(values)]), {0: (0, 3)})
    bench.shelf.ask_again = lambda key: FetchedSchema(newer)
    assert places(bench.shown()) == [(0, 0), (0, 1), (0, 2)]
    (said,) = bench.said
    assert "has changed under its id" in said
    assert "came: traceId" in said


def test_bad_records_are_shown_with_their_reason_and_cost_few_questions():
    bad = event()[:-9]
    log = Log(*[at(0, offset, offset, bad) for offset in range(300)])
    bench = Bench(log, {0: (0, 300)})
    seen = bench.shown()
    assert places(seen) == [(0, offset) for offset in range(300)]
    assert {each.verdict.failure.kind for each in seen} == {"not_avro"}
    assert len(bench.shelf.done) <= 4
    assert bench.said == []
