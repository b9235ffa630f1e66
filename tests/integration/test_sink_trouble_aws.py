"""SQS and S3 refuse while the poller runs: it waits, red, commits nothing past the letter, and goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from support.on_aws import OnAws
from support.running import Stage
from support.sink_places import BucketPlace, QueuePlace
from support.sink_scene import Scene

pytestmark = [pytest.mark.timeout(90), pytest.mark.deep]
LASTS = 3.0
"""Seconds: by then the letters were tried more than once."""


@pytest.fixture
def on_mock(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        yield stage


def fault(kind: str, on: str, **more):
    @contextmanager
    def trouble(aws: OnAws, _) -> Iterator[None]:
        made = aws.proxy.fault(kind, on, **more)
        yield
        assert made.met > 1, "it was asked once only"
        aws.proxy.heal()

    return trouble


@contextmanager
def queue_is_deleted(aws: OnAws, place: QueuePlace) -> Iterator[None]:
    place.letters()
    aws.sqs.delete_queue(QueueUrl=place.url)
    yield
    again = aws.sqs.create_queue(QueueName=place.url.rsplit("/", 1)[1])["QueueUrl"]
    assert again == place.url


@contextmanager
def bucket_is_deleted(aws: OnAws, place: BucketPlace) -> Iterator[None]:
    place.letters()
    for key in aws.keys(place.bucket):
        aws.s3.delete_object(Bucket=place.bucket.name, Key=key)
    aws.s3.delete_bucket(Bucket=place.bucket.name)
    yield
    aws.s3.create_bucket(Bucket=place.bucket.name)


SEND, PUT = "sqs:SendMessageBatch", "s3:PutObject"
DENIED = r"AccessDenied.*the role needs {} on .*"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        pytest.param(fault("throttle", SEND), "RequestThrottled: .*slow down", id="throttled"),
        pytest.param(fault("throttle", SEND, status=503), "RequestThrottled: .*slow down", id="throttled with 503"),
        pytest.param(fault("error", SEND, status=503, code="ServiceUnavailable"), "ServiceUnavailable", id="503"),
        pytest.param(fault("some_entries", SEND, entries=(0,)), "1 of 3 .*InternalError", id="a part is refused"),
        pytest.param(fault("cut", "sqs:*"), r"ConnectionClosedError.*the way to SQS", id="cut"),
        pytest.param(fault("cut_after", SEND), r"ConnectionClosedError.*the way to SQS", id="cut before the answer"),
        pytest.param(fault("cut_within", SEND), r"the way to SQS", id="cut in the answer"),
        pytest.param(fault("delay", SEND, seconds=300), r"ReadTimeoutError.*timeout", id="no answer in time"),
        pytest.param(fault("refuse", SEND, code="AccessDenied"), DENIED.format("sqs:SendMessage"), id="refused"),
        pytest.param(fault("refuse", "*", code="ExpiredToken"), "ExpiredToken.*see the AWS credentials", id="expired"),
        pytest.param(queue_is_deleted, r"create the queue, or correct dead_letter\.config\.queue", id="deleted"),
    ],
)
def test_while_sqs_takes_no_letter_nothing_is_lost_and_nothing_is_committed_past_it(on_mock, aws, trouble, words):
    with Scene(on_mock, QueuePlace(aws)) as scene:
        _through(scene, lambda: trouble(aws, scene.place), words)


def test_while_a_fifo_queue_refuses_a_part_its_partitions_keep_their_order(on_mock, aws):
    with Scene(on_mock, QueuePlace(aws, fifo=True)) as scene:
        _through(scene, lambda: fault("some_entries", SEND, entries=(0,))(aws, None), "1 of 1 .*InternalError")
        offsets = [letter["meta"]["kafka"]["offset"] for letter in scene.place.letters()]
    assert offsets == sorted(set(offsets))


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        pytest.param(fault("error", PUT), "InternalError", id="500"),
        pytest.param(fault("throttle", PUT), "SlowDown: .*S3 asks to slow down", id="503"),
        pytest.param(fault("cut", PUT), r"ConnectionClosedError.*the way to S3", id="cut"),
        pytest.param(fault("cut_after", PUT), r"ConnectionClosedError.*the way to S3", id="cut before the answer"),
        pytest.param(fault("cut_within", PUT), r"the way to S3", id="cut in the answer"),
        pytest.param(fault("delay", PUT, seconds=300), r"ReadTimeoutError.*timeout", id="no answer in time"),
        pytest.param(fault("refuse", PUT, code="AccessDenied"), DENIED.format("s3:PutObject"), id="refused"),
        pytest.param(bucket_is_deleted, r"NoSuchBucket: .*create the bucket, or correct", id="deleted"),
    ],
)
def test_while_s3_takes_no_letter_nothing_is_lost_and_nothing_is_committed_past_it(on_mock, aws, trouble, words):
    with Scene(on_mock, BucketPlace(aws)) as scene:
        _through(scene, lambda: trouble(aws, scene.place), words)


def _through(scene: Scene, trouble: Callable, words: str) -> None:
    scene.begins()
    with trouble():
        scene.waits(words)
        scene.stays(LASTS)
    scene.recovers()
