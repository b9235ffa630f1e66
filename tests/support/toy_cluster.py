"""A cluster that answers a group's questions about its beginnings, and lets the world go on between any two of them.

The members are the real `Beginnings` with the real commits and their metadata; the cluster, the group and time are a
toy's. Between a question and the next one records come, partitions are added, members start, are killed, or are put out
of the group, and other members do all of their own questions.
"""

from __future__ import annotations

import logging
import random
from types import SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from datahub_poller.errors import Transient
from datahub_poller.kafka.begin import Beginnings
from datahub_poller.kafka.committing import Committing
from datahub_poller.kafka.memory import Memory
from datahub_poller.model import TopicPartition
from datahub_poller.source import Start
from datahub_poller.start import StartAt
from support.brokers import Committed

FENCED = KafkaError.ILLEGAL_GENERATION
LOG = logging.getLogger("test.toy-cluster")
LOG.setLevel(logging.CRITICAL)


class Killed(BaseException):
    """kill -9 of a member, in the middle of whatever it does."""


class ToyCluster:
    """`topics` are names with their numbers of partitions; a log is its end. `alien` owns partition 0.

    `taken_over`: another tool has committed for one partition.
    """

    def __init__(
        self,
        seed: int,
        topics: dict[str, int],
        start_at: StartAt = "latest",
        alien: bool = False,
        taken_over: bool = False,
    ) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.start_at = start_at
        self.alien = alien
        self.ends = {
            TopicPartition(t, n): self.chance.randrange(0, 8) for t, count in topics.items() for n in range(count)
        }
        self.topics = (*topics, "later")
        self.committed: dict[TopicPartition, Committed] = {}
        if taken_over:
            self.committed[min(self.ends)] = Committed(self.ends[min(self.ends)], "")
        self.members: list[ToyMember] = []
        self.delivered: dict[TopicPartition, set[int]] = {}
        self.before_anybody: dict[TopicPartition, int] = {}
        self.begun: dict[str, dict[TopicPartition, int]] = {}
        """By topic: the ends of its partitions when the group's first commit for it was stored."""
        self.made_after_a_commit = self.somebody_began = False
        self.interruptions = 0

    # -- what happens meanwhile

    def produce(self) -> None:
        tp = self.chance.choice(sorted(self.ends))
        self.ends[tp] += self.chance.randrange(1, 4)

    def grow(self) -> None:
        topic = self.chance.choice(sorted({tp.topic for tp in self.ends}))
        number = len(self.of_topic(topic))
        if number < 6:
            self.ends[TopicPartition(topic, number)] = self.chance.randrange(0, 4)
            self.rebalance()

    def make_topic(self) -> None:
        if not self.of_topic("later") and self.chance.random() < 0.3:
            self.made_after_a_commit = self.somebody_began
            self.ends |= {TopicPartition("later", n): self.chance.randrange(0, 4) for n in range(2)}
            self.rebalance()

    def start(self) -> None:
        if len(self.members) < 3:
            if not self.before_anybody:
                self.before_anybody = dict(self.ends)
            self.members.append(ToyMember(self))
            self.rebalance()

    def kill(self) -> None:
        if self.members:
            self.chance.choice(self.members).die()
            self.rebalance()

    def stop(self) -> None:
        """In order: what was read is committed, as a revocation does."""
        if self.members and not any(each.busy for each in self.members):
            self.members.pop().commit_positions()
            self.rebalance()

    def rebalance(self) -> None:
        """Everybody who is in a question is put out: the group does not wait for it."""
        for member in self.members:
            if not member.busy:
                member.commit_positions()
            member.owned, member.positions, member.fenced = set(), {}, member.busy
            member.beginnings.reassigned()
        takers = [member for member in self.members if not member.busy]
        for number, tp in enumerate(sorted(self.ends)):
            if takers and not (self.alien and tp.partition == 0):
                takers[(tp.partition + number // 3) % len(takers)].owned.add(tp)

    def turn(self) -> None:
        """Somebody does something."""
        self.now += self.chance.choice((0.0, 0.2, 1.0))
        idle = [member for member in self.members if not member.busy]
        for member in idle:
            if member.fenced:  # it hears that it was put out, and joins again
                member.fenced = False
                self.rebalance()
                return
        what = self.chance.choice(
            (
                self.produce,
                self.produce,
                self.grow,
                self.make_topic,
                self.start,
                self.start,
                self.kill,
                self.stop,
                None,
                None,
                None,
            )
        )
        if what is not None:
            what()
        elif idle:
            self.chance.choice(idle).turn()

    def meanwhile(self) -> None:
        self.interruptions += 1
        for _ in range(self.chance.choice((0, 0, 0, 1, 2))):
            self.turn()

    # -- what is stored

    def of_topic(self, topic: str) -> list[TopicPartition]:
        return sorted(tp for tp in self.ends if tp.topic == topic)

    def store(self, offsets: list[KafkaPartition]) -> None:
        for each in offsets:
            tp = TopicPartition(each.topic, each.partition)
            self.begun.setdefault(tp.topic, {other: self.ends[other] for other in self.of_topic(tp.topic)})
            self.committed[tp] = Committed(each.offset, each.metadata)

    def drain(self) -> None:
        """All is well: whoever is there reads to the end. A member that waits gives up waiting within a minute."""
        if not self.members:
            self.start()
        for member in self.members:
            member.fenced = False
        self.rebalance()
        self.chance = random.Random(0)
        self.meanwhile = lambda: None  # type: ignore[method-assign]
        for _ in range(100):
            self.now += 1.0
            for member in self.members:
                member.turn()
            if all(member.positions.keys() == member.owned for member in self.members):
                break


class ToyMember:
    """One process: its own memory, dead with it."""

    def __init__(self, cluster: ToyCluster) -> None:
        self.cluster = cluster
        self.owned: set[TopicPartition] = set()
        self.positions: dict[TopicPartition, int] = {}
        self.acknowledged: dict[TopicPartition, int | None] = {}
        self.busy = self.fenced = self.dead = False
        self.memory = Memory({})
        self.committing = Committing("g", self.memory)
        ids: Any = SimpleNamespace(remade=set(), began=lambda *_: None, now=lambda _: "")
        client: Any = self
        self.beginnings = Beginnings(
            client, cluster.start_at, lambda: cluster.now, self.committing, self.memory, ids, LOG
        )
        self._interrupted = False
        self.beginnings.look(cluster.topics)
        self._interrupted = True
        for topic in cluster.topics:
            if not cluster.of_topic(topic):
                self.memory.know(topic)  # it waits for it

    def die(self) -> None:
        self.dead = True
        self.cluster.members.remove(self)

    def turn(self) -> None:
        """Ask where to begin, read what there is, and commit it."""
        self.busy = True
        try:
            for topic in sorted({tp.topic for tp in self.owned - self.positions.keys()}):
                mine = sorted(tp for tp in self.owned - self.positions.keys() if tp.topic == topic)
                self._begin(self.beginnings.renewed(self.beginnings.of(topic, mine)))
        except (KafkaException, Transient, Killed):
            return
        finally:
            self.busy = False
        self.read()

    def _begin(self, starts: dict[TopicPartition, Start]) -> None:
        self._between()
        if not self.fenced:
            self.positions |= {tp: start.offset for tp, start in starts.items()}
            self.acknowledged |= {tp: None if start.renew else start.committed for tp, start in starts.items()}
            self.commit_positions()
            self.cluster.somebody_began |= bool(starts)

    def read(self) -> None:
        for tp, position in self.positions.items():
            self.cluster.delivered.setdefault(tp, set()).update(range(position, self.cluster.ends[tp]))
            self.positions[tp] = self.cluster.ends[tp]
        if self.cluster.chance.random() < 0.7:
            self.commit_positions()

    def commit_positions(self) -> None:
        """What has moved, and what is to be committed again, as the loop does."""
        news = {tp: at for tp, at in self.positions.items() if self.acknowledged[tp] != at}
        if news and not self.fenced:
            self.committing.send_and_wait(self, news)  # type: ignore[arg-type]
            self.acknowledged |= news

    # -- the client

    def _between(self) -> None:
        """The world goes on; this member may be dead afterwards."""
        if self._interrupted:
            self.cluster.meanwhile()
        if self.dead:
            raise Killed

    def committed(self, asked: list[KafkaPartition], timeout: float) -> list[KafkaPartition]:
        found = []
        for each in asked:
            stored = self.cluster.committed.get(TopicPartition(each.topic, each.partition))
            found.append(
                KafkaPartition(each.topic, each.partition, -1001)
                if stored is None
                else KafkaPartition(each.topic, each.partition, stored.offset, metadata=stored.metadata)
            )
        self._between()
        return found

    def list_topics(self, topic: str, timeout: float) -> Any:
        found = {tp.partition: None for tp in self.cluster.of_topic(topic)}
        self._between()
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=found)})

    def offsets_for_times(self, asked: list[KafkaPartition], timeout: float) -> list[KafkaPartition]:
        found = []
        for each in asked:
            assert each.offset in (OFFSET_BEGINNING, OFFSET_END), "a beginning is a position"
            end = self.cluster.ends[TopicPartition(each.topic, each.partition)]
            found.append(KafkaPartition(each.topic, each.partition, 0 if each.offset == OFFSET_BEGINNING else end))
        self._between()
        return found

    def commit(self, offsets: list[KafkaPartition], asynchronous: bool) -> list[KafkaPartition]:
        if self.busy:
            self._between()
        if self.fenced:
            raise KafkaException(KafkaError(FENCED))
        self.cluster.store(offsets)
        return [KafkaPartition(each.topic, each.partition, each.offset) for each in offsets]
