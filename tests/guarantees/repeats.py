"""What was delivered twice, and why that was allowed.

A lease of a process on a partition begins when the broker's account gives it what it did not hold, and when the
process begins. It starts where the group's commit says, so what was done and not committed comes again; that it was
not committed needs a cause. It must not know of any other promise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, Literal, NamedTuple

from datahub_poller.model import TopicPartition
from guarantees.timelines import (
    NEVER,
    Accounts,
    Committed,
    excused,
    first_done,
    listed,
    lives_of,
    partitions_of,
)
from guarantees.trace import Call, Trace
from support.recorded import Place

AFTER_A_FAULT: Final = 15.0
"""How long after a fault the group may still move because of it."""
COMMITTING_AGAIN: Final = 35.0
"""How long after a fault a poller may take to try a refused commit again, and to have it acknowledged."""
A_COMMIT: Final = 3.0
"""How long a commit may be due and on its way without any fault."""
UNANSWERED: Final = 3
"""So many commits back, all that was settled is committed: the last one was perhaps not answered, the one before it
perhaps a revocation's, of other partitions."""

Cause = Literal["fault", "crash", "failed record", "slow call", "put out", "rebalance"]


class Lease(NamedTuple):
    """A partition in a process's hands."""

    client: str
    tp: TopicPartition
    since: float


class Repeat(NamedTuple):
    """A place done in a call, and again in one that began later, in `lease`."""

    place: Place
    first: Call
    again: Call
    lease: Lease

    @property
    def planned(self) -> bool:
        """Whether it was clear when the lease began that it would come again."""
        return self.first.ended is not None and self.first.ended <= self.lease.since

    def __str__(self) -> str:
        return (
            f"{self.place}: done by {self.first.client} ({self.first.began:.3f} to {self.first.ended:.3f}), "
            f"again by {self.again.client} ({self.again.began:.3f}), whose lease began at {self.lease.since:.3f}"
        )


class Verdict(NamedTuple):
    """`bound` is how many repeats the causes could explain."""

    deliveries: int
    repeats: int
    causes: Counter[str]
    bound: int
    wrong: list[str]


def duplicates(trace: Trace) -> tuple[int, int]:
    """How many deliveries were repeats, and how many at most could have been."""
    verdict = _Judge(trace).verdict()
    return verdict.repeats, verdict.bound


def causes(trace: Trace) -> dict[str, int]:
    """How many deliveries were repeats, by what caused them."""
    return dict(_Judge(trace).verdict().causes)


def bounded_duplicates(trace: Trace) -> int:
    """What is done again has a cause, and after a crash it is bounded. Facts: deliveries.

    Within a lease nothing is done twice, but for `strict` order after a failed record. A lease begins at the committed
    offset, never below. What had been done above it was not committed because of

    - a fault that keeps commits from the broker or a member from the group;
    - the death of the process that had done it: then at most what was in flight, and what was settled since the
      last acknowledged commit. That is some batches, or what was done in the time that a few commits took;
    - an earlier record of the partition that was not settled yet, because a call had failed on it, or because its
      letter was not written yet;
    - a call that lasted longer than a revocation waits for it;
    - the group, which had put the process out and took it back, or another that went on with the partition;
    - a rebalance of a cooperative group. Members go on in it, their commits wait behind their joining, and one of the
      old generation may be refused, upon which the client gives up all that it holds (librdkafka #4059). It may have it
      back without a sign in the account, or another has it at once, whereas what is revoked is nobody's in between.

    Anything else is a repeat without a cause: a clean stop or a rebalance of healthy members repeats nothing.
    """
    verdict = _Judge(trace).verdict()
    wrong = verdict.wrong
    assert not wrong, f"repeats are caused and bounded: {len(wrong)} violations{listed(wrong)}"
    assert verdict.repeats <= verdict.bound, f"{verdict.repeats} repeats, {verdict.bound} could be explained"
    return verdict.deliveries


class _Judge:
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._accounts = Accounts(trace.ownerships)
        self._committed = Committed(trace.commits)
        self._lives = lives_of(trace)
        # Each lease that something was done in, and when that began: by then the position had been asked for.
        self._used: dict[Lease, float] = {}
        self._calls: dict[str, list[Call]] = defaultdict(list)
        # When a process that the group had put out began something, or was through with it.
        self._stray: dict[TopicPartition, list[float]] = defaultdict(list)
        for call in trace.calls:
            self._calls[call.client].append(call)
            times = [at for at in (call.began, call.ended) if at is not None]
            strays = [at for at in times if self._accounts.was_out(call.client, at, at)]
            for tp in partitions_of(call):
                self._used.setdefault(self._lease(call, tp), call.began)
                self._stray[tp] += strays
        self._letters: dict[Place, list[float]] = defaultdict(list)
        for letter in trace.letters:
            self._letters[letter.place].append(letter.at)
        self._due: dict[TopicPartition, list[Place]] = defaultdict(list)
        for place in sorted(trace.due):
            self._due[place.tp].append(place)
        self._open: dict[tuple[Lease, float], float] = {}

    def verdict(self) -> Verdict:
        trace = self._trace
        deliveries = sum(len(call.done) for call in trace.calls)
        crashes: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        wrong: list[str] = []
        unplanned = 0
        for repeat in self._repeats():
            cause, problem = self._cause_of(repeat)
            if cause is None:
                wrong.append(f"{problem}: {repeat}")
                continue
            causes[cause] += 1
            crashes[repeat.first.client] += cause == "crash"
            unplanned += not repeat.planned
        for client in +crashes:
            wrong += self._above_cap(client, crashes[client])
        return Verdict(deliveries, sum(causes.values()), causes, self._bound() + unplanned, wrong)

    def _above_cap(self, client: str, count: int) -> list[str]:
        cap = self._cap(client)
        if count <= cap or self._in_a_fault(client):
            return []
        return [f"{count} records came again after {client} died at {self._lives[client].ended:.3f}; {cap} may at most"]

    def _repeats(self) -> Iterator[Repeat]:
        last: dict[Place, Call] = {}
        for call in self._trace.calls:
            for place in call.done:
                if (first := last.get(place)) is not None:
                    yield Repeat(place, first, call, self._lease(call, place.tp))
                last[place] = call

    def _lease(self, call: Call, tp: TopicPartition) -> Lease:
        # A static member that comes back gets its partitions without an account of it: the process' begin is one.
        gained = self._accounts.gained(call.client, tp, call.began)
        began = self._lives[call.client].began
        return Lease(call.client, tp, began if gained is None else max(gained, began))

    def _cause_of(self, repeat: Repeat) -> tuple[Cause | None, str]:
        """Or what is wrong with it."""
        first, lease = repeat.first, repeat.lease
        if lease.since <= first.began:
            return self._cause_within(repeat)
        committed = self._start(lease)
        if repeat.place.offset < committed:
            return None, f"below the committed {committed}"
        return self._cause(repeat.place, first, lease), "without a cause"

    def _start(self, lease: Lease) -> int:
        """The offset that the process was told, or less where the commit went back meanwhile."""
        return self._committed.lowest(lease.tp, lease.since, self._used[lease])

    def _cause_within(self, repeat: Repeat) -> tuple[Cause | None, str]:
        """Both began in the later one's lease: nobody else had it, unless one of the two was not in the group.

        Around a fault a process may lose a partition and get it back, unseen by the broker.
        """
        first, again, lease = repeat.first, repeat.again, repeat.lease
        if excused(self._trace.windows, again.began, AFTER_A_FAULT):
            return "fault", ""
        if first.client == again.client and self._trace.limits.strict and _failed_before(first, repeat.place):
            return "failed record", ""
        if first.client == again.client:
            refused = self._trace.limits.cooperative and self._accounts.rebalanced(first.began, again.began)
            kept = repeat.place.offset < self._committed.at(lease.tp, again.began)
            return ("rebalance", "") if refused and not kept else (None, "twice in one lease")
        first_was_out = self._accounts.was_out(first.client, first.began, first.began)
        if first_was_out or self._accounts.was_out(again.client, lease.since, again.began):
            return "put out", ""
        return None, "by two at a time"

    def _cause(self, place: Place, first: Call, lease: Lease) -> Cause | None:
        """Why what was done in `first`, begun before the lease, was not committed when it should have been.

        That is when the partition next changed hands. It may have done so again before anybody came to the place.
        """
        assert first.ended is not None
        moved = min(lease.since, self._accounts.changed_hands(lease.tp, first.began))
        if excused(self._trace.windows, moved, AFTER_A_FAULT):
            return "fault"
        if self._died(first.client, moved):
            return "crash"
        if first.ended - first.began > self._trace.limits.revoke_wait:
            return "slow call"
        if self._accounts.put_out(first.client, first.began, max(first.ended, moved)):
            return "put out"
        at_once = self._accounts.owner(lease.tp, moved) == lease.client
        if (
            self._trace.limits.cooperative
            and at_once
            and self._accounts.taken_from_a_member(first.client, lease.tp, moved)
        ):
            return "rebalance"
        held = self._lease(first, lease.tp)
        if first.ended <= moved and place.offset > self._first_open(held, moved):
            return "failed record"
        # The letter of a record that failed may be that of a process which had not heard that it was out.
        return "put out" if any(held.since <= at <= moved for at in self._stray[lease.tp]) else None

    def _first_open(self, lease: Lease, until: float) -> float:
        """The first place that the process had not settled itself: what others did to it is no news to it."""
        if (lease, until) not in self._open:
            done = {
                place
                for call in self._calls[lease.client]
                if call.began >= lease.since and call.ended is not None and call.ended <= until
                for place in call.done
            }
            due = self._due[lease.tp]
            self._open[lease, until] = next(
                (
                    place.offset
                    for place in due[bisect_left(due, Place(*lease.tp, self._start(lease))) :]
                    if place not in done and not any(lease.since <= at <= until for at in self._letters[place])
                ),
                NEVER,
            )
        return self._open[lease, until]

    def _died(self, client: str, by: float) -> bool:
        """What fails by itself leaves the group before its end is noticed."""
        life = self._lives[client]
        if life.how not in {"killed", "failed"} or life.ended is None:
            return False
        return life.ended <= by or self._accounts.gone_for_good(client, by)

    def _in_a_fault(self, client: str) -> bool:
        ended = self._lives[client].ended
        return ended is not None and excused(self._trace.windows, ended, COMMITTING_AGAIN)

    def _cap(self, client: str) -> int:
        """What a dying process may have in flight, or settled and not yet acknowledged."""
        limits, ended = self._trace.limits, self._lives[client].ended
        assert ended is not None
        held = self._accounts.last_held(client, ended)
        mine = self._calls[client]
        seen = max(call.began if call.ended is None else call.ended for call in mine)
        times = self._committed.last_times(held, ended, UNANSWERED)
        since = max(seen - A_COMMIT, times[0] if len(times) == UNANSWERED else 0.0)
        recent = sum(len(call.done) for call in mine if call.ended is not None and call.ended > since)
        return max(recent, (len(held) + 4 * limits.concurrency) * limits.batch_size)

    # -- what might have come again

    def _bound(self) -> int:
        """What was done and not committed when a lease began that did something, as far as there was a cause."""
        done = _Done(self._trace)
        crashes: Counter[str] = Counter()
        bound = 0
        for lease in self._used:
            for place in done.uncommitted(lease.tp, self._start(lease), lease.since):
                first = done.last(place, lease.since)
                cause = self._cause(place, first, lease)
                crashes[first.client] += cause == "crash"
                bound += cause not in {"crash", None}
        for client, count in (+crashes).items():
            bound += count if self._in_a_fault(client) else min(count, self._cap(client))
        return bound


def _failed_before(call: Call, place: Place) -> bool:
    """Whether the call failed on an earlier record of the partition."""
    return any(each.tp == place.tp and each < place and each not in call.done for each in call.places)


class _Done:
    """What had been done of a partition by when."""

    def __init__(self, trace: Trace) -> None:
        self._calls: dict[Place, list[Call]] = defaultdict(list)
        for call in trace.calls:
            for place in call.done:
                self._calls[place].append(call)
        self._first = first_done(trace)
        self._places: dict[TopicPartition, list[Place]] = defaultdict(list)
        for place in sorted(self._first):
            self._places[place.tp].append(place)
        # From each place on, the earliest: behind it, nothing had been done before.
        self._earliest = {
            tp: list(accumulate((self._first[place] for place in reversed(places)), min))[::-1]
            for tp, places in self._places.items()
        }

    def uncommitted(self, tp: TopicPartition, committed: int, at: float) -> Iterator[Place]:
        """Done by then, at the committed offset or above."""
        places, earliest = self._places.get(tp, []), self._earliest.get(tp, [])
        for index in range(bisect_left(places, Place(*tp, committed)), len(places)):
            if earliest[index] > at:
                return
            if self._first[places[index]] <= at:
                yield places[index]

    def last(self, place: Place, at: float) -> Call:
        """The call that did it last by then."""
        return [call for call in self._calls[place] if call.ended is not None and call.ended <= at][-1]
