"""A place for dead letters that cannot be used is told by `check` and by `run`: code 3, what is wrong, what to do."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping

import pytest

from datahub_poller.demo.broker import TOPIC_AUTHORIZATION_FAILED
from support.commands import ran
from support.moto_server import MotoServer
from support.running import Stage

pytestmark = pytest.mark.timeout(90)
AWS = {name: value for name, value in MotoServer.environment().items() if name.startswith("AWS_")}


@pytest.fixture
def on_mock(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


@pytest.fixture
def nowhere():
    """An address on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def refused_at_the_start(stage: Stage, kind: str, config: Mapping, *words: str, **keys) -> None:
    """By both commands, within a time that a person waits, and nothing is committed."""
    changes = {"dead_letter": {"type": kind, "config": dict(config)}, **keys}
    action = stage.action({"source/config/connection/client_timeout_seconds": 3, **changes})
    for command in ("check", "run"):
        began = time.monotonic()
        done = ran(command, "-c", str(action), cwd=stage.directory, environ=AWS)
        assert done.code == 3, done.all
        said = done.all.replace("\\n", "\n")
        for each in words:
            assert re.search(each, said), said
        assert "Traceback" not in said
        assert time.monotonic() - began < 40
    assert stage.committed() == {}


# -- files


def test_a_directory_that_cannot_be_made(on_mock):
    (on_mock.directory / "file").touch()
    directory = str(on_mock.directory / "file" / "letters")
    refused_at_the_start(
        on_mock, "file", {"directory": directory, "ephemeral": "accept"}, "Not a directory", r"dead_letter\.config"
    )


# -- Kafka


def test_a_topic_that_is_missing(on_mock):
    words = "topic letters", "does not exist", "Create it", r"dead_letter\.config\.topic"
    refused_at_the_start(on_mock, "kafka", {"topic": "letters"}, *words)


def test_a_topic_that_may_not_be_written_to(on_mock, mock_bed):
    mock_bed.create_topic("letters")
    mock_bed.cluster.topic_error("letters", TOPIC_AUTHORIZATION_FAILED)
    refused_at_the_start(on_mock, "kafka", {"topic": "letters"}, "needs WRITE and DESCRIBE")


def test_a_cluster_for_letters_that_is_not_reached(on_mock, nowhere):
    words = f"topic letters on {nowhere}", "refused", r"dead_letter\.config\.bootstrap"
    refused_at_the_start(on_mock, "kafka", {"topic": "letters", "bootstrap": nowhere}, *words)


# -- SQS


def reached(aws, **more):
    return {"region": aws.account.region, "endpoint": aws.proxy.url, "timeout": "2s", **more}


def test_a_queue_that_is_missing(on_mock, aws):
    queue = f"{aws.proxy.url}/123456789012/nobodys"
    words = "NonExistentQueue", r"create the queue, or correct dead_letter\.config\.queue"
    refused_at_the_start(on_mock, "sqs", reached(aws, queue=queue), *words)


def test_a_queue_of_another_region(on_mock, aws):
    config = reached(aws, queue=aws.queue(), region="eu-west-1")
    refused_at_the_start(
        on_mock, "sqs", config, "NonExistentQueue", r"correct dead_letter\.config\.queue \(and \.region"
    )


def test_a_queue_that_may_not_be_used(on_mock, aws):
    aws.proxy.fault("refuse", "sqs:*", code="AccessDenied")
    words = "AccessDenied", r"the role needs sqs:GetQueueAttributes on http"
    refused_at_the_start(on_mock, "sqs", reached(aws, queue=aws.queue()), *words)


def test_an_endpoint_of_sqs_that_is_not_reached(on_mock, aws, nowhere):
    config = reached(aws, queue=aws.queue(), endpoint=f"http://{nowhere}")
    words = "EndpointConnectionError", r"the way to SQS .*dead_letter\.config\.endpoint"
    refused_at_the_start(on_mock, "sqs", config, *words)


# -- S3


def test_a_bucket_that_is_missing(on_mock, aws):
    words = "NoSuchBucket", r"create the bucket, or correct dead_letter\.config\.bucket"
    refused_at_the_start(on_mock, "s3", reached(aws, bucket="nobodys"), *words)


def test_a_bucket_of_another_region(on_mock, aws):
    aws.proxy.fault("refuse", "s3:*", code="IllegalLocationConstraintException", status=400)
    words = r"the bucket is in another region: correct dead_letter\.config\.region"
    refused_at_the_start(on_mock, "s3", reached(aws, bucket=aws.bucket().name), words)


def test_a_bucket_that_may_not_be_used(on_mock, aws):
    aws.proxy.fault("refuse", "s3:*", code="AccessDenied")
    words = "AccessDenied", r"the role needs s3:PutObject on .*dead-letters"
    refused_at_the_start(on_mock, "s3", reached(aws, bucket=aws.bucket().name), *words)


def test_an_endpoint_of_s3_that_is_not_reached(on_mock, aws, nowhere):
    config = reached(aws, bucket="letters", endpoint=f"http://{nowhere}")
    words = "EndpointConnectionError", r"the way to S3 .*dead_letter\.config\.endpoint"
    refused_at_the_start(on_mock, "s3", config, *words)
