"""Every kind of sink is down for a whole minute in the middle of a flow of events, all at the same time."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from guarantees.disk import LettersDisk
from support.brokers import KafkaBed
from support.kafka_topics import make_topic
from support.on_aws import on_aws
from support.running import Stage
from support.sink_places import BucketPlace, FilePlace, QueuePlace, TopicPlace
from support.sink_scene import Scene

pytestmark = pytest.mark.deep

MINUTE = 60.0


@pytest.mark.timeout(240)
def test_a_sink_that_is_down_for_a_minute_loses_nothing_and_needs_no_restart(
    new_kafka, moto_server, monkeypatch, tmp_path, unique
):
    """The topic's only replica is gone, SQS cuts every connection, S3 does not answer, the disk is full."""
    cluster = new_kafka(3)
    bed = KafkaBed(cluster.bootstrap)
    make_topic(cluster.bootstrap, "letters", [[3]])
    with ExitStack() as held:
        for_queue, for_bucket = (held.enter_context(on_aws(moto_server, monkeypatch)) for _ in range(2))
        stages = {kind: _stage(held, bed, tmp_path / kind, unique) for kind in ("file", "kafka", "sqs", "s3")}
        disk = held.enter_context(LettersDisk(stages["file"].letters_directory))
        places = {
            "file": FilePlace(stages["file"]),
            "kafka": TopicPlace(cluster.bootstrap, "letters"),
            "sqs": QueuePlace(for_queue),
            "s3": BucketPlace(for_bucket),
        }
        scenes = {kind: held.enter_context(Scene(stages[kind], places[kind], pause=0.2)) for kind in places}
        for scene in scenes.values():
            scene.begins()
        cluster.kill(3)
        for_queue.proxy.fault("cut", "*")
        for_bucket.proxy.fault("delay", "*", seconds=10 * MINUTE)
        with disk.full():
            began = time.monotonic()
            scenes["file"].waits("No space left on device" if disk.kind == "tmpfs" else "cannot be written")
            scenes["kafka"].waits("no leader for partition 0")
            scenes["sqs"].waits("ConnectionClosedError.*the way to SQS")
            scenes["s3"].waits("ReadTimeoutError.*the way to S3")
            while time.monotonic() < began + MINUTE:
                for scene in scenes.values():
                    scene.stays(0.5)
        cluster.restart(3)
        for_queue.proxy.heal()
        for_bucket.proxy.heal()
        for scene in scenes.values():
            scene.recovers()


def _stage(held: ExitStack, bed: KafkaBed, directory, unique) -> Stage:
    directory.mkdir()
    return held.enter_context(Stage(bed, directory, unique))
