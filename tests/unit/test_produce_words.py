"""Why a message was not acknowledged: a topic that is gone is said the same way, however the client learnt it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from datahub_poller.kafka.produce_words import failure, in_the_way


def a_client(error: KafkaError | None, known: str | None = None) -> Any:
    """One whose metadata names the topic `letters`, with this error."""
    topic = SimpleNamespace(error=error, partitions={})
    producer = SimpleNamespace(list_topics=lambda name, timeout: SimpleNamespace(topics={name: topic}))
    return SimpleNamespace(producer=producer, trouble=SimpleNamespace(refused=None, reason=known))


@pytest.mark.parametrize(
    "code",
    [KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART],
)
def test_a_topic_that_is_gone_is_to_be_created_whatever_refused_the_message(code):
    assert "does not exist" in failure(a_client(None), "letters", KafkaError(code), 1.0)


def test_a_topic_that_is_gone_is_to_be_created_where_the_message_only_timed_out():
    gone = a_client(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert "does not exist" in failure(gone, "letters", KafkaError(KafkaError._MSG_TIMED_OUT), 1.0)
    assert "does not exist" in str(in_the_way(gone, "letters", 1.0))


def test_another_error_of_the_topic_is_said_as_it_is():
    refused = a_client(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    assert in_the_way(refused, "letters", 1.0) == "Broker: Leader not available"
    assert in_the_way(a_client(None, "no route"), "letters", 1.0) == "no route"
