"""Whatever lawfully happens to a group of pollers, its judges acquit it; what a toy does wrong, they see."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datahub_poller.model import TopicPartition
from guarantees import oracles, repeats
from guarantees.trace import Call, Commit, Due, Life, Limits, Ownership, Trace
from properties.toy_group import ToyGroup
from support.recorded import Place

pytestmark = pytest.mark.timeout(120)


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.booleans())
def test_lawful_runs_are_acquitted(seed, eager):
    trace = ToyGroup(seed, eager=eager).run()
    oracles.judge(trace)
    found, bound = oracles.duplicates(trace)
    assert found <= bound


def test_lawful_runs_have_repeats_of_every_kind():
    found = {}
    for seed in range(40):
        for cause, count in repeats.causes(ToyGroup(seed, eager=bool(seed % 2)).run()).items():
            found[cause] = found.get(cause, 0) + count
    print(found)
    assert found.keys() >= {"crash", "fault", "put out", "failed record"}


@pytest.mark.parametrize(
    ("bug", "oracle"),
    [
        ("does-not-wait", "BoundedDuplicates"),
        ("does-not-commit", "BoundedDuplicates"),
        ("begins-below", "BoundedDuplicates"),
        ("keeps-lanes", "NothingAfterRevoke"),
        ("keeps-lanes", "OnePartInFlightPerPartition"),
    ],
)
def test_what_a_toy_does_wrong_is_seen(bug, oracle):
    caught = 0
    for seed in range(10):
        trace = ToyGroup(seed, eager=bool(seed % 2), healthy=True, bugs=frozenset({bug})).run()
        try:
            oracles.judge(trace)
        except AssertionError as error:
            caught += f"{oracle}: " in str(error)
    assert caught >= 5


def test_judging_is_quick():
    trace = large(random.Random(7))
    began = time.process_time()
    facts = oracles.judge(trace)
    took = time.process_time() - began
    print(
        f"{took:.2f} s for {facts}, {len(trace.calls)} calls, {len(trace.commits)} commits, {oracles.duplicates(trace)}"
    )
    assert facts["AtLeastOnce"] == 60_000
    assert took < 8.0


def large(chance):
    """60,000 places on 24 partitions, 5,000 calls, 20,000 commits; now and then a process is killed."""
    tps = [TopicPartition("t", number) for number in range(24)]
    trace = Trace(Limits(50, 2), {}, [], [], [], [], [], [])
    trace.due = {Place(*tp, offset): Due("good", "") for tp in tps for offset in range(2500)}
    at, clients, now = dict.fromkeys(tps, 0), {"p0": 0.0, "p1": 0.0, "p2": 0.0}, 0.0
    while min(at.values()) < 2500:
        held = {client: frozenset(tps[number::3]) for number, client in enumerate(clients)}
        trace.ownerships.append(Ownership(now, len(trace.ownerships), dict.fromkeys(clients, frozenset())))
        trace.ownerships.append(Ownership(now, len(trace.ownerships), held))
        committed = dict(at)
        for _ in range(40):
            now += 0.05
            for client, tp in [(each, tp) for each in clients for tp in held[each] if at[tp] < 2500]:
                handed = tuple(Place(*tp, offset) for offset in range(at[tp], min(2500, at[tp] + 12)))
                name = f"{tp}@{at[tp]}"
                trace.calls.append(Call(client, name, 1, handed, now, now + 0.01, frozenset(handed)))
                trace.commits += [Commit(tp, at[tp], now + 0.02, "")] * 4
                committed[tp], at[tp] = at[tp], at[tp] + len(handed)
        victim = chance.choice(sorted(clients))
        if min(at.values()) < 2500:
            at |= {tp: committed[tp] for tp in held[victim]}
        trace.lives.append(Life(victim, clients.pop(victim), now, "killed"))
        clients[f"p{len(trace.lives) + 2}"] = now
        now += 3.0
    trace.lives += [Life(client, since, now, "stopped") for client, since in clients.items()]
    return trace
