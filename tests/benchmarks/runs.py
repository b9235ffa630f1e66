"""The runs that are compared: which driver each is, on what, and which bare loop it is measured against.

Values only. How a run is carried out is the referee's business.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from benchmarks.corpus import TOPICS, Framing
from benchmarks.figures import Bar

Driver = Literal["poller", "bare", "actions", "faststream", "aiokafka", "arroyo", "quix"]


class Run(NamedTuple):
    """`beside` names the run of the same round that it is divided by. `share` of the events: slow ones get fewer.

    `filtered`: the poller's own filter lets PASSING through and nothing else.
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


BARE, BARE_SMALL = "bare, 1000", "bare, 100"
POLLER, POLLER_SMALL = "poller, 1000", "poller, 100"
CHANGE_LOGS = TOPICS[:2]
PASSING = "glossaryTerms"
"""The aspect of one change log in twenty-three."""
PEERS: tuple[Driver, ...] = ("faststream", "aiokafka", "arroyo", "quix")
"""Drivers that need an environment of their own."""

QUICK = (
    Run(BARE, "bare", BARE),
    Run(POLLER, "poller", BARE),
    Run(BARE_SMALL, "bare", BARE_SMALL, batch=100),
    Run(POLLER_SMALL, "poller", BARE_SMALL, batch=100),
    Run("consume alone", "bare", BARE, work="consume"),
)
FULL = (
    *QUICK,
    Run("bare, 1000, sync", "bare", BARE, commit="sync"),
    Run("bare, change logs", "bare", "bare, change logs", topics=CHANGE_LOGS),
    Run("poller, filter 4 %", "poller", "bare, change logs", topics=CHANGE_LOGS, filtered=True),
    Run("poller, Glue", "poller", BARE, framing="glue"),
    Run("poller, Glue zlib", "poller", BARE, framing="glue-zlib"),
    Run("FastStream", "faststream", BARE),
    Run("aiokafka", "aiokafka", BARE),
    Run("Arroyo", "arroyo", BARE),
    Run("Quix Streams", "quix", BARE, share=0.2),
    Run("DataHub Actions", "actions", BARE, share=0.2),
    Run("DataHub Actions, sync", "actions", BARE, commit="sync", share=0.1),
)

BARS = (
    Bar(POLLER, "ratio", at_least=1.1),
    Bar(POLLER_SMALL, "ratio", at_least=1.0),
    Bar(POLLER, "cpu_ratio", at_most=0.9),
    Bar(POLLER, "peak", at_most=140.0),
    Bar(POLLER_SMALL, "peak", at_most=140.0),
)
