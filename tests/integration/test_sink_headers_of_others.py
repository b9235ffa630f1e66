"""Letters in a topic with the headers that Spring for Apache Kafka and Kafka Connect write, read by a plain consumer.

The names and forms are written out here, and not taken from the code: tools for those letters know no others.
"""

from __future__ import annotations

import struct

import pytest

from support.brokers import Sent
from support.running import Stage
from support.sink_places import LETTER_HEADER, TopicPlace

AT = 1_770_000_000_123
OWN = [("trace", b"abc"), ("trace", None)]
STACK = b"recording_handler.py"


def numbers(form: str):
    return lambda value: struct.unpack(form, value)[0]


TEXT = bytes.decode
# KafkaHeaders.DLT_* of Spring for Apache Kafka, as its DeadLetterPublishingRecoverer fills them: the partition is an
# int of four bytes, offset and timestamp are longs of eight, big-endian as ByteBuffer has it; all else is UTF-8.
SPRING = {
    "kafka_dlt-original-topic": TEXT,
    "kafka_dlt-original-partition": numbers(">i"),
    "kafka_dlt-original-offset": numbers(">q"),
    "kafka_dlt-original-timestamp": numbers(">q"),
    "kafka_dlt-original-timestamp-type": TEXT,
    "kafka_dlt-original-consumer-group": TEXT,
    "kafka_dlt-exception-fqcn": TEXT,
    "kafka_dlt-exception-cause-fqcn": TEXT,
    "kafka_dlt-exception-message": TEXT,
    "kafka_dlt-exception-stacktrace": TEXT,
}
# __connect.errors.* of Kafka Connect's DeadLetterQueueReporter: all of them are text.
CONNECT = {
    "__connect.errors.topic": TEXT,
    "__connect.errors.partition": TEXT,
    "__connect.errors.offset": TEXT,
    "__connect.errors.connector.name": TEXT,
    "__connect.errors.task.id": TEXT,
    "__connect.errors.stage": TEXT,
    "__connect.errors.class.name": TEXT,
    "__connect.errors.exception.class.name": TEXT,
    "__connect.errors.exception.message": TEXT,
    "__connect.errors.exception.stacktrace": TEXT,
}


def lettered(stage: Stage, unique, dialect: str):
    """Two records that are given up by a poller, and their letters: an event that fails, and bytes that are none."""
    topic = unique("letters")
    stage.bed.create_topic(topic)
    stage.create(2, "pe")
    failing = stage._event("pe", 1, poison=True, schema=None)._replace(headers=OWN, timestamp=AT, key=b"poison-1")
    junk = Sent(stage.topics["pe"], 1, b"\xff\xfeno event", b"junk", (), AT)
    place = TopicPlace(stage.bed.bootstrap, topic, headers=dialect)
    poller = stage.start(stage.action({"dead_letter": place.section, "retry/attempts": 1}))
    stage.send("pe", 1, 5)
    stage.bed.produce_all([failing, junk])
    poller.until(lambda: len(place.letters()) == 2, "no letters")
    assert poller.stop() == 0
    assert [(each.key(), each.value()) for each in place.messages] == [
        (each.key, each.value) for each in (failing, junk)
    ]
    return [list(message.headers()) for message in place.messages]


def told(headers, forms):
    """What a tool reads that knows these names: every one is there once, and nothing is there that it does not know."""
    names = [name for name, _ in headers]
    assert sorted(names) == sorted(forms)
    return {name: forms[name](value) for name, value in headers}


def parted(headers, own: int):
    """The record's own headers, and those behind the letter's."""
    assert headers[own][0] == LETTER_HEADER
    return headers[:own], headers[own + 1 :]


@pytest.mark.kafka
def test_spring_s_headers_have_its_names_and_its_numbers(on_kafka, unique):
    failing, junk = lettered(on_kafka, unique, "spring")
    own, theirs = parted(failing, len(OWN))
    assert own == OWN
    said = told(theirs, SPRING)
    assert STACK.decode() in said.pop("kafka_dlt-exception-stacktrace")
    assert said == {
        "kafka_dlt-original-topic": on_kafka.topics["pe"],
        "kafka_dlt-original-partition": 1,
        "kafka_dlt-original-offset": 5,
        "kafka_dlt-original-timestamp": AT,
        "kafka_dlt-original-timestamp-type": "CreateTime",
        "kafka_dlt-original-consumer-group": on_kafka.name,
        "kafka_dlt-exception-fqcn": "ValueError",
        "kafka_dlt-exception-cause-fqcn": "ValueError",
        "kafka_dlt-exception-message": "1 of 1 events cannot be dealt with",
    }
    said = told(parted(junk, 0)[1], SPRING)
    assert (said["kafka_dlt-original-offset"], said["kafka_dlt-exception-fqcn"]) == (6, "unknown_framing")


@pytest.mark.kafka
def test_connect_s_headers_have_its_names_and_are_text(on_kafka, unique):
    failing, junk = lettered(on_kafka, unique, "connect")
    own, theirs = parted(failing, len(OWN))
    assert own == OWN
    said = told(theirs, CONNECT)
    assert STACK.decode() in said.pop("__connect.errors.exception.stacktrace")
    assert said == {
        "__connect.errors.topic": on_kafka.topics["pe"],
        "__connect.errors.partition": "1",
        "__connect.errors.offset": "5",
        "__connect.errors.connector.name": on_kafka.name,
        "__connect.errors.task.id": "0",
        "__connect.errors.stage": "TASK_PUT",
        "__connect.errors.class.name": "datahub_poller",
        "__connect.errors.exception.class.name": "ValueError",
        "__connect.errors.exception.message": "1 of 1 events cannot be dealt with",
    }
    said = told(parted(junk, 0)[1], CONNECT)
    assert (said["__connect.errors.offset"], said["__connect.errors.stage"]) == ("6", "VALUE_CONVERTER")
