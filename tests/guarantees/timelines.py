"""A trace put in order for its judges: what was settled when, what was committed when, who held what when.

Owns the look-ups, each of which must be quick for a million places. It must not judge.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import inf

from datahub_poller.model import TopicPartition
from guarantees.trace import Call, Commit, Life, Ownership, Trace, Window
from support.recorded import Place

NEVER = inf


def first_done(trace: Trace) -> dict[Place, float]:
    """When the earliest call ended that dealt with a place."""
    found: dict[Place, float] = {}
    for call in trace.calls:
        if call.ended is not None:
            for place in call.done:
                found[place] = min(call.ended, found.get(place, NEVER))
    return found


def first_settled(trace: Trace) -> dict[Place, float]:
    """When a place was done, or its letter written, whichever was earlier."""
    found = first_done(trace)
    for letter in trace.letters:
        found[letter.place] = min(letter.at, found.get(letter.place, NEVER))
    return found


class Prefixes:
    """When everything due of a partition up to an offset was settled."""

    def __init__(self, trace: Trace) -> None:
        settled = first_settled(trace)
        offsets: dict[TopicPartition, list[int]] = defaultdict(list)
        for topic, partition, offset in sorted(trace.due):
            offsets[TopicPartition(topic, partition)].append(offset)
        self._offsets = dict(offsets)
        self._times = {
            tp: list(accumulate((settled.get(Place(*tp, offset), NEVER) for offset in found), max))
            for tp, found in offsets.items()
        }

    def before(self, tp: TopicPartition, offset: int) -> float:
        """When the last of the due places below the offset was settled; 0 where there is none."""
        index = bisect_left(self._offsets.get(tp, ()), offset)
        return self._times[tp][index - 1] if index else 0.0

    def first_open(self, tp: TopicPartition, at: float) -> int | None:
        """The lowest offset that was not settled by then."""
        index = bisect_right(self._times.get(tp, ()), at)
        return self._offsets[tp][index] if index < len(self._offsets.get(tp, ())) else None


class Committed:
    """What was committed when."""

    def __init__(self, commits: Iterable[Commit]) -> None:
        self._offsets: dict[TopicPartition, list[int]] = defaultdict(list)
        self._times: dict[TopicPartition, list[float]] = defaultdict(list)
        for commit in commits:
            times = self._times[commit.tp]
            times.append(max(commit.at, times[-1]) if times else commit.at)
            self._offsets[commit.tp].append(commit.offset)

    def at(self, tp: TopicPartition, at: float) -> int:
        """0 where nothing was."""
        index = bisect_right(self._times.get(tp, ()), at)
        return self._offsets[tp][index - 1] if index else 0

    def last_times(self, tps: Iterable[TopicPartition], until: float, count: int) -> list[float]:
        """When there were the last `count` commits of any of these, oldest first. A commit of several is one."""
        found = {
            at
            for tp in tps
            for times in (self._times.get(tp, []),)
            for at in times[max(0, bisect_right(times, until) - count) : bisect_right(times, until)]
        }
        return sorted(found)[-count:]

    def lowest(self, tp: TopicPartition, since: float, until: float) -> int:
        """The lowest offset that anybody may have been told between: a commit may, around a fault, go back."""
        first, last = (bisect_right(self._times.get(tp, ()), at) for at in (since, until))
        return min(self.at(tp, since), *self._offsets[tp][first:last]) if first < last else self.at(tp, since)


class Accounts:
    """The broker's accounts of the group, by time. Of several at the same time the last one holds."""

    def __init__(self, ownerships: Sequence[Ownership]) -> None:
        self.all = ownerships
        self._times = list(accumulate((each.at for each in ownerships), max))
        self._owners = [{tp: client for client, held in each.held.items() for tp in held} for each in ownerships]
        self._gains: dict[tuple[str, TopicPartition], list[float]] = defaultdict(list)
        self._changes: dict[TopicPartition, list[float]] = defaultdict(list)
        self._last_seen: dict[str, float] = {}
        self._absences: dict[str, list[tuple[float, float]]] = {}
        before: Ownership | None = None
        for at, each in zip(self._times, ownerships, strict=True):
            for client, held in each.held.items():
                self._last_seen[client] = at
                for tp in held - (frozenset() if before is None else before.held.get(client, frozenset())):
                    self._gains[client, tp].append(at)
                    self._changes[tp].append(at)
            before = each

    def latest(self, at: float) -> Ownership | None:
        """The account that held at a time."""
        index = bisect_right(self._times, at)
        return self.all[index - 1] if index else None

    def owner(self, tp: TopicPartition, at: float) -> str | None:
        """Whose a partition was."""
        index = bisect_right(self._times, at)
        return self._owners[index - 1].get(tp) if index else None

    def taken_from_a_member(self, client: str, tp: TopicPartition, at: float) -> bool:
        """Whether the first account of a time is without what the client had in the one before, and with the client."""
        index = bisect_left(self._times, at)
        if not 0 < index < len(self.all):
            return False
        return self._owners[index - 1].get(tp) == client and tp not in self.all[index].held.get(client, {tp})

    def gained(self, client: str, tp: TopicPartition, at: float) -> float | None:
        """When the client last got what it had not held, up to a time."""
        times = self._gains.get((client, tp), [])
        index = bisect_right(times, at)
        return times[index - 1] if index else None

    def changed_hands(self, tp: TopicPartition, after: float) -> float:
        """When anybody next got what it had not held."""
        times = self._changes.get(tp, [])
        index = bisect_right(times, after)
        return times[index] if index < len(times) else NEVER

    def rebalanced(self, since: float, until: float) -> bool:
        """Whether the group was given out anew between."""
        first, last = (bisect_right(self._times, at) for at in (since, until))
        return len({each.epoch for each in self.all[max(0, first - 1) : last]}) > 1

    def was_out(self, client: str, since: float, until: float) -> bool:
        """Whether the group was without the client at any moment between."""
        first = max(0, bisect_right(self._times, since) - 1)
        return any(client not in each.held for each in self.all[first : bisect_right(self._times, until)])

    def put_out(self, client: str, since: float, until: float) -> bool:
        """Whether the group was without the client at a moment between, though it was a member before and after."""
        if client not in self._absences:
            self._absences[client] = list(self._absent(client))
        return any(began <= until and ended > since for began, ended in self._absences[client])

    def _absent(self, client: str) -> Iterator[tuple[float, float]]:
        """From when to when the group was without the client, between two accounts with it."""
        there = [index for index, each in enumerate(self.all) if client in each.held]
        for before, after in pairwise(there):
            if after > before + 1:
                yield self._times[before + 1], self._times[after]

    def gone_for_good(self, client: str, since: float) -> bool:
        """Whether the client is no member at a time, nor ever after."""
        account = self.latest(since)
        out = account is not None and client not in account.held
        return out and self._last_seen.get(client, 0.0) <= since

    def last_held(self, client: str, at: float) -> frozenset[TopicPartition]:
        """What the client had when it was last seen in the group, up to a time."""
        for index in range(bisect_right(self._times, at) - 1, -1, -1):
            if client in self.all[index].held:
                return self.all[index].held[client]
        return frozenset()


def excused(windows: Iterable[Window], at: float, grace: float) -> bool:
    """Whether a time is in a fault that excuses, or shortly after."""
    return any(each.excuses and each.began <= at <= each.ended + grace for each in windows)


def lives_of(trace: Trace) -> dict[str, Life]:
    """By client. AssertionError where a call is of none of them: the account is not whole then."""
    found = {life.client: life for life in trace.lives}
    strangers = {call.client for call in trace.calls} - found.keys()
    assert not strangers, f"calls of processes that nobody has started: {sorted(strangers)}"
    return found


def partitions_of(call: Call) -> Iterator[TopicPartition]:
    """Each partition of a call once."""
    return iter(dict.fromkeys(place.tp for place in call.places))


def listed(found: Sequence[object], most: int = 10) -> str:
    """The first of what was found, a line each."""
    more = [f"... and {len(found) - most} more"] if len(found) > most else []
    return "\n  ".join(["", *(str(each) for each in found[:most]), *more])
