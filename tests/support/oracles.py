"""Judges of a run: what was read, handed out, answered, written and committed, against the promises.

A trace is written by the scripted source and desk (or by a state machine); each oracle reads it and raises
AssertionError with the offsets that broke its promise. They know nothing of how the poller keeps its account.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from datahub_poller.model import TopicPartition

At = tuple[TopicPartition, int]
"""A record's place."""


class Step(NamedTuple):
    """One thing that happened. `lease` counts the assignments of the partition, from 1."""

    what: str
    at: float
    about: dict[str, Any]


class Trace:
    """What happened, in order.

    assigned(tp, lease, start)  gone(tp, lease)  given(tp, offset)  called(flight, kind, records: [(tp, lease, offset)])
    returned(flight, ok: set of places that succeeded)  committed(tp, offset, lease)
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.steps: list[Step] = []
        self._now = now
        self.leases: Counter[TopicPartition] = Counter()
        self.owned: set[TopicPartition] = set()

    def note(self, what: str, **about: Any) -> None:
        self.steps.append(Step(what, self._now(), about))

    def of(self, *names: str) -> list[Step]:
        return [step for step in self.steps if step.what in names]

    def assigned(self, tp: TopicPartition, start: int) -> None:
        self.leases[tp] += 1
        self.owned.add(tp)
        self.note("assigned", tp=tp, lease=self.leases[tp], start=start)

    def gone(self, tp: TopicPartition) -> None:
        self.owned.discard(tp)
        self.note("gone", tp=tp, lease=self.leases[tp])

    def calls(self, kind: str = "invoke") -> list[Step]:
        return [step for step in self.of("called") if step.about["kind"] == kind]


# -- the oracles


def at_least_once(trace: Trace, due: Mapping[TopicPartition, Iterable[int]]) -> None:
    """Each of these records was delivered in a call that succeeded, or its letter was acknowledged."""
    done = {place for step in trace.of("returned") for place in step.about["ok"]}
    missing = [(tp, offset) for tp, offsets in due.items() for offset in offsets if (tp, offset) not in done]
    assert not missing, f"never delivered: {missing[:10]}"


def commit_never_ahead(trace: Trace, due: Mapping[TopicPartition, Iterable[int]]) -> None:
    """When an offset reaches the broker, each due record between the lease's start and it was dealt with before."""
    wanted = {tp: sorted(offsets) for tp, offsets in due.items()}
    starts: dict[TopicPartition, int] = {}
    done: set[At] = set()
    for step in trace.steps:
        match step.what:
            case "assigned":
                starts.setdefault(step.about["tp"], step.about["start"])
            case "returned":
                done |= step.about["ok"]
            case "committed":
                tp, upto = step.about["tp"], step.about["offset"]
                low = starts[tp]
                ahead = [o for o in wanted.get(tp, ()) if low <= o < upto and (tp, o) not in done]
                assert not ahead, f"{tp} committed {upto} at {step.at}, ahead of {ahead[:10]}"


def commits_never_go_back(trace: Trace) -> None:
    """Under one lease the committed offset only grows."""
    last: dict[tuple[TopicPartition, int], int] = {}
    for step in trace.of("committed"):
        key = step.about["tp"], step.about["lease"]
        assert step.about["offset"] >= last.get(key, 0), f"{key}: {step.about['offset']} after {last[key]}"
        last[key] = step.about["offset"]


def first_delivery_in_order(trace: Trace) -> None:
    """Per lease, each record is handed out for the first time after all that precede it in its partition."""
    seen: dict[tuple[TopicPartition, int], set[int]] = defaultdict(set)
    top: dict[tuple[TopicPartition, int], int] = defaultdict(lambda: -1)
    for step in trace.calls():
        for tp, lease, offset in step.about["records"]:
            key = tp, lease
            if offset not in seen[key]:
                assert offset > top[key], f"{tp} lease {lease}: {offset} first handed out after {top[key]}"
                seen[key].add(offset)
                top[key] = offset


def one_part_in_flight_per_partition(trace: Trace) -> None:
    """No call starts with records of a partition that are in a call which has not returned, whatever the lease."""
    flying: dict[int, set[TopicPartition]] = {}
    for step in trace.of("called", "returned"):
        flight = step.about["flight"]
        if step.what == "returned":
            flying.pop(flight)
            continue
        mine = {tp for tp, _, _ in step.about["records"]}
        for other, theirs in flying.items():
            assert not mine & theirs, f"flights {other} and {flight} both hold {mine & theirs} at {step.at}"
        flying[flight] = mine


def nothing_after_revoke(trace: Trace) -> None:
    """No call is started, and no offset committed, under a lease that is gone."""
    gone: set[tuple[TopicPartition, int]] = set()
    for step in trace.steps:
        match step.what:
            case "gone":
                gone.add((step.about["tp"], step.about["lease"]))
            case "called":
                late = {(tp, lease) for tp, lease, _ in step.about["records"]} & gone
                assert not late, f"called at {step.at} under leases that are gone: {late}"
            case "committed":
                assert (step.about["tp"], step.about["lease"]) not in gone, f"committed after it was gone: {step}"


def dead_letters_are(trace: Trace, expected: Mapping[TopicPartition, Iterable[int]]) -> None:
    """Exactly these records have an acknowledged letter; a letter may come twice, not be amiss."""
    letters = {step.about["flight"] for step in trace.calls("letters")}
    written = {p for step in trace.of("returned") if step.about["flight"] in letters for p in step.about["ok"]}
    wanted = {(tp, offset) for tp, offsets in expected.items() for offset in offsets}
    assert written == wanted, f"missing {sorted(wanted - written)[:10]}, amiss {sorted(written - wanted)[:10]}"


def duplicates_at_most(trace: Trace, bound: int) -> None:
    """Records that succeeded are handed out again at most so often in all."""
    calls = {step.about["flight"]: step for step in trace.calls()}
    succeeded: Counter[At] = Counter()
    for step in trace.of("returned"):
        if step.about["flight"] in calls:
            succeeded.update(step.about["ok"])
    again = sum(count - 1 for count in succeeded.values())
    assert again <= bound, f"{again} events succeeded more than once, {bound} were allowed"


def always(trace: Trace, due: Mapping[TopicPartition, Iterable[int]]) -> None:
    """What holds in every run, finished or not."""
    commit_never_ahead(trace, due)
    commits_never_go_back(trace)
    first_delivery_in_order(trace)
    one_part_in_flight_per_partition(trace)
    nothing_after_revoke(trace)
