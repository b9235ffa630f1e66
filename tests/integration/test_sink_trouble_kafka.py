"""The dead letters' topic or its brokers fail while the poller runs: it waits, red, and goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient

from datahub_poller.demo.broker import API_PRODUCE, TOPIC_AUTHORIZATION_FAILED, MockCluster
from support.brokers import PATIENCE, QUIET, KafkaBed, MockBed
from support.kafka_topics import make_topic
from support.running import Stage
from support.sink_places import TopicPlace
from support.sink_scene import Scene

pytestmark = pytest.mark.timeout(90)
LASTS = 3.0
"""Seconds: by then the letters were tried more than once."""


# -- another cluster, which fails to order


@contextmanager
def brokers_are_down(cluster: MockCluster, topic: str) -> Iterator[None]:
    cluster.down(1)
    yield
    cluster.up(1)


@contextmanager
def no_answer(cluster: MockCluster, topic: str) -> Iterator[None]:
    cluster.set_rtt(1, 20_000)
    yield
    cluster.set_rtt(1, 0)


@contextmanager
def access_is_taken(cluster: MockCluster, topic: str) -> Iterator[None]:
    cluster.push_errors(API_PRODUCE, [TOPIC_AUTHORIZATION_FAILED] * 1000)
    yield
    cluster.clear_errors(API_PRODUCE)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (brokers_are_down, "Connection refused"),
        (no_answer, "did not acknowledge|not acknowledged|Timed out"),
        (access_is_taken, "authorization failed.*WRITE"),
    ],
)
def test_while_the_letters_own_cluster_fails_nothing_is_lost_and_nothing_is_committed_past_it(
    mock_bed, tmp_path, unique, trouble, words
):
    topic = unique("letters")
    with MockCluster() as cluster, Stage(mock_bed, tmp_path, unique) as stage:
        MockBed(cluster).create_topic(topic)
        with Scene(stage, TopicPlace(cluster.bootstrap, topic, elsewhere=True)) as scene:
            scene.begins()
            with trouble(cluster, topic):
                scene.waits(words)
                scene.stays(LASTS)
            scene.recovers()


# -- a real one


def test_a_topic_that_is_deleted_while_it_runs_is_waited_for(on_kafka, kafka, unique):
    topic = unique("letters")
    kafka.create_topic(topic)
    place = TopicPlace(kafka.bootstrap, topic)
    with Scene(on_kafka, place) as scene:
        scene.begins()
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **QUIET})
        admin.delete_topics([topic])[topic].result(PATIENCE)
        scene.waits(rf"{topic}.*does not exist")
        scene.stays(LASTS)
        kafka.create_topic(topic)
        place.renewed()
        scene.recovers()


@pytest.mark.timeout(150)
def test_a_topic_of_three_brokers_that_lost_one_is_waited_for(new_kafka, tmp_path, unique):
    """One topic has lost its leader with its only replica; another one has too few replicas in sync left."""
    cluster = new_kafka(3)
    bed = KafkaBed(cluster.bootstrap)
    make_topic(cluster.bootstrap, "alone", [[3]])
    make_topic(cluster.bootstrap, "strict", [[1, 2, 3]], min_insync_replicas="3")
    alone, strict = tmp_path / "alone", tmp_path / "strict"
    alone.mkdir()
    strict.mkdir()
    with (
        Stage(bed, alone, unique) as one,
        Stage(bed, strict, unique) as other,
        Scene(one, TopicPlace(bed.bootstrap, "alone")) as leaderless,
        Scene(other, TopicPlace(bed.bootstrap, "strict")) as short,
    ):
        leaderless.begins()
        short.begins()
        cluster.kill(3)
        leaderless.waits("no leader for partition 0")
        short.waits("not enough replicas in sync for partition 0")
        for _ in range(3):
            leaderless.stays(1.0)
            short.stays(1.0)
        cluster.restart(3)
        leaderless.recovers()
        short.recovers()
