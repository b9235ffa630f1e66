"""One run from its beginning to its judgement: a setting, what is done to it, and what came out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from guarantees import oracles
from guarantees.field import Field
from guarantees.setting import Setting
from guarantees.trace import Trace
from kafka.cluster import KafkaCluster

NEVER_NOTHING: Final = frozenset(oracles.ORACLES) - {"DeadLettersComplete"}
Script = Callable[[Field, random.Random], None]


class Cell(NamedTuple):
    """A named run. The seed decides what is random in it; what it takes in time it does not."""

    name: str
    setting: Setting
    script: Script
    seed: int
    crashes: int = 0
    """At least so many kills, else the cell has not done what it is for."""


class Outcome(NamedTuple):
    """What a run was made of, and what was judged. `facts` are by oracle, `faults` are counted by name."""

    events: int
    crashes: int
    rebalances: int
    faults: Mapping[str, int]
    facts: Mapping[str, int]
    repeats: int
    bound: int

    def __str__(self) -> str:
        judged = ", ".join(f"{name} {count}" for name, count in self.facts.items())
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())) or "none"
        return (
            f"{self.events} events, {self.crashes} crashes, {self.rebalances} rebalances; faults: {faults}; "
            f"judged: {judged}; repeated {self.repeats} of at most {self.bound}"
        )


def play(cell: Cell, cluster: KafkaCluster, directory: Path, name: str) -> Outcome:
    """Run a cell. AssertionError where a promise is broken, a process misbehaves or nothing has come of it."""
    with Field(cluster, directory, name, cell.seed, cell.setting) as field:
        field.start_all()
        field.traffic.start()
        field.progress()
        cell.script(field, random.Random(cell.seed))
        trace = field.finish()
    return judged(cell, field, trace)


def judged(cell: Cell, field: Field, trace: Trace) -> Outcome:
    """The oracles' word on a run."""
    facts = oracles.judge(trace)
    assert all(facts[name] for name in NEVER_NOTHING), f"nothing was judged: {facts}"
    assert not field.processes.unexpected, f"processes that ended as they should not: {field.processes.unexpected}"
    assert field.said_missing() == field.gone
    repeats, bound = oracles.duplicates(trace)
    outcome = Outcome(
        events=len(trace.due),
        crashes=sum(life.how == "killed" for life in trace.lives),
        rebalances=rebalances(trace),
        faults=Counter(field.faults),
        facts=facts,
        repeats=repeats,
        bound=bound,
    )
    assert outcome.crashes >= cell.crashes, f"only {outcome.crashes} crashes: {outcome}"
    return outcome


def rebalances(trace: Trace) -> int:
    """How often the broker gave out the group's partitions anew."""
    return len({each.epoch for each in trace.ownerships if each.held})
