"""What is measured: the runs that are compared, what else is looked at, and the bars.

Values only. How a run is carried out is the referee's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from benchmarks.bars import Bar
from benchmarks.corpus import TOPICS, Framing

Driver = Literal["poller", "bare", "actions", "faststream", "aiokafka", "arroyo", "quix"]


class Run(NamedTuple):
    """`beside` names the run of the same round that it is divided by. `share` of the events: slow ones get fewer,
    and short ones more.

    `filtered`: the poller's own filter lets PASSING through and nothing else. `gated`: no event can be read until
    every process holds its partitions. A `window` of None is the poller's own default. `timed`: when each
    event came is kept.
    """

    name: str
    driver: Driver
    beside: str
    batch: int = 1000
    work: Literal["decode", "consume"] = "decode"
    commit: Literal["async", "sync"] = "async"
    framing: Framing = "confluent"
    share: float = 1.0
    filtered: bool = False
    topics: tuple[str, ...] = TOPICS
    processes: int = 1
    gated: bool = False
    window: str | None = "10ms"
    timed: bool = False


class Probe(NamedTuple):
    """A look at one process without a race: `times` starts of a poller, its rest on so many partitions of each topic,
    or how long events take from their producer to the handler, on one partition.

    `thin`: after its rest it gets few events, spread over all of its partitions.
    """

    name: str
    kind: Literal["start", "rest", "latency"]
    run: Run
    times: int = 1
    partitions: tuple[int, int, int] = (2, 2, 2)
    thin: bool = False


BARE, BARE_SMALL, BARE_LOGS = "bare, 1000", "bare, 100", "bare, change logs"
POLLER, POLLER_SMALL = "poller, 1000", "poller, 100"
FILTERED = "poller, filter 5 %"
ONE, TWO = "poller, 1 process", "poller, 2 processes"
START, START_GLUE = "start, Confluent", "start, Glue"
LATENCY, LATENCY_BARE, LATENCY_ACTIONS = "latency, poller", "latency, bare loop", "latency, DataHub Actions"
CHANGE_LOGS = TOPICS[:2]
PASSING: Final[tuple[Mapping[str, Any], ...]] = (
    {"aspectName": "glossaryTerms"},
    {"aspectName": ["datasetProperties", "ownership"], "changeType": "RESTATE"},
)
"""What the filter lets through: of a hundred events 68 are change logs, 3 have that aspect; 2 % of 20 are restated."""
PEERS: tuple[Driver, ...] = ("faststream", "aiokafka", "arroyo", "quix")
"""Drivers that need an environment of their own."""

QUICK = (
    Run(BARE, "bare", BARE),
    Run(POLLER, "poller", BARE),
    Run(BARE_SMALL, "bare", BARE_SMALL, batch=100),
    Run(POLLER_SMALL, "poller", BARE_SMALL, batch=100),
    Run("consume alone", "bare", BARE, work="consume"),
    Run(BARE_LOGS, "bare", BARE_LOGS, topics=CHANGE_LOGS),
    Run(FILTERED, "poller", BARE_LOGS, topics=CHANGE_LOGS, filtered=True),
    Run(ONE, "poller", ONE, share=2.0, gated=True),
    Run(TWO, "poller", ONE, share=2.0, gated=True, processes=2),
)
FULL = (
    *QUICK,
    Run("bare, 1000, sync", "bare", BARE, commit="sync"),
    Run("poller, Glue", "poller", BARE, framing="glue"),
    Run("poller, Glue zlib", "poller", BARE, framing="glue-zlib"),
    Run("FastStream", "faststream", BARE),
    Run("aiokafka", "aiokafka", BARE),
    Run("Arroyo", "arroyo", BARE),
    Run("Quix Streams", "quix", BARE, share=0.2),
    Run("DataHub Actions", "actions", BARE, share=0.2),
    Run("DataHub Actions, sync", "actions", BARE, commit="sync", share=0.1),
)

AS_IT_COMES = Run("poller, as it comes", "poller", BARE, batch=100, window=None)
QUICK_PROBES = (
    Probe(START, "start", AS_IT_COMES, times=5),
    Probe(START_GLUE, "start", AS_IT_COMES._replace(framing="glue"), times=5),
    Probe("at rest", "rest", AS_IT_COMES),
    Probe(LATENCY, "latency", AS_IT_COMES._replace(timed=True)),
    Probe(LATENCY_BARE, "latency", Run(LATENCY_BARE, "bare", BARE, batch=1, timed=True)),
    Probe(LATENCY_ACTIONS, "latency", Run(LATENCY_ACTIONS, "actions", BARE, timed=True)),
)
FULL_PROBES = (
    *QUICK_PROBES,
    Probe("1,000 partitions", "rest", AS_IT_COMES, partitions=(630, 50, 320), thin=True),
)

BARS = (
    Bar(POLLER, "per_second", against=BARE, at_least=1.1),
    Bar(POLLER_SMALL, "per_second", against=BARE_SMALL, at_least=1.0),
    Bar(POLLER, "cpu_ms", against=BARE, at_most=0.9),
    Bar(POLLER, "peak", at_most=140.0),
    Bar(POLLER_SMALL, "peak", at_most=140.0),
    Bar(FILTERED, "per_second", against=BARE_LOGS, at_least=3.0),
    Bar(TWO, "per_second", against=ONE, at_least=1.2),
    Bar(TWO, "cpu_ms", against=ONE, at_most=1.1),
    Bar(START, "until_poll", at_most=0.6),
    Bar(START, "rss", at_most=80.0),
    Bar(LATENCY, "p50_at_20", at_most=10.0),
    Bar(LATENCY, "p50_at_20", against=LATENCY_ACTIONS, at_most=1.5, enough=4.0),
    Bar(LATENCY, "p50_at_1000", at_most=10.0),
    Bar(LATENCY, "p50_at_1000", against=LATENCY_ACTIONS, at_most=1.5, enough=4.0),
    Bar(LATENCY, "p99_at_1000", at_most=50.0),
    *(Bar(POLLER, "per_second", against=peer, at_least=1.0) for peer in ("FastStream", "aiokafka", "Arroyo")),
    Bar(POLLER, "per_second", against="Quix Streams", at_least=1.0),
    Bar(POLLER, "per_second", against="DataHub Actions", at_least=8.0),
    Bar(POLLER, "per_second", against="DataHub Actions, sync", at_least=20.0),
)
