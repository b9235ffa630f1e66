"""What breaks around the pollers: brokers, the network, commits, the registry, the handler, the disk, the topics.

Each fault lasts some seconds and is whole again when it returns. `excuses` is said of those that can keep a commit from
the broker or a member from hearing of its group.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaException, Producer

from datahub_poller.demo import samples
from datahub_poller.demo.registry import Interference
from guarantees.field import TOKEN_SECONDS, Field
from guarantees.setting import Setting
from guarantees.traffic import SCHEMAS, bodies

Fault = Callable[[Field, float, random.Random], None]
COMMIT: Final = 8
REFUSALS: Final[Sequence[tuple[str, int]]] = (
    ("coordinator not available", 15),
    ("coordinator loading", 14),
    ("rebalance in progress", 27),
    ("request timed out", 7),
)


# -- brokers


def broker_killed(field: Field, seconds: float, chance: random.Random) -> None:
    """kill -9 of one broker."""
    _without(field, [chance.choice(sorted(field.cluster.nodes))], seconds, signal.SIGKILL, "a broker killed")


def coordinator_gone(field: Field, seconds: float, chance: random.Random) -> None:
    """kill -9 of the group's coordinator."""
    _without(field, [field.topics.coordinator()], seconds, signal.SIGKILL, "the coordinator gone")


def leaders_moved(field: Field, seconds: float, chance: random.Random) -> None:
    """An orderly stop of a broker moves its leaders; when it is back, they are moved home again."""
    _without(field, [chance.choice(sorted(field.cluster.nodes))], seconds, signal.SIGTERM, "leaders moved")
    with field.fault("leaders moved back", excuses=True):
        field.topics.move_leaders_home()
        time.sleep(1.0)


def all_brokers_gone(field: Field, seconds: float, chance: random.Random) -> None:
    """kill -9 of all of them."""
    _without(field, sorted(field.cluster.nodes), seconds, signal.SIGKILL, "all brokers gone")


def _without(field: Field, nodes: Sequence[int], seconds: float, signum: signal.Signals, name: str) -> None:
    with field.fault(name, excuses=True):
        for node in nodes:
            field.cluster.kill(node, signum)
        time.sleep(seconds)
        field.cluster.restart(*nodes)
        field.topics.await_leaders()


# -- the network


def latency(field: Field, seconds: float, chance: random.Random) -> None:
    """Every way takes longer."""
    with field.fault("latency"):
        field.proxy.latency(chance.choice((0.02, 0.1, 0.3)))
        time.sleep(seconds)
        field.proxy.latency(0.0)


def cut(field: Field, seconds: float, chance: random.Random) -> None:
    """Connections are reset, again and again."""
    with field.fault("connections cut", excuses=True):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            field.proxy.cut()
            time.sleep(chance.uniform(0.1, 1.5))


def blackhole(field: Field, seconds: float, chance: random.Random) -> None:
    """Nothing gets through, and nobody is told."""
    with field.fault("connections blackholed", excuses=True):
        field.proxy.blackhole(True)
        time.sleep(seconds)
        field.proxy.blackhole(False)
        time.sleep(1.0)


# -- commits


def commits_cut(field: Field, seconds: float, chance: random.Random) -> None:
    """Connections break on commits: before the broker has them, or before its answer is heard."""
    with field.fault("commits cut off", excuses=True):
        field.proxy.cut_requests(COMMIT, None, lose=chance.choice(("request", "answer")))
        time.sleep(seconds)
        field.proxy.heal()
        time.sleep(0.5)


def commits_refused(field: Field, seconds: float, chance: random.Random) -> None:
    """Commits are answered with an error; mostly they were not stored."""
    name, code = chance.choice(REFUSALS)
    with field.fault(f"commits refused: {name}", excuses=True):
        field.proxy.refuse_commits(code, None, stored=chance.random() < 0.3)
        time.sleep(seconds)
        field.proxy.heal()
        time.sleep(0.5)


# -- the registry


def registry_down(field: Field, seconds: float, chance: random.Random) -> None:
    """Connections refused while schemas come up that nobody has seen."""
    with field.fault("registry down"):
        field.registry.stop()
        _new_schemas(field)
        time.sleep(seconds)
        field.registry.start()


def registry_failing(field: Field, seconds: float, chance: random.Random) -> None:
    """503, then answers that come too late, then both in turns."""
    answers = chance.choice(
        ((Interference(503),), (Interference(delay=3.0),), (Interference(503), None, Interference(drop=True)))
    )
    with field.fault("registry failing"):
        field.registry.interfere = lambda _: chance.choice(answers)
        _new_schemas(field)
        time.sleep(seconds)
        field.registry.interfere = None


def registry_unknown_id(field: Field, seconds: float, chance: random.Random) -> None:
    """Events of a schema that is registered only later: an hour's replication, cut short."""
    with field.fault("schema id unknown for a while"):
        ids = _next_ids(field)
        field.traffic.schemas.update(ids)
        time.sleep(seconds)
        _register(field, ids)


def _new_schemas(field: Field) -> None:
    ids = _next_ids(field)
    _register(field, ids)
    field.traffic.schemas.update(ids)


def _next_ids(field: Field) -> dict[str, int]:
    return {route: number + 10 for route, number in field.traffic.schemas.items()}


def _register(field: Field, ids: Mapping[str, int]) -> None:
    for route, number in ids.items():
        field.registry.put(number, samples.schema_text(SCHEMAS[route][1]))


# -- the handler


def handler_slow(field: Field, seconds: float, chance: random.Random) -> None:
    """Calls take a second."""
    with field.fault("handler slow"):
        field.plan(sleep=[0.5, 1.0])
        time.sleep(seconds)
        field.plan()


def handler_raising(field: Field, seconds: float, chance: random.Random) -> None:
    """Every call fails, or every third."""
    with field.fault("handler raising"):
        field.plan(**chance.choice(({"fail": True}, {"fail_share": 0.3})))
        time.sleep(seconds)
        field.plan()


def handler_naming(field: Field, seconds: float, chance: random.Random) -> None:
    """It names what failed instead of raising."""
    with field.fault("handler names failures"):
        field.plan(named=True)
        time.sleep(seconds)
        field.plan()


def handler_hanging(field: Field, seconds: float, chance: random.Random) -> None:
    """Some calls take longer than a revocation or a stop waits for."""
    with field.fault("handler hanging", excuses=True):
        field.plan(hang_share=0.05, hang=field.setting.deadline + 2.0)
        time.sleep(seconds)
        field.plan()
        time.sleep(field.setting.deadline + 2.5)


# -- the disk


def disk_full(field: Field, seconds: float, chance: random.Random) -> None:
    """No letter can be written."""
    with field.fault("dead-letter disk full"), field.letters.full():
        time.sleep(seconds)


# -- access


def topic_taken(field: Field, seconds: float, chance: random.Random) -> None:
    """A topic may not be read any more, for a while."""
    topic = chance.choice(sorted(field.topics.names.values()))
    with field.fault("access to a topic taken away", excuses=True):
        field.access.take(topics=[topic])
        time.sleep(seconds)
        field.access.give(topics=[topic])


def group_taken(field: Field, seconds: float, chance: random.Random) -> None:
    """The group may not be joined or committed to any more, for a while."""
    with field.fault("access to the group taken away", excuses=True):
        field.access.take(groups=[field.name])
        time.sleep(seconds)
        field.access.give(groups=[field.name])


def tokens_refused(field: Field, seconds: float, chance: random.Random) -> None:
    """New tokens are refused, or there are none."""
    with field.fault("tokens refused", excuses=True):
        field.tokens(**chance.choice(({"lifetime": 4, "scope": "other"}, {"raise": "no token today"})))
        time.sleep(seconds + 4.0)
        field.tokens(lifetime=TOKEN_SECONDS)


# -- the topics


def aborted_transactions(field: Field, seconds: float, chance: random.Random) -> None:
    """Transactions beside the traffic, half of which are taken back."""
    producer = Producer(
        {
            "bootstrap.servers": field.cluster.bootstrap,
            "transactional.id": f"{field.name}-{chance.randrange(10**6)}",
            "log_level": 0,
        }
    )
    made = bodies("pe")
    until = time.monotonic() + seconds
    with field.fault("aborted transactions"):
        try:
            producer.init_transactions(20)
            while time.monotonic() < until:
                producer.begin_transaction()
                for number in range(20):
                    value = samples.confluent_frame(field.traffic.schemas["pe"], chance.choice(made))
                    producer.produce(field.topics.names["pe"], value, f"good-t{number}".encode())
                producer.flush(10)
                if chance.random() < 0.5:
                    producer.abort_transaction(20)
                else:
                    producer.commit_transaction(20)
        except KafkaException:  # the brokers are in trouble: what was begun is aborted by them
            return


def more_partitions(field: Field, seconds: float, chance: random.Random) -> None:
    """Two more for each topic, up to some."""
    with field.fault("topics gain partitions"):
        for route in field.topics.names:
            ends = field.topics.ends(route)
            if ends is not None and len(ends) < field.setting.partitions + 8:
                field.topics.grow(route, len(ends) + 2)
        time.sleep(seconds)


def retention(field: Field, chance: random.Random) -> None:
    """With nobody reading: records that were not delivered yet are taken from some partitions."""
    committed, taken = field.topics.committed(), 0
    with field.fault("retention past the position"):
        for route, topic in field.topics.names.items():
            ends = field.topics.ends(route)
            assert ends is not None
            for number, end in ends.items():
                at = committed.get((topic, number), 0)
                if number % 3 == 0 and end > at + 1:
                    upto = at + chance.randrange(1, end - at)
                    field.topics.delete_records(route, number, upto)
                    taken += upto - at
    assert taken > 0
    field.gone = taken


def await_compaction(field: Field) -> None:
    """Until the brokers have dropped records whose keys came again."""
    whole = sum(sum((field.topics.ends(route) or {}).values()) for route in field.topics.names)
    with field.fault("compaction"):
        field.topics.patiently(lambda: len(field.topics.in_log()) < whole * 0.9, "nothing is compacted", 60)


def _named(*faults: Fault) -> dict[str, Fault]:
    return {fault.__name__.replace("_", " "): fault for fault in faults}


BY_PROXY: Final = _named(latency, cut, blackhole, commits_cut, commits_refused)
BY_ACCESS: Final = _named(topic_taken, group_taken, tokens_refused)
ALWAYS: Final = _named(
    broker_killed,
    coordinator_gone,
    leaders_moved,
    all_brokers_gone,
    registry_down,
    registry_failing,
    registry_unknown_id,
    handler_slow,
    handler_raising,
    handler_naming,
    handler_hanging,
    disk_full,
    aborted_transactions,
    more_partitions,
)


def faults_for(setting: Setting) -> Mapping[str, Fault]:
    """Those that a random schedule may choose from, by name."""
    return {**ALWAYS, **(BY_ACCESS if setting.secure else BY_PROXY)}
