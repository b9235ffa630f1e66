"""The topics of a run and its group, as an operator's tools see and change them: made, grown, cut, lagging.

Its clients are made anew whenever a broker did not answer: one that was there when brokers died may go on asking those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from guarantees import gather
from guarantees.renewal import Renewal
from guarantees.trace import Due
from support.recorded import Place

REQUEST: Final = 3.0
CHANGE: Final = 20.0


class Topics:
    """`names` are by route. `patiently` waits; everything else asks or changes once."""

    def __init__(
        self, bootstrap: str, group: str, names: Mapping[str, str], partitions: int, settings: Mapping[str, str]
    ) -> None:
        self.names = dict(names)
        self.renewals: list[Renewal] = []
        self._bootstrap = bootstrap
        self._group = group
        self._partitions = partitions
        self._settings = {"retention.ms": "-1", **settings}
        self._ask_anew()

    def _ask_anew(self) -> None:
        client = {"bootstrap.servers": self._bootstrap, "log_level": 0}
        self._admin = AdminClient(client)
        # Of the group, but never in it. An AdminClient that asks for a group's offsets is a crash of librdkafka 2.16's
        # where the coordinator has moved: it calls upon the client's own group, which an AdminClient does not have.
        self._looker = Consumer({**client, "group.id": self._group, "enable.auto.commit": False})

    def close(self) -> None:
        self._looker.close()

    def patiently(self, condition: Callable[[], Any], problem: str, patience: float = 30.0) -> None:
        """Return when the condition holds; AssertionError where it never does."""
        until, last = time.monotonic() + patience, ""
        while True:
            try:
                if condition():
                    return
            except KafkaException as error:  # a broker that is on its way up or down
                last = f"; {error}"
                self._ask_anew()
            if time.monotonic() > until:
                raise AssertionError(f"{problem} (waited {patience:.0f} s{last})")
            time.sleep(0.05)

    # -- changes

    def create(self, route: str) -> None:
        """Made with all its leaders there."""
        name = self.names[route]
        self._admin.create_topics([NewTopic(name, self._partitions, config=self._settings)])[name].result(CHANGE)
        self.await_leaders()

    def renew(self, route: str) -> None:
        """Delete a drained topic and make it again under its name; the account tells the two apart."""
        name = self.names[route]
        self.renewals.append(Renewal(name, time.time(), gather.read_due(self._bootstrap, [name])))
        self._admin.delete_topics([name])[name].result(CHANGE)
        self.patiently(lambda: name not in self._looker.list_topics(timeout=REQUEST).topics, f"{name} is still there")
        self.create(route)

    def grow(self, route: str, partitions: int) -> None:
        """Let a topic have so many."""
        name = self.names[route]
        self._admin.create_partitions([NewPartitions(name, partitions)])[name].result(CHANGE)

    def delete_records(self, route: str, partition: int, before: int) -> None:
        """As retention does."""
        where = TopicPartition(self.names[route], partition, before)
        next(iter(self._admin.delete_records([where]).values())).result(CHANGE)

    def move_leaders_home(self) -> None:
        """Every partition to the first of its replicas."""
        self.patiently(lambda: self._admin.elect_leaders(ElectionType.PREFERRED).result(10) is not None, "no election")

    # -- looks

    def in_log(self) -> dict[Place, Due]:
        """What the topics hold at the moment."""
        return gather.read_due(self._bootstrap, list(self.names.values()))

    def await_leaders(self) -> None:
        """Return when every partition of the topics that there are has a leader."""

        def led() -> bool:
            there = self._looker.list_topics(timeout=REQUEST).topics
            return all(self.ends(route) is not None for route, name in self.names.items() if name in there)

        self.patiently(led, "leaders are missing", 60)

    def ends(self, route: str) -> dict[int, int] | None:
        """The ends of a topic's partitions; None while a leader is missing."""
        name = self.names[route]
        described = self._looker.list_topics(name, timeout=REQUEST).topics[name]
        if described.error is not None or any(p.error is not None for p in described.partitions.values()):
            return None
        if len(described.partitions) < self._partitions:
            return None
        ends = {}
        for number in described.partitions:
            got = self._looker.get_watermark_offsets(TopicPartition(name, number), timeout=REQUEST)
            if got is None:
                return None
            ends[number] = got[1]
        return ends

    def committed(self) -> dict[tuple[str, int], int]:
        """What the broker says that the group has committed."""
        there = self._looker.list_topics(timeout=REQUEST).topics
        asked = [TopicPartition(name, each) for name in self.names.values() for each in there[name].partitions]
        found = self._looker.committed(asked, timeout=REQUEST)
        return {(each.topic, each.partition): each.offset for each in found if each.error is None and each.offset >= 0}

    def coordinator(self) -> int:
        """The node that leads the group."""
        found: list[int] = []

        def told() -> bool:
            described = self._admin.describe_consumer_groups([self._group], request_timeout=REQUEST)
            found[:] = [described[self._group].result(5).coordinator.id]
            return found[0] > 0

        self.patiently(told, "no coordinator is told")
        return found[0]

    def lag(self) -> dict[str, str]:
        """By partition: what the group has committed of what there is, where that is not all."""
        committed = self.committed()
        found = {}
        for route, name in self.names.items():
            ends = self.ends(route)
            if ends is None:
                return {name: "has no leaders"}
            for number, end in ends.items():
                done = committed.get((name, number), 0)
                if done < end:
                    found[f"{name}-{number}"] = f"{done} of {end}"
        return found
