"""Orders of writing, failing, rebalancing and crashing for hypothesis to choose from, and a simulation that plays them.

Troubles last a minute of virtual time; then all is healthy.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from datahub_poller.batching import Limits
from datahub_poller.model import SchemaKey, TopicPartition
from datahub_poller.policy import Breaker, Policy
from support.simulation import FAILED, Answer, Simulation, away, honest, naming

TROUBLED = 60.0
HEALTHY = TopicPartition("pe", 1)
KEYS = (1, 2)

kinds = st.sampled_from(("good", "good", "good", "good", "good", "drop", "tombstone", "poison", "junk", None))
moments = st.floats(0, TROUBLED, allow_nan=False).map(lambda at: round(at, 1))
writes = st.lists(
    st.tuples(moments, st.integers(0, 2), st.lists(kinds, max_size=25), st.sampled_from((None, None, None, *KEYS))),
    max_size=8,
)
rebalances = st.lists(
    st.tuples(moments, st.sampled_from(("join", "leave", "expel", "crash", "refuse", "silent", "speak"))), max_size=8
)
moods = st.lists(st.sampled_from(("fast", "slow", "hung", "raise", "away", "name")), min_size=1, max_size=6)
shapes = st.fixed_dictionaries(
    {
        "policy": st.builds(
            Policy,
            attempts=st.integers(1, 3),
            backoff=st.sampled_from((0.1, 1.0)),
            max_backoff=st.just(5.0),
            order=st.sampled_from(("failed_only", "strict")),
        ),
        "limits": st.builds(Limits, size=st.sampled_from((1, 3, 10, 100)), window=st.sampled_from((0.0, 0.5))),
        "concurrency": st.integers(1, 3),
        "incremental": st.booleans(),
        "commit_interval": st.sampled_from((0.0, 3.0)),
        "revoke_wait": st.sampled_from((0.0, 5.0)),
        "poll_records": st.sampled_from((1, 7, 50)),
        "timeout": st.just(8.0),
        "in_a_row": st.sampled_from((0, 0, 3, 20)),
    }
)


def prepared(shape: dict[str, Any], writes, rebalances, moods, seed) -> Simulation:
    shape = dict(shape)
    breaker = Breaker(shape.pop("in_a_row"), 10.0)
    sim = Simulation({"mcl": 2, "pe": 2}, breaker=breaker, seed=seed, **shape)
    chance = random.Random(seed)
    healthy_at = sim.clock.now + TROUBLED

    def handler(records):
        if sim.clock.now >= healthy_at:
            return honest(records)
        match chance.choice(moods):
            case "slow":
                return honest(records, 3.0)
            case "hung":
                return honest(records, 30.0)
            case "raise":
                return Answer(0.2, FAILED)
            case "away":
                return away(records)
            case "name":
                return naming(records)
        return honest(records)

    sim.desk.handler = handler
    sim.desk.sink = lambda records: (
        away(records) if sim.clock.now < healthy_at and chance.random() < 0.5 else honest([], 0.05)
    )
    for at, where, what, key in writes:
        tp = sim.partitions[where]
        sim.after(at, lambda tp=tp, what=what, key=key: sim.write(tp, *what, key=key))
    for at, what in rebalances:
        sim.after(at, _fault(sim, what))
    sim.after(TROUBLED, lambda: setattr(sim.broker, "silent", False))
    sim.after(TROUBLED, sim.rival_leaves)
    sim.after(TROUBLED, sim.broker.refusals.clear)
    for key in KEYS:
        sim.after(TROUBLED / 2, lambda key=key: sim.desk.schema(SchemaKey("confluent", key), 0.1))
    for n in range(100):
        sim.after(TROUBLED + 15 * n, lambda: sim.write(HEALTHY, "good") if breaker.is_open else None)
    return sim


def _fault(sim: Simulation, what: str):
    match what:
        case "join":
            return lambda: sim.rival_joins() if not sim.rivals else None
        case "leave":
            return sim.rival_leaves
        case "expel":
            return lambda: sim.broker.expel(sim.source.inner)
        case "crash":
            return sim.crash
        case "refuse":
            return lambda: sim.broker.refusals.append("rebalance in progress")
    return lambda: setattr(sim.broker, "silent", what == "silent")
