"""A broker that is slow to answer holds up the poll thread for seconds, not for as long as there are questions."""

from __future__ import annotations

import itertools
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import CannotStart
from datahub_poller.kafka.begin import ASK_SECONDS
from datahub_poller.kafka.source import KafkaSource
from datahub_poller.model import TopicPartition

LONGEST_SILENCE = ASK_SECONDS
"""Between two signs of life: one question."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.alive_at = [self.now]

    def __call__(self) -> float:
        return self.now

    def alive(self) -> None:
        self.alive_at.append(self.now)

    @property
    def longest_silence(self) -> float:
        moments = [*self.alive_at, self.now]
        return max(late - early for early, late in itertools.pairwise(moments))


class SlowConsumer:
    """Every question takes as long as it may. `silent` are the partitions whose ends are not told."""

    def __init__(self, clock: Clock, silent: set[int]) -> None:
        self.clock = clock
        self.silent = silent
        self.asked: list[int] = []

    def get_watermark_offsets(self, asked: KafkaPartition, timeout: float = 0, cached: bool = False) -> Any:
        self.clock.now += timeout
        self.asked.append(asked.partition)
        if asked.partition in self.silent:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return 5, 9

    def list_topics(self, topic: str, timeout: float) -> Any:
        self.clock.now += timeout
        if topic.startswith("there"):
            return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None}, error=None)})
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def committed(self, asked: list[KafkaPartition], timeout: float) -> list[KafkaPartition]:
        self.clock.now += timeout
        return asked

    def offsets_for_times(self, asked: list[KafkaPartition], timeout: float) -> list[KafkaPartition]:
        self.clock.now += timeout
        return [KafkaPartition(each.topic, each.partition, 7) for each in asked]

    def consume(self, _: int, __: float) -> list[Any]:
        return []

    def memberid(self) -> None:
        return None

    def poll(self, _: float) -> None:
        return None

    def assign(self, _: Any) -> None:
        pass

    resume = pause = assign

    def position(self, asked: list[KafkaPartition]) -> list[KafkaPartition]:
        return asked


class Listener:
    def __init__(self) -> None:
        self.moved: list[int] = []

    def gap(self, tp: TopicPartition, low: int, _: int) -> int:
        self.moved.append(tp.partition)
        return low

    def trouble(self, _: str | None) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


def source_of(clock: Clock, silent: set[int]) -> tuple[KafkaSource, SlowConsumer]:
    config = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}
    source = KafkaSource(config, "earliest", clock, logging.getLogger("test"), clock.alive)
    source._consumer.close()
    slow: Any = SlowConsumer(clock, silent)
    source._consumer = source.reach._consumer = slow
    return source, slow


def test_partitions_out_of_range_are_asked_for_within_a_bound_and_none_starves_behind_a_silent_one(clock):
    source, slow = source_of(clock, silent=set(range(40)))
    listener: Any = Listener()
    source._listener = listener
    every = [TopicPartition("t", number) for number in range(42)]
    source._starts = dict.fromkeys(every, 0)
    source._out_of_range.add(every)
    for _ in range(60):
        began = clock.now
        source.poll(1, 0.0)
        assert clock.now - began <= 2 * ASK_SECONDS
        clock.now += 3.0
    assert sorted(listener.moved) == [40, 41], "behind forty whose leader is away"
    assert set(slow.asked) == set(range(42))


def test_a_start_that_waits_for_a_broker_shows_that_it_lives(clock):
    source, _ = source_of(clock, set())
    with pytest.raises(CannotStart, match="did not answer within 300 s"):
        source.reach.missing(["t"], 300.0)
    assert clock.now - 1_000.0 >= 300.0
    assert clock.longest_silence <= LONGEST_SILENCE


def test_where_partitions_begin_is_asked_with_signs_of_life_between(clock):
    source, slow = source_of(clock, set())
    source._beginnings._consumer = slow
    tps = [TopicPartition(f"there-{number}", 0) for number in range(3)]
    assert set(source._resolve(tps)) == set(tps)
    assert clock.now - 1_000.0 > 30.0, "all of it takes longer than a loop may be silent"
    assert clock.longest_silence <= LONGEST_SILENCE
