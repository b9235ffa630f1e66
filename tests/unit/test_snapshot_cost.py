"""What a snapshot of 1,000 partitions, and what is made of it, cost: bounded by a hundredth of the time.

In processor time of this thread, the least of several: what the machine does beside it makes it only more. Where the
machine is slow by itself it is slow with a piece of plain Python too, taken in turns; that much is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from datahub_poller.batching import Limits
from datahub_poller.ledger import Ledger, Settings
from datahub_poller.loop import QUIET_SECONDS
from datahub_poller.model import Event, Record, TopicPartition
from datahub_poller.observe.catalogue import Moment
from datahub_poller.observe.emf import Lines
from datahub_poller.observe.prometheus import page
from datahub_poller.observe.status import PollerStatus
from datahub_poller.policy import Breaker, Policy
from datahub_poller.progress import Progress
from datahub_poller.report import snapshot

PARTITIONS = 1000
SCRAPE_SECONDS, LINE_SECONDS = 15.0, 60.0
MOST = 0.01


class Source:
    """Of the real one, `positions` and `ends` of 1,000 partitions take a millisecond together."""

    def positions(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 5)

    missing: frozenset[str] = frozenset()

    def ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 50)


CLIENT_SECONDS = 0.001


def of_a_busy_poller() -> Callable[[], PollerStatus]:
    ledger = Ledger(Settings(Policy(), Limits()), Breaker(0, 60), lambda _: Event({}))
    for number in range(PARTITIONS):
        tp = TopicPartition("pe", number)
        ledger.open(tp, 0, 0, 1.0)
        ledger.lanes[tp].offer(Record(tp, 0, 1000, "create", b"k", b"v" * 1000, ()), Event({}), 1.0)
    poller: Any = SimpleNamespace(
        ledger=ledger,
        source=Source(),
        rebalances=1,
        stopping=False,
        started=0.0,
        source_trouble=None,
        commits=SimpleNamespace(trouble=None),
        settings=SimpleNamespace(topics=("pe",)),
        decode_seconds=0.0,
    )
    progress = Progress(300.0)
    return lambda: snapshot(poller, "a", {}, progress, 5.0)


REFERENCE_SECONDS = 0.007


def reference() -> object:
    """Takes 7 ms where a snapshot takes 5."""
    return sorted(({"number": number, "name": str(number)} for number in range(20_000)), key=lambda each: each["name"])


def seconds(what: Callable[[], object]) -> float:
    """What it takes on a machine on which `reference` takes what it should, or less."""

    def once(one: Callable[[], object]) -> float:
        began = time.thread_time()
        one()
        return time.thread_time() - began

    both = [(once(what), once(reference)) for _ in range(20)]
    own, beside = (min(each) for each in zip(*both, strict=True))
    return own / max(1.0, beside / REFERENCE_SECONDS)


def test_it_is_below_a_hundredth_of_the_time():
    take = of_a_busy_poller()
    moment = Moment(take(), 5.0, 1_800_000_000.0)
    assert page(moment, PARTITIONS).count("\ndatahub_poller_offset_lag{") == PARTITIONS
    costs = {
        "snapshots": (seconds(take) + CLIENT_SECONDS) / QUIET_SECONDS,
        "pages": seconds(lambda: page(moment, PARTITIONS)) / SCRAPE_SECONDS,
        "lines": seconds(lambda: Lines().line(moment)) / LINE_SECONDS,
    }
    print({name: f"{cost:.3%}" for name, cost in costs.items()})
    assert sum(costs.values()) < MOST
    assert costs["pages"] < MOST / 10
