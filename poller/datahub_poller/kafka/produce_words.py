"""Why a message was not acknowledged, in words, with what to do about it.

librdkafka says of most that the time was over: what stood in the way is seen in its connections and the topic's state.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, if not in so many words
    PartitionMetadata,
    TopicMetadata,
)

from datahub_poller.kafka.produce_client import Client

TIMED_OUT: Final = KafkaError._MSG_TIMED_OUT  # noqa: SLF001 - the client's own names begin with an underscore
MISSING: Final = frozenset(
    {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001
)
NOT_ALLOWED: Final = "the principal needs WRITE and DESCRIBE on it"
NEVER_MADE: Final = "does not exist, and the poller makes none. Create it"
GONE: Final = f"it {NEVER_MADE}, with as many partitions as it had"


def failure(client: Client, topic: str, error: KafkaError, patience: float) -> str:
    """Why a message for the topic failed; the topic is asked about for at most `patience` s."""
    code = error.code()
    if code == TIMED_OUT:
        return in_the_way(client, topic, patience) or "the brokers did not acknowledge it in time"
    if code in MISSING:
        return GONE
    if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return f"{error.str()}: {NOT_ALLOWED}"
    return error.str()


def spoilt(reason: str) -> str:
    """Why a producer has failed for good."""
    hint = ": the principal needs IDEMPOTENT_WRITE on the cluster" if "luster authorization" in reason else ""
    return f"the producer has failed{hint}: {reason}. The next write makes a new one"


def in_the_way(client: Client, topic: str, patience: float) -> str | None:
    """What keeps messages for the topic from being acknowledged, if it can be told within `patience` s."""
    known = client.trouble.refused or client.trouble.reason
    try:
        found = client.producer.list_topics(topic, timeout=patience).topics[topic]
    except KafkaException:
        return known
    return state_of(found) or known


def state_of(topic: TopicMetadata) -> str | None:
    """What is wrong with a topic's partitions, if anything."""
    if topic.error is not None:
        return GONE if topic.error.code() in MISSING else topic.error.str()
    leaderless = [number for number, each in sorted(topic.partitions.items()) if each.leader < 0]
    if leaderless:
        return f"no leader for {_numbers(leaderless)}: its brokers are down"
    short = [number for number, each in sorted(topic.partitions.items()) if _lacks_replicas(each)]
    if short:
        return (
            f"not enough replicas in sync for {_numbers(short)}: brokers are down, and min.insync.replicas wants more"
        )
    return None


def _lacks_replicas(partition: PartitionMetadata) -> bool:
    return len(partition.isrs) < len(partition.replicas)


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(str(each) for each in numbers[:5])
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""  # noqa: PLR2004 - as many as are shown
    return f"partition{'s' if len(numbers) > 1 else ''} {shown}{more}"
