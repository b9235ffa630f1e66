"""What the loop may count on in a source, whatever it is: scripted, on librdkafka's mock cluster, on Apache Kafka."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.demo.broker import (
    API_OFFSET_COMMIT,
    API_OFFSET_FETCH,
    COORDINATOR_LOADING,
    GROUP_AUTHORIZATION_FAILED,
    REBALANCE_IN_PROGRESS,
)
from datahub_poller.errors import Fatal, Transient
from datahub_poller.kafka.source import KafkaSource
from datahub_poller.model import TopicPartition
from datahub_poller.source import Start
from datahub_poller.start import mark_in
from support.brokers import Bed, Sent
from support.brokers import Committed as Stored
from support.members import Member, drive, until
from support.scripted import ScriptedBroker, ScriptedSource

EAGER = {"partition.assignment.strategy": "range,roundrobin"}
COOPERATIVE = {"partition.assignment.strategy": "cooperative-sticky"}
KIP_848 = {"group.protocol": "consumer"}
PATIENT_POLL = 30.0
PROTOCOLS = [pytest.param(EAGER, id="eager"), pytest.param(COOPERATIVE, id="cooperative")]


class Stage:
    """A broker and the sources on it, closed with the test."""

    def __init__(self, bed: Bed, unique) -> None:
        self.bed = bed
        self.unique = unique
        self._open = []

    def topic(self, partitions=1):
        name = self.unique("t")
        self.bed.create_topic(name, partitions)
        return name

    def source(self, group, start="latest", **properties):
        """The only place that knows which source it is."""
        if isinstance(self.bed, ScriptedBroker):
            incremental = properties in (COOPERATIVE, KIP_848) or COOPERATIVE.items() <= properties.items()
            source = ScriptedSource(self.bed, group, start, incremental)
        else:
            source = self._kafka_source(group, start, properties)
        self._open.append(source)
        return source

    def _kafka_source(self, group, start, properties):
        config = {
            "bootstrap.servers": self.bed.bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "topic.metadata.refresh.interval.ms": 500,
            **self.bed.consumer,
            **EAGER,
            **properties,
        }
        if config.get("group.protocol") == "consumer":
            for key in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
                config.pop(key, None)
        return KafkaSource(config, start, time.monotonic, logging.getLogger("test.source"))

    def member(self, group, *topics, start="latest", properties=None, **hooks):
        source = self.source(group, start, **({} if properties is None else properties))
        return Member(source, topics, **hooks)

    def leave(self, member):
        self._open.remove(member.source)
        member.source.close()

    def close(self):
        while self._open:
            self._open.pop().close()

    def now(self):
        return self.bed.wall_ms() if isinstance(self.bed, ScriptedBroker) else wall_ms()

    # -- faults, each in the broker's own way

    def expel(self, member):
        """The group is rid of a member that has not polled for its `max.poll.interval.ms` of 2 s."""
        if isinstance(self.bed, ScriptedBroker):
            self.bed.expel(member.source)
        else:
            time.sleep(3.0)

    def refuse_commit(self, error):
        if isinstance(self.bed, ScriptedBroker):
            self.bed.refusals.append("Not authorized, or whatever else")
        else:
            self.bed.cluster.push_errors(API_OFFSET_COMMIT, [error])

    def silence_about_offsets(self, error):
        if isinstance(self.bed, ScriptedBroker):
            self.bed.silent = True
        else:
            self.bed.cluster.push_errors(API_OFFSET_FETCH, [error] * 2000)

    def speak_about_offsets(self):
        if isinstance(self.bed, ScriptedBroker):
            self.bed.silent = False
        else:
            self.bed.cluster.clear_errors(API_OFFSET_FETCH)

    def transaction(self, topic, values, commit):
        if isinstance(self.bed, ScriptedBroker):
            if commit:
                fill(self.bed, TopicPartition(topic, 0), len(values))
            for _ in range(1 if commit else len(values) + 1):
                self.bed.control(topic, 0)
            return
        config = {"bootstrap.servers": self.bed.bootstrap, "transactional.id": topic, "log_level": 0}
        producer = Producer(config)
        producer.init_transactions(20)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=0)
        producer.flush(20)
        (producer.commit_transaction if commit else producer.abort_transaction)(20)


def wall_ms():
    return int(time.time() * 1000)


SCRIPTED, MOCK = "scripted", "mock"
KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)


def staged(request, unique):
    match request.param:
        case "scripted":
            # A clock that goes on by itself: in one millisecond, nothing is before anything.
            ticks = itertools.count(wall_ms())
            stage = Stage(ScriptedBroker(lambda: next(ticks)), unique)
        case "mock":
            stage = Stage(request.getfixturevalue("mock_bed"), unique)
        case _:
            stage = Stage(request.getfixturevalue("kafka"), unique)
    yield stage
    stage.close()


@pytest.fixture(params=[SCRIPTED, MOCK, KAFKA])
def stage(request, unique):
    yield from staged(request, unique)


@pytest.fixture(params=[SCRIPTED, KAFKA])
def able(request, unique):
    """Without the mock cluster, which knows no times, no transactions, no new partitions, and no commits while
    a group of the classic protocol rebalances.
    """
    yield from staged(request, unique)


@pytest.fixture(params=[SCRIPTED, MOCK])
def faulty(request, unique):
    """Answers to order."""
    yield from staged(request, unique)


@pytest.fixture(params=[KAFKA])
def on_kafka(request, unique):
    yield from staged(request, unique)


@pytest.fixture(params=[MOCK])
def on_mock(request, unique):
    yield from staged(request, unique)


@pytest.fixture
def group(unique):
    return unique("g")


def tps(topic, *partitions):
    return [TopicPartition(topic, partition) for partition in partitions]


def fill(bed, tp, count, label="v", timestamp=0):
    values = [f"{label}{n}".encode() for n in range(count)]
    return bed.produce_all(Sent(tp.topic, tp.partition, value, timestamp=timestamp) for value in values)


def joined(member, *partitions):
    """The member owns these, and has committed where it began."""
    until(lambda: member.owned == set(partitions) and member.settled, member)


# -- records


def test_records_of_a_partition_come_in_offset_order_from_the_start(stage, group):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    fill(stage.bed, zero, 300)
    fill(stage.bed, one, 200)
    member = stage.member(group, topic, start="earliest")
    until(lambda: len(member.records) == 500, member)
    assert member.offsets(zero) == list(range(300))
    assert member.offsets(one) == list(range(200))
    assert [record.value for record in member.of(zero)] == [f"v{n}".encode() for n in range(300)]
    assert member.starts == {zero: Start(0, None), one: Start(0, None)}


def test_no_poll_brings_more_than_its_limit(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 50)
    member = stage.member(group, topic, start="earliest")
    sizes = []
    until(lambda: bool(sizes.append(len(member.turn(limit=7)))) or len(member.records) == 50)
    assert max(sizes) == 7
    assert member.offsets(tp) == list(range(50))


def test_a_poll_that_waits_returns_when_a_record_is_there_and_not_when_its_time_is_over(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    member = stage.member(group, topic, start="earliest")
    until(lambda: member.owned == {tp} and member.settled, member)
    member.turn()
    producing = threading.Thread(target=fill, args=(stage.bed, tp, 3))
    began = time.monotonic()
    producing.start()
    while not member.records and time.monotonic() - began < PATIENT_POLL:
        member.turn(timeout=PATIENT_POLL)
    took = time.monotonic() - began
    producing.join()
    assert member.records
    assert took < PATIENT_POLL / 2
    until(lambda: member.offsets(tp) == [0, 1, 2], member)


def test_a_record_arrives_as_it_was_written(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    headers = [("h", b"1"), ("h", b"2"), ("null", None), ("empty", b""), ("bin", b"\xff\x00")]
    stage.bed.produce_all(
        [
            Sent(topic, 0, b"\x00\xff", b"key", headers, 1_700_000_000_123),
            Sent(topic, 0, None, b"tombstone", timestamp=1),
            Sent(topic, 0, b"", b"", timestamp=2),
            Sent(topic, 0, b"no key", None, timestamp=3),
        ]
    )
    member = stage.member(group, topic, start="earliest")
    until(lambda: len(member.records) == 4, member)
    assert member.records == [
        (tp, 0, 1_700_000_000_123, "CREATE_TIME", b"key", b"\x00\xff", tuple(headers)),
        (tp, 1, 1, "CREATE_TIME", b"tombstone", None, ()),
        (tp, 2, 2, "CREATE_TIME", b"", b"", ()),
        (tp, 3, 3, "CREATE_TIME", None, b"no key", ()),
    ]


def test_positions_and_ends_follow_what_was_read(stage, group):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    fill(stage.bed, zero, 20)
    member = stage.member(group, topic, start="earliest")
    until(lambda: len(member.records) == 20, member)
    assert member.source.positions([zero, one]) == {zero: 20, one: 0}
    until(lambda: member.source.ends([zero, one]) == {zero: 20, one: 0}, member)
    assert member.source.positions([TopicPartition(topic, 7)]) == {}
    assert member.source.positions([]) == {}


def test_the_position_is_never_ahead_of_what_was_handed_out(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 100)
    member = stage.member(group, topic, start="earliest")

    def checked():
        handed = len(member.records)
        return member.source.positions(member.owned) in ({tp: handed}, {}) and handed

    while not member.records:
        member.turn(limit=3)
    while len(member.records) < 100:
        assert checked()
        member.turn(limit=3)


def test_the_position_passes_control_records_and_aborted_records(able, group):
    topic = able.topic()
    (tp,) = tps(topic, 0)
    able.transaction(topic, [b"v0"], commit=True)
    able.transaction(topic, [b"never"], commit=False)
    member = able.member(group, topic, start="earliest")
    # Two records and two markers: the end is 4, and the last record to be read has offset 0.
    until(lambda: member.source.positions([tp]) == {tp: 4}, member)
    assert [(record.offset, record.value) for record in member.records] == [(0, b"v0")]
    assert able.bed.end_offsets(topic) == {0: 4}


# -- pause


def test_a_pause_stops_exactly_these_partitions_and_resuming_neither_loses_nor_repeats(stage, group):
    topic = stage.topic(3)
    zero, one, two = tps(topic, 0, 1, 2)
    for tp in (zero, one, two):
        fill(stage.bed, tp, 10)
    member = stage.member(group, topic, start="earliest")
    until(lambda: len(member.records) == 30, member)
    member.source.set_paused(frozenset({zero, two}))
    for tp in (zero, one, two):
        fill(stage.bed, tp, 10)
    until(lambda: len(member.of(one)) == 20, member)
    drive(0.5, member)
    assert (len(member.of(zero)), len(member.of(two))) == (10, 10)
    member.source.set_paused(frozenset({two}))
    until(lambda: len(member.of(zero)) == 20, member)
    drive(0.3, member)
    assert len(member.of(two)) == 10
    member.source.set_paused(frozenset())
    until(lambda: len(member.records) == 60, member)
    for tp in (zero, one, two):
        assert member.offsets(tp) == list(range(20))


def test_a_pause_amid_a_backlog_neither_loses_nor_repeats(stage, group):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    member = stage.member(group, topic)
    joined(member, zero, one)
    fill(stage.bed, zero, 150)
    fill(stage.bed, one, 150)
    for step in range(10_000):
        if len(member.records) == 300:
            break
        member.source.set_paused(frozenset([(zero, one)[step % 2]]) if step % 3 else frozenset())
        seen = len(member.records)
        came = member.turn(limit=11)
        paused = (zero, one)[step % 2] if step % 3 else None
        assert all(record.tp != paused for record in came), f"step {step}, after {seen}"
    assert member.offsets(zero) == list(range(150))
    assert member.offsets(one) == list(range(150))


def test_pausing_what_is_not_ours_is_nothing(stage, group):
    topic = stage.topic(1)
    (tp,) = tps(topic, 0)
    member = stage.member(group, topic, start="earliest")
    member.source.set_paused(frozenset(tps(topic, 0, 5)))
    joined(member, tp)
    member.source.set_paused(frozenset(tps(topic, 5)))
    fill(stage.bed, tp, 3)
    until(lambda: len(member.records) == 3, member)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pause_is_not_carried_into_the_next_assignment(stage, group, protocol):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    first = stage.member(group, topic, properties=protocol)
    joined(first, zero, one)
    first.source.set_paused(frozenset({zero, one}))
    second = stage.member(group, topic, properties=protocol)
    until(lambda: len(first.owned) == len(second.owned) == 1 and second.settled, first, second)
    (moved,) = second.owned
    stage.leave(second)
    until(lambda: first.owned == {zero, one}, first)
    # What came back begins unpaused, whatever was the case before it went.
    fill(stage.bed, moved, 5)
    until(lambda: first.offsets(moved)[-5:] == list(range(5)), first)
    # A pause that is asked for again is applied again, and lifted again.
    first.source.set_paused(frozenset({zero, one}))
    fill(stage.bed, moved, 5)
    drive(0.5, first)
    assert len(first.of(moved)) == 5
    first.source.set_paused(frozenset())
    until(lambda: len(first.of(moved)) == 10, first)


# -- commits


def first_partitions(bed, group, topic):
    """How many partitions the topic had at the group's first start, as each of its commits says."""
    return {number: mark_in(each.metadata).partitions for number, each in bed.committed(group, topic).items()}


def test_a_commit_is_answered_and_seen_on_the_broker_with_what_it_remembers(stage, group):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    fill(stage.bed, zero, 10)
    member = stage.member(group, topic, start="earliest")
    joined(member, zero, one)
    first = stage.bed.committed(group, topic)
    assert {partition: each.offset for partition, each in first.items()} == {0: 0, 1: 0}
    assert first_partitions(stage.bed, group, topic) == {0: 2, 1: 2}
    member.answers.clear()
    member.commit({zero: 7})
    until(lambda: member.settled, member)
    assert member.answers == [({zero: 7}, None)]
    again = stage.bed.committed(group, topic)
    assert {partition: each.offset for partition, each in again.items()} == {0: 7, 1: 0}
    assert first_partitions(stage.bed, group, topic) == {0: 2, 1: 2}


def test_a_commit_that_waits_is_on_the_broker_when_it_returns(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 10)
    member = stage.member(group, topic, start="earliest")
    joined(member, tp)
    member.source.commit_now({tp: 4})
    ((offset, metadata),) = stage.bed.committed(group, topic).values()
    assert (offset, mark_in(metadata).partitions) == (4, 1)


def test_the_next_member_goes_on_where_the_last_one_committed(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 10)
    first = stage.member(group, topic, start="earliest")
    until(lambda: len(first.records) == 10 and first.settled, first)
    first.source.commit_now({tp: 6})
    stage.leave(first)
    second = stage.member(group, topic, start="earliest")
    until(lambda: len(second.records) == 4, second)
    assert second.offsets(tp) == [6, 7, 8, 9]
    assert second.starts == {tp: Start(6, 6)}


def test_a_commit_that_failed_says_why_and_the_next_one_counts(faulty, group):
    topic = faulty.topic()
    (tp,) = tps(topic, 0)
    fill(faulty.bed, tp, 5)
    member = faulty.member(group, topic, start="earliest")
    joined(member, tp)
    member.answers.clear()
    faulty.refuse_commit(GROUP_AUTHORIZATION_FAILED)
    member.commit({tp: 3})
    until(lambda: member.settled, member)
    ((offsets, error),) = member.answers
    assert offsets == {}
    assert error is not None
    if faulty.bed.kind == "mock":
        assert error == f"group {group}: Broker: Group authorization failed: the principal needs READ on it"
    member.commit({tp: 4})
    until(lambda: member.settled, member)
    assert member.answers[1:] == [({tp: 4}, None)]
    assert faulty.bed.committed(group, topic)[0].offset == 4


def test_a_commit_that_waits_is_transient_when_refused_and_can_be_tried_again(faulty, group):
    topic = faulty.topic()
    (tp,) = tps(topic, 0)
    member = faulty.member(group, topic)
    joined(member, tp)
    faulty.refuse_commit(REBALANCE_IN_PROGRESS)
    with pytest.raises(Transient):
        member.source.commit_now({tp: 0})
    member.source.commit_now({tp: 0})


# -- where reading begins


HOUR = 3_600_000


@pytest.mark.parametrize("clock", [-HOUR, 0, HOUR])
def test_latest_begins_with_the_groups_first_start_also_after_a_restart(stage, group, clock):
    """Whatever the producers' clock says: a beginning is a position."""
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    at = wall_ms() + clock
    fill(stage.bed, zero, 5, "before", at)
    fill(stage.bed, one, 5, "before", at)
    first = stage.member(group, topic)
    joined(first, zero, one)
    assert first.starts == {zero: Start(5, 5), one: Start(5, 5)}
    assert {p: each.offset for p, each in stage.bed.committed(group, topic).items()} == {0: 5, 1: 5}
    fill(stage.bed, zero, 2, "running", at)
    until(lambda: len(first.records) == 2, first)
    stage.leave(first)
    fill(stage.bed, zero, 2, "away", at)
    fill(stage.bed, one, 2, "away", at)
    second = stage.member(group, topic)
    until(lambda: len(second.records) == 6, second)
    drive(0.3, second)
    assert [record.value for record in second.of(zero)] == [b"running0", b"running1", b"away0", b"away1"]
    assert [record.value for record in second.of(one)] == [b"away0", b"away1"]
    assert second.starts == {zero: Start(5, 5), one: Start(5, 5)}


def test_how_many_partitions_there_were_at_the_first_start_outlives_restarts(able, group):
    topic = able.topic()
    zero, one = tps(topic, 0, 1)
    seen = []
    for total in (1, 1, 2):
        able.bed.add_partitions(topic, total) if total > 1 else None
        member = able.member(group, topic)
        joined(member, *(zero, one)[:total])
        member.source.commit_now({zero: 0})
        seen.append(first_partitions(able.bed, group, topic))
        able.leave(member)
    assert seen == [{0: 1}, {0: 1}, {0: 1, 1: 1}]


def test_a_group_that_others_committed_for_in_part_loses_nothing_of_the_rest(stage, group):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    fill(stage.bed, zero, 5)
    fill(stage.bed, one, 5)
    commit_as_another_tool(stage, group, {zero: 3})
    member = stage.member(group, topic)
    until(lambda: len(member.records) == 7, member)
    assert member.starts == {zero: Start(3, 3), one: Start(0, None)}


def test_the_first_start_of_two_members_at_one_moment_is_one_position_for_each_partition(stage, group):
    topic = stage.topic(4)
    every = tps(topic, 0, 1, 2, 3)
    for tp in every:
        fill(stage.bed, tp, 5, "before", wall_ms() + HOUR)
    members = [stage.member(group, topic), stage.member(group, topic)]
    until(lambda: members[0].owned | members[1].owned == set(every), *members)
    for tp in every:
        fill(stage.bed, tp, 2, "after", wall_ms() - HOUR)
    until(lambda: sum(len(each.records) for each in members) >= 8, *members)
    found = {tp: {r.value for each in members for r in each.of(tp)} for tp in every}
    assert found == {key: {b"after0", b"after1"} for key in every}


def commit_as_another_tool(stage, group, offsets):
    if isinstance(stage.bed, ScriptedBroker):
        stage.bed.group(group).committed |= {tp: Stored(at, "") for tp, at in offsets.items()}
        return
    tool = Consumer({"bootstrap.servers": stage.bed.bootstrap, "group.id": group, "log_level": 0})
    tool.commit(offsets=[KafkaPartition(*tp, at) for tp, at in offsets.items()], asynchronous=False)
    tool.close()


def test_earliest_begins_with_what_the_log_still_holds(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 10)
    stage.bed.delete_records(topic, 0, 4)
    member = stage.member(group, topic, start="earliest")
    until(lambda: len(member.records) == 6, member)
    assert member.starts == {tp: Start(4, None)}
    assert member.told("gap") == []


def test_a_time_begins_with_the_first_record_of_that_time_or_later(able, group):
    topic = able.topic(3)
    zero, one, two = tps(topic, 0, 1, 2)
    base = 1_700_000_000_000
    able.bed.produce_all(Sent(topic, 0, b"%d" % n, timestamp=base + n * 1000) for n in range(10))
    able.bed.produce_all(Sent(topic, 1, b"%d" % n, timestamp=base - 1000) for n in range(10))
    member = able.member(group, topic, start=datetime.fromtimestamp(base / 1000 + 4, UTC))
    until(lambda: len(member.records) == 6, member)
    assert member.starts == {zero: Start(4, 4), one: Start(10, 10), two: Start(0, 0)}


def test_a_partition_added_while_the_group_runs_loses_nothing(able, group):
    topic = able.topic()
    zero, one = tps(topic, 0, 1)
    fill(able.bed, zero, 3, "before")
    member = able.member(group, topic)
    joined(member, zero)
    able.bed.add_partitions(topic, 2)
    fill(able.bed, one, 5, "new", wall_ms() - HOUR)
    until(lambda: len(member.of(one)) == 5, member)
    assert member.starts == {zero: Start(3, 3), one: Start(0, None)}
    assert member.offsets(zero) == []


@pytest.mark.parametrize("clock", [-HOUR, HOUR])
def test_a_partition_added_while_the_group_was_away_loses_nothing(able, group, clock):
    topic = able.topic()
    zero, one = tps(topic, 0, 1)
    fill(able.bed, zero, 3, "before")
    first = able.member(group, topic)
    joined(first, zero)
    able.leave(first)
    able.bed.add_partitions(topic, 2)
    fill(able.bed, one, 5, "new", wall_ms() + clock)
    second = able.member(group, topic)
    joined(second, zero, one)
    until(lambda: len(second.of(one)) == 5, second)
    assert second.starts == {zero: Start(3, 3), one: Start(0, None)}
    assert able.bed.committed(group, topic)[1].offset == 0
    assert first_partitions(able.bed, group, topic) == {0: 1, 1: 1}


def test_a_topic_that_does_not_exist_yet_is_waited_for_and_read_from_its_beginning(able, group):
    topic = able.unique("t")
    (tp,) = tps(topic, 0)
    member = able.member(group, topic)
    member.source.wait_for(topic)  # as the service does, of what `reach` found missing
    drive(1.0, member)
    assert member.owned == set()
    able.bed.create_topic(topic)
    fill(able.bed, tp, 3, timestamp=wall_ms() - HOUR)
    until(lambda: len(member.records) == 3, member)
    joined(member, tp)
    assert first_partitions(able.bed, group, topic) == {0: 0}


def test_a_topic_that_did_not_exist_when_another_was_begun_is_new_also_after_a_restart(on_kafka, group):
    here, later = on_kafka.topic(), on_kafka.unique("later")
    (zero,) = tps(here, 0)
    (new,) = tps(later, 0)
    first = on_kafka.member(group, here, later)
    first.source.wait_for(later)
    joined(first, zero)
    on_kafka.leave(first)
    on_kafka.bed.create_topic(later)
    fill(on_kafka.bed, new, 3, timestamp=wall_ms() - HOUR)
    second = on_kafka.member(group, here, later)
    until(lambda: len(second.of(new)) == 3, second)
    joined(second, zero, new)


def test_a_topic_that_the_action_reads_from_now_on_begins_at_its_end(on_kafka, group):
    here, other = on_kafka.topic(), on_kafka.topic()
    (zero,) = tps(here, 0)
    (new,) = tps(other, 0)
    fill(on_kafka.bed, new, 3, timestamp=wall_ms() + HOUR)
    first = on_kafka.member(group, here)
    joined(first, zero)
    on_kafka.leave(first)
    second = on_kafka.member(group, here, other)
    joined(second, zero, new)
    assert second.starts[new] == Start(3, 3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("error", [COORDINATOR_LOADING, GROUP_AUTHORIZATION_FAILED])
def test_no_answer_about_offsets_is_never_no_offset(faulty, group, protocol, error):
    topic = faulty.topic(2)
    zero, one = tps(topic, 0, 1)
    fill(faulty.bed, zero, 10)
    first = faulty.member(group, topic, start="earliest")
    until(lambda: len(first.records) == 10 and first.settled, first)
    first.source.commit_now({zero: 5, one: 0})
    faulty.leave(first)
    faulty.silence_about_offsets(error)
    second = faulty.member(group, topic, properties=protocol)
    until(lambda: bool(second.troubles), second)
    drive(1.0, second)
    assert second.records == []
    assert second.starts == {}
    assert second.owned == set()
    faulty.speak_about_offsets()
    until(lambda: len(second.records) == 5, second)
    assert second.starts == {zero: Start(5, 5), one: Start(0, 0)}
    assert second.offsets(zero) == [5, 6, 7, 8, 9]
    until(lambda: second.troubles[-1] is None, second)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partitions_without_an_answer_can_be_taken_away_again(faulty, group, protocol):
    topic = faulty.topic(2)
    zero, one = tps(topic, 0, 1)
    faulty.silence_about_offsets(GROUP_AUTHORIZATION_FAILED)
    first = faulty.member(group, topic, properties=protocol)
    until(lambda: bool(first.troubles), first)
    second = faulty.member(group, topic, properties=protocol)
    until(lambda: bool(second.troubles), first, second)
    faulty.speak_about_offsets()
    until(lambda: len(first.owned) == len(second.owned) == 1, first, second)
    assert first.owned | second.owned == {zero, one}
    fill(faulty.bed, zero, 3)
    fill(faulty.bed, one, 3)
    until(lambda: len(first.records) == len(second.records) == 3, first, second)


# -- outside of the log


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_position_that_retention_has_taken_is_a_gap_and_reading_goes_on_where_told(stage, group, protocol):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    fill(stage.bed, zero, 10)
    first = stage.member(group, topic, start="earliest")
    until(lambda: len(first.records) == 10 and first.settled, first)
    first.source.commit_now({zero: 2})
    stage.leave(first)
    stage.bed.delete_records(topic, 0, 6)
    second = stage.member(group, topic, properties=protocol, on_gap=lambda tp, low, high: low + 1)
    until(lambda: len(second.records) == 3, second)
    assert second.told("gap") == [(zero, 6, 10)]
    assert second.offsets(zero) == [7, 8, 9]
    assert second.starts == {zero: Start(2, 2), one: Start(0, 0)}
    assert second.source.positions([zero]) == {zero: 10}


def test_a_position_past_the_end_is_a_gap(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 4)
    first = stage.member(group, topic, start="earliest")
    joined(first, tp)
    first.source.commit_now({tp: 1000})
    stage.leave(first)
    second = stage.member(group, topic)
    until(lambda: len(second.records) == 4, second)
    assert second.told("gap") == [(tp, 0, 4)]
    assert second.offsets(tp) == [0, 1, 2, 3]
    assert second.source.positions([tp]) == {tp: 4}


def test_what_the_listener_raises_for_a_gap_comes_out_of_poll(stage, group):
    def halt(tp, low, high):
        raise Fatal("on_gap: halt")

    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 4)
    first = stage.member(group, topic, start="earliest")
    joined(first, tp)
    stage.leave(first)
    stage.bed.delete_records(topic, 0, 2)
    second = stage.member(group, topic, on_gap=halt)
    with pytest.raises(Fatal, match="halt"):
        until(lambda: False, second)
    assert second.records == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_gap_while_reading_stops_only_its_own_partition(stage, group, protocol):
    topic = stage.topic(3)
    zero, one, two = tps(topic, 0, 1, 2)
    fill(stage.bed, zero, 5)
    member = stage.member(group, topic, start="earliest", properties=protocol)
    until(lambda: len(member.records) == 5 and member.owned == {zero, one, two}, member)
    member.source.set_paused(frozenset({zero, two}))
    fill(stage.bed, zero, 5)
    stage.bed.delete_records(topic, 0, 8)
    fill(stage.bed, one, 5)
    fill(stage.bed, two, 5)
    until(lambda: len(member.of(one)) == 5, member)
    member.source.set_paused(frozenset({two}))
    until(lambda: member.offsets(zero)[5:] == [8, 9], member)
    assert member.told("gap") == [(zero, 8, 10)]
    fill(stage.bed, one, 5)
    until(lambda: len(member.of(one)) == 10, member)
    assert member.offsets(one) == list(range(10))
    # What was paused before the gap is paused after it.
    drive(0.3, member)
    assert member.of(two) == []
    member.source.set_paused(frozenset())
    until(lambda: len(member.of(two)) == 5, member)
    # And nobody was told that anything was assigned anew.
    assert len(member.told("assigned")) == 1


# -- groups


def share(stage, group, topic, partitions, protocol):
    """Two members that own halves."""
    first = stage.member(group, topic, properties=protocol)
    joined(first, *partitions)
    second = stage.member(group, topic, properties=protocol)
    half = len(partitions) // 2

    def even():
        return len(first.owned) == len(second.owned) == half and first.settled and second.settled

    until(even, first, second)
    assert first.owned | second.owned == set(partitions)
    return first, second


@pytest.mark.parametrize("protocol", [*PROTOCOLS, pytest.param(KIP_848, id="kip-848")])
def test_two_members_share_and_when_one_leaves_the_other_goes_on_from_its_commits(stage, group, protocol):
    topic = stage.topic(4)
    partitions = tps(topic, 0, 1, 2, 3)
    first, second = share(stage, group, topic, partitions, protocol)
    for tp in partitions:
        fill(stage.bed, tp, 10)
    until(lambda: len(first.records) == len(second.records) == 20, first, second)
    taken = sorted(second.owned)
    second.source.commit_now(dict.fromkeys(taken, 6))
    stage.leave(second)
    until(lambda: first.owned == set(partitions), first)
    until(lambda: all(first.offsets(tp) == [6, 7, 8, 9] for tp in taken), first)
    for tp in taken:
        assert first.starts[tp] == Start(6, 6)


@pytest.mark.parametrize("protocol", [*PROTOCOLS, pytest.param(KIP_848, id="kip-848")])
def test_what_is_committed_while_revoked_is_where_the_next_owner_begins(able, group, protocol):
    topic = able.topic(4)
    partitions = tps(topic, 0, 1, 2, 3)
    settled = {}

    def settle(member, gone):
        if not settled:
            settled.update(dict.fromkeys(gone, 7))
            member.source.commit_now(settled)

    first = able.member(group, topic, properties=protocol, on_revoke=settle)
    joined(first, *partitions)
    for tp in partitions:
        fill(able.bed, tp, 10)
    until(lambda: len(first.records) == 40, first)
    second = able.member(group, topic, properties=protocol)
    until(lambda: len(second.owned) == 2, first, second)
    assert settled
    assert first.told("lost") == []
    assert second.owned <= set.union(*first.told("revoked"))
    until(lambda: len(second.records) == 6, first, second)
    for tp in second.owned:
        assert second.starts[tp] == Start(7, 7)
        assert second.offsets(tp) == [7, 8, 9]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_partition_that_came_back_is_where_its_commit_is_not_where_it_was_read_to(stage, group, protocol):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    first = stage.member(group, topic, properties=protocol)
    joined(first, zero, one)
    for tp in (zero, one):
        fill(stage.bed, tp, 10)
    until(lambda: len(first.records) == 20, first)
    second = stage.member(group, topic, properties=protocol)
    until(lambda: len(first.owned) == len(second.owned) == 1, first, second)
    (moved,) = second.owned
    second.source.set_paused(frozenset({moved}))
    stage.leave(second)
    came_back = []

    def back():
        if moved in first.owned and not came_back:
            came_back.append(first.source.positions([moved]))
        return bool(came_back)

    seen = len(first.of(moved))
    while not back():
        first.turn(limit=1, timeout=0.01)
    handed = len(first.of(moved)) - seen
    # The group has committed 0 for it: the loop takes the position of an idle lane for settled.
    assert came_back == [{moved: handed}]
    until(lambda: first.offsets(moved)[seen:] == list(range(10)), first)


STALLS = {"session.timeout.ms": 2000, "max.poll.interval.ms": 2000, "heartbeat.interval.ms": 300}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_that_did_not_poll_in_time_has_lost_its_partitions_and_joins_again(stage, group, protocol):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    member = stage.member(group, topic, properties={**STALLS, **protocol})
    joined(member, zero, one)
    member.source.commit_now({zero: 0, one: 0})
    stage.expel(member)
    until(lambda: bool(member.told("lost")), member)
    assert set.union(*member.told("lost")) == {zero, one}
    assert member.told("revoked") == []
    until(lambda: member.owned == {zero, one}, member)
    fill(stage.bed, zero, 3)
    until(lambda: len(member.records) == 3, member)


def test_a_stalled_member_cannot_commit_for_what_another_has_taken_over(stage, group):
    refused = []

    def too_late(member, gone):
        try:
            member.source.commit_now(dict.fromkeys(gone, 1))
        except Transient as error:
            refused.append(error)

    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)
    stalled = stage.member(group, topic, properties=STALLS, on_revoke=too_late)
    joined(stalled, zero, one)
    stage.expel(stalled)
    other = stage.member(group, topic, properties={**STALLS, "max.poll.interval.ms": 60_000})
    until(lambda: other.owned == {zero, one} and other.settled, other)
    fill(stage.bed, zero, 5)
    fill(stage.bed, one, 5)
    until(lambda: len(other.records) == 10, other)
    other.source.commit_now({zero: 3, one: 3})
    until(lambda: bool(stalled.told("revoked") or stalled.told("lost")), stalled, other)
    assert stalled.told("lost") or refused
    assert {p: each.offset for p, each in stage.bed.committed(group, topic).items()} == {0: 3, 1: 3}
    until(lambda: len(stalled.owned) == len(other.owned) == 1, stalled, other)
    until(lambda: len(stalled.records) == 2, stalled, other)
    assert [record.offset for record in stalled.records] == [3, 4]


def test_a_commit_for_a_lost_partition_is_answered_and_raises_nothing(stage, group):
    topic = stage.topic(2)
    partitions = tps(topic, 0, 1)
    first, second = share(stage, group, topic, partitions, EAGER)
    (gone,) = second.owned
    (kept,) = first.owned
    first.answers.clear()
    first.commit({gone: 1})
    until(lambda: first.settled, first, second)
    assert [answer.offsets for answer in first.answers] == [{gone: 1}]
    # And it says nothing about the next one.
    first.commit({kept: 0})
    until(lambda: first.settled, first, second)
    assert first.answers[1:] == [({kept: 0}, None)]


def test_a_commit_on_its_way_when_the_partitions_go_is_answered_once(stage, group):
    topic = stage.topic(2)
    zero, one = tps(topic, 0, 1)

    asked = []

    def hasty(member, gone):
        if member.settled:
            asked.append(set(gone))
            member.commit(dict.fromkeys(gone, 0))

    first = stage.member(group, topic, on_revoke=hasty)
    joined(first, zero, one)
    first.answers.clear()
    second = stage.member(group, topic)
    until(lambda: len(first.owned) == len(second.owned) == 1 and first.settled, first, second)
    drive(0.5, first, second)
    # Once for each: on a busy machine the group may be balanced twice before each has its own.
    assert asked
    assert [set(each.offsets) for each in first.answers] == [
        gone if each.error is None else set() for gone, each in zip(asked, first.answers, strict=True)
    ]


def test_closing_revokes_what_is_owned_so_that_the_last_commit_can_be_made(stage, group):
    topic = stage.topic()
    (tp,) = tps(topic, 0)
    fill(stage.bed, tp, 5)
    member = stage.member(
        group, topic, start="earliest", on_revoke=lambda member, gone: member.source.commit_now(dict.fromkeys(gone, 3))
    )
    joined(member, tp)
    stage.leave(member)
    assert member.told("revoked") == [{tp}]
    assert stage.bed.committed(group, topic)[0].offset == 3


def test_leaving_lets_the_next_member_in_at_once(able, group):
    topic = able.topic()
    (tp,) = tps(topic, 0)
    first = able.member(group, topic, properties={"session.timeout.ms": 45_000})
    joined(first, tp)
    able.leave(first)
    second = able.member(group, topic, properties={"session.timeout.ms": 45_000})
    until(lambda: second.owned == {tp}, second, patience=30)  # the session is 45 s


# -- trouble


def test_a_broker_that_goes_is_told_and_so_is_its_return(on_mock, group):
    topic = on_mock.topic()
    (tp,) = tps(topic, 0)
    member = on_mock.member(group, topic)
    joined(member, tp)
    assert member.troubles == []
    on_mock.bed.cluster.down(1)
    until(lambda: bool(member.troubles), member)
    assert member.troubles[-1]
    on_mock.bed.cluster.up(1)
    until(lambda: member.troubles[-1] is None, member)
    fill(on_mock.bed, tp, 3)
    until(lambda: len(member.records) == 3, member)
    assert member.offsets(tp) == [0, 1, 2]
