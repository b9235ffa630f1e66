"""`dead-letters redrive` on other places: letters in a FIFO queue of SQS, records to a topic of a broker."""

from __future__ import annotations

import json
import os

import pytest
from confluent_kafka import Consumer, TopicPartition

from datahub_poller import letterbox
from datahub_poller.config import load
from datahub_poller.deadletter.redriven import HEADER
from support.action_files import with_keys, written
from support.brokers import PATIENCE
from support.commands import ran
from support.letter_stores import a_letter

pytestmark = pytest.mark.timeout(90)
HANDLER = """
import json, pathlib

def handle(event, context):
    with (pathlib.Path(__file__).parent / "calls.jsonl").open("a") as file:
        for each in event["events"]:
            file.write(json.dumps(each["meta"]["kafka"]) + "\\n")
"""


def action_file(directory, keys):
    (directory / "elsewhere_handler.py").write_text(HANDLER)
    return written(directory, with_keys({**keys, "handler.config.function": "elsewhere_handler:handle"}))


def redrive(action, *arguments):
    environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    done = ran("dead-letters", "redrive", "-c", str(action), *arguments, cwd=action.parent, environ=environ)
    assert "Traceback" not in done.err
    return done


def keep(action, *letters):
    letterbox.sink(load(action, os.environ), os.environ).write(letters)


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_a_queue_is_emptied_in_the_order_of_its_partitions(aws, tmp_path, fifo):
    config = {"queue": aws.queue(fifo=fifo), "region": aws.account.region, "endpoint": aws.proxy.url}
    action = action_file(tmp_path, {"dead_letter.type": "sqs", "dead_letter.config": config})
    keep(action, *(a_letter(offset, partition=offset % 2) for offset in range(24)))
    assert "24 letters would go to handler" in redrive(action, "--to", "handler").err or fifo
    ended = redrive(action, "--to", "handler", "--yes")
    assert ended.code == 0, ended.all
    assert "24 delivered" in ended.err
    places = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    for partition in (0, 1):
        assert [each["offset"] for each in places if each["partition"] == partition] == list(range(partition, 24, 2))
    assert "nothing to redrive" in redrive(action, "--to", "handler", "--yes").err


def on_kafka(bed, directory, unique):
    """An action file whose letters go to a topic, on the broker that its records came from."""
    letters = unique("letters")
    bed.create_topic(letters, 1)
    keys = {
        "source.config.connection": {"bootstrap": bed.bootstrap, "client_timeout_seconds": 5},
        "dead_letter": {"type": "kafka", "config": {"topic": letters}},
    }
    return action_file(directory, keys)


def read_all(bed, topic, count):
    consumer = Consumer({"bootstrap.servers": bed.bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = []
        while len(found) < count:
            message = consumer.poll(PATIENCE)
            assert message is not None, found
            assert message.error() is None
            found.append(message)
        return found
    finally:
        consumer.close()


def test_records_go_to_a_topic_as_they_were_and_say_that_they_come_again(mock_bed, tmp_path, unique):
    topic = unique("again")
    mock_bed.create_topic(topic, 1)
    action = on_kafka(mock_bed, tmp_path, unique)
    made = [a_letter(offset, key=b"k", value=b"v%d" % offset, headers=(("h", b"1"),)) for offset in range(5)]
    keep(action, *made)
    ended = redrive(action, "--to", "topic", topic, "--yes")
    assert ended.code == 0, ended.all
    assert "5 produced" in ended.err
    found = read_all(mock_bed, topic, 5)
    assert [message.value() for message in found] == [b"v%d" % offset for offset in range(5)]
    assert {message.key() for message in found} == {b"k"}
    for message, letter in zip(found, made, strict=True):
        first, (name, value) = message.headers()
        assert (first, name) == (("h", b"1"), HEADER)
        assert json.loads(value)["redrive"]["letter"] == letter.id


def test_a_topic_that_is_not_there_ends_it_before_anything_is_done(mock_bed, tmp_path, unique):
    action = on_kafka(mock_bed, tmp_path, unique)
    keep(action, a_letter(1))
    ended = redrive(action, "--to", "topic", unique("nowhere"), "--yes")
    assert ended.code == 3, ended.all
    assert "could not start: --to topic nowhere" in ended.err
    assert "1 letter would go to handler" in redrive(action, "--to", "handler").err


def test_letters_in_a_topic_go_to_the_handler_and_a_second_run_finds_nothing(mock_bed, tmp_path, unique):
    action = on_kafka(mock_bed, tmp_path, unique)
    keep(action, *(a_letter(offset) for offset in range(5)))
    assert "5 delivered" in redrive(action, "--to", "handler", "--yes").err
    assert "nothing to redrive" in redrive(action, "--to", "handler", "--yes").err
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 5
