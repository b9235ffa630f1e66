"""The fault matrix in its short form: named runs of 5,000 events on 24 partitions with three pollers."""

from __future__ import annotations

import random
import time
from typing import Final

from guarantees import churn, world
from guarantees.field import Field
from guarantees.play import Cell
from guarantees.setting import Setting
from guarantees.traffic import Mix

GOOD: Final = Mix(0.0, 0.0)
COMPACTED: Final = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "1000",
    "segment.ms": "1000",
}
MANY_BAD: Final = Mix(poison=0.01, junk=0.02)


def _rolling(field: Field, chance: random.Random) -> None:
    churn.rolling_restart(field, chance)
    churn.rolling_restart(field, chance)


def _kills(field: Field, chance: random.Random) -> None:
    for _ in range(7):
        time.sleep(chance.uniform(0.3, 1.2))
        churn.kill(field, chance)
    churn.kill_all(field, chance)


def _points(field: Field, chance: random.Random) -> None:
    """Eight of them. The one that is to die while it stops may have stopped before it got there."""
    for point in churn.POINTS:
        churn.die_at(point)(field, chance)


def _joins(field: Field, chance: random.Random) -> None:
    for _ in range(2):
        churn.join_and_leave(field, chance)
    churn.kill(field, chance)
    churn.join_and_leave(field, chance)


def _static(field: Field, chance: random.Random) -> None:
    churn.rolling_restart(field, chance)
    for _ in range(3):
        churn.kill(field, chance)
        time.sleep(chance.uniform(0.5, 1.5))


def _freezes(field: Field, chance: random.Random) -> None:
    for _ in range(2):
        churn.freeze(field, chance)


def _brokers(field: Field, chance: random.Random) -> None:
    world.broker_killed(field, 2.0, chance)
    churn.kill(field, chance)
    world.leaders_moved(field, 1.0, chance)


def _no_brokers(field: Field, chance: random.Random) -> None:
    world.coordinator_gone(field, 2.0, chance)
    churn.kill(field, chance)
    world.all_brokers_gone(field, 3.0, chance)


def _network(field: Field, chance: random.Random) -> None:
    world.latency(field, 3.0, chance)
    world.cut(field, 4.0, chance)
    world.blackhole(field, 5.0, chance)


def _commits(field: Field, chance: random.Random) -> None:
    for _ in range(2):
        world.commits_cut(field, 2.0, chance)
        world.commits_refused(field, 2.0, chance)
        churn.kill(field, chance)


def _registry(field: Field, chance: random.Random) -> None:
    for fault in (world.registry_down, world.registry_failing, world.registry_unknown_id):
        fault(field, 3.0, chance)
        churn.kill(field, chance)


def _handler(field: Field, chance: random.Random) -> None:
    for fault in (world.handler_slow, world.handler_raising, world.handler_naming, world.handler_hanging):
        fault(field, 2.5, chance)


def _disk(field: Field, chance: random.Random) -> None:
    for _ in range(2):
        world.disk_full(field, 3.0, chance)
        churn.kill(field, chance)


def _topics(field: Field, chance: random.Random) -> None:
    world.aborted_transactions(field, 4.0, chance)
    world.more_partitions(field, 4.0, chance)
    churn.rolling_restart(field, chance)


def _retention(field: Field, chance: random.Random) -> None:
    _stop_all(field)
    field.more_traffic(2500)
    field.traffic.finish()
    world.retention(field, chance)
    field.revive()


def _compaction(field: Field, chance: random.Random) -> None:
    _stop_all(field)
    field.traffic.finish()
    world.await_compaction(field)
    field.revive()
    churn.kill(field, chance)


def _made_anew(field: Field, chance: random.Random) -> None:
    """It stays shorter than it was: grown past the old positions it is read from the middle first, then in order."""
    field.traffic.finish()
    field.drain()
    field.topics.renew("pe")
    field.more_traffic(1200)
    churn.kill(field, chance)


def _taken_over(field: Field, chance: random.Random) -> None:
    """Theirs alone, then one of ours beside them, then ours alone; each has events of its own."""
    with field.fault("DataHub Actions in the group", excuses=True):
        for slot in field.slots:
            field.processes.kill(slot)
        for slot in field.slots[:2]:
            field.start_theirs(slot)
        field.progress(60.0)  # theirs take their time to start
        time.sleep(5.0)
        field.start(field.slots[2])
        time.sleep(4.0)
        field.more_traffic(1500)
        field.progress()
        for slot in field.slots[:2]:
            field.processes.kill(slot)
            field.start(slot)
    field.more_traffic(1500)
    churn.kill(field, chance)


def _access(field: Field, chance: random.Random) -> None:
    time.sleep(3.0)
    world.topic_taken(field, 3.0, chance)
    world.group_taken(field, 3.0, chance)
    churn.kill(field, chance)
    world.tokens_refused(field, 2.0, chance)


def _stop_all(field: Field) -> None:
    for slot in field.processes.running():
        field.processes.stop(slot)


CELLS: Final = (
    Cell("rolling-restart", Setting(rate=350), _rolling, 11),
    Cell("kill-9-at-random-moments", Setting(rate=300), _kills, 12, crashes=10),
    Cell("kill-9-at-named-points", Setting(protocol="cooperative", rate=150, mix=MANY_BAD), _points, 13, crashes=7),
    Cell("join-and-leave-cooperative", Setting(protocol="cooperative", rate=300), _joins, 14, crashes=1),
    Cell("join-and-leave-kip-848", Setting(protocol="kip-848", rate=300), _joins, 15, crashes=1),
    Cell("static-members", Setting(static=True, rate=300), _static, 16, crashes=3),
    Cell("frozen-members", Setting(rate=400), _freezes, 17),
    Cell("frozen-members-kip-848", Setting(protocol="kip-848", rate=400), _freezes, 18),
    Cell("broker-killed-leaders-moved", Setting(protocol="cooperative", rate=300), _brokers, 19, crashes=1),
    Cell("coordinator-and-all-brokers-gone", Setting(rate=300), _no_brokers, 20, crashes=1),
    Cell("network", Setting(protocol="kip-848", rate=400), _network, 21),
    Cell("commits-cut-and-refused", Setting(rate=400), _commits, 22, crashes=2),
    Cell("access-taken-and-tokens-refused", Setting(secure=True, rate=200), _access, 31, crashes=1),
    Cell("registry", Setting(rate=350), _registry, 23, crashes=3),
    Cell("handler", Setting(rate=250, mix=Mix(0.005, 0.003)), _handler, 24),
    Cell("dead-letter-disk-full", Setting(rate=500, mix=MANY_BAD), _disk, 25, crashes=2),
    Cell("topics", Setting(rate=350, topic={"message.timestamp.type": "LogAppendTime"}), _topics, 26),
    Cell("retention", Setting(rate=1500, total=2500, mix=GOOD), _retention, 27),
    Cell("compacted-topics", Setting(rate=1500, mix=GOOD, topic=COMPACTED), _compaction, 28, crashes=1),
    Cell("topic-made-anew", Setting(rate=1000, total=3800), _made_anew, 29, crashes=1),
    Cell("taken-over-from-datahub-actions", Setting(rate=250, total=2000, mix=GOOD), _taken_over, 30, crashes=6),
)
