"""Topics of a real Kafka with replicas and settings of a test's choice."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from support.brokers import PATIENCE, QUIET, eventually


def make_topic(bootstrap: str, name: str, on: Sequence[Sequence[int]], **config: str) -> None:
    """A topic of which each partition has its replicas on these brokers. In a setting's name `_` stands for a dot."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    settings = {key.replace("_", "."): value for key, value in config.items()}
    topic = NewTopic(name, len(on), replica_assignment=[list(each) for each in on], config=settings)
    admin.create_topics([topic])[name].result(PATIENCE)

    def led() -> bool:
        partitions = admin.list_topics(name, timeout=5).topics[name].partitions.values()
        return len(partitions) == len(on) and all(each.leader > 0 for each in partitions)

    eventually(led, f"{name} has no leaders")
