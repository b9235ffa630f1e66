"""The judges of a run: each reads a trace, counts the facts it judged, and raises AssertionError where one is wrong.

They take the word of the broker, of the handlers and of the dead letters, never of a poller. What a definition must
allow, because the protocols do, stands in its docstring.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from datahub_poller.model import TopicPartition
from guarantees.repeats import bounded_duplicates, duplicates
from guarantees.timelines import (
    NEVER,
    Accounts,
    Prefixes,
    excused,
    first_settled,
    listed,
    lives_of,
    partitions_of,
)
from guarantees.trace import Call, Commit, Trace
from support.recorded import Place

CLOCK_GRAIN: Final = 0.005
"""Kafka and the letters count in milliseconds."""
HEARSAY: Final = 0.020
"""How long the broker's account is younger than what the members know."""
RESENT: Final = 15.0
"""How long after a fault the client may send a commit again that the broker had not answered."""

__all__ = ["ORACLES", "duplicates", "judge", "unaware_calls"]


def _require(wrong: list[str], promise: str) -> None:
    assert not wrong, f"{promise}: {len(wrong)} violations{listed(wrong)}"


def _told(call: Call) -> str:
    ended = "open" if call.ended is None else f"{call.ended:.3f}"
    return f"{call.client} batch {call.batch_id} attempt {call.attempt} ({call.began:.3f} to {ended})"


def at_least_once(trace: Trace) -> int:
    """Each place that is due was in a call that succeeded, or has a letter. Facts: places."""
    settled = first_settled(trace)
    missing = [place for place in trace.due if place not in settled]
    by_time = [f"{place} ({trace.due[place].kind})" for place in sorted(missing)]
    _require(by_time, "every record is delivered or dead-lettered")
    return len(trace.due)


def commit_never_ahead(trace: Trace) -> int:
    """When an offset was committed, all due places below it had been done or lettered. Facts: commits.

    Nor does a partition's committed offset ever go back: a stale member's commit is refused, and a live one sends its
    own in order. Only around a fault may the client send one again late, after a newer one; no record is lost by it.
    """
    prefixes, wrong = Prefixes(trace), []
    last: dict[TopicPartition, Commit] = {}
    for commit in trace.commits:
        told = f"{commit.tp}@{commit.offset} committed at {commit.at:.3f}"
        settled = prefixes.before(commit.tp, commit.offset)
        if settled > commit.at + CLOCK_GRAIN:
            first = prefixes.first_open(commit.tp, commit.at + CLOCK_GRAIN)
            when = "never" if settled == NEVER else f"only by {settled:.3f}"
            wrong.append(f"{told}: {commit.tp}@{first} was open; all below it were settled {when}")
        before = last.get(commit.tp)
        if before is not None and commit.offset < before.offset and not excused(trace.windows, commit.at, RESENT):
            wrong.append(f"{told} after {before.offset} at {before.at:.3f}")
        last[commit.tp] = commit
    _require(wrong, "a commit is never ahead")
    return len(trace.commits)


def first_delivery_in_order(trace: Trace) -> int:
    """What is handed out of a partition for the first time ever has the highest offset so far. Facts: places.

    Holds over all processes: each goes up without a gap from where a commit says, below which all was handed out.
    """
    seen: set[Place] = set()
    last: dict[TopicPartition, tuple[int, Call]] = {}
    wrong = []
    for call in trace.calls:
        for place in call.places:
            if place in seen:
                continue
            seen.add(place)
            tp = place.tp
            before = last.get(tp)
            if before is not None and place.offset < before[0]:
                wrong.append(f"{place} in {_told(call)} after {tp}@{before[0]} in {_told(before[1])}")
            else:
                last[tp] = place.offset, call
    _require(wrong, "records are first handed out in offset order")
    return len(seen)


def one_part_in_flight_per_partition(trace: Trace) -> int:
    """While a call with a partition's records runs, no other with records of it begins. Facts: calls by partition.

    Within a process there is no excuse. Another process may begin where the first one has ended, or was out of the
    group for a moment since its call began (it was told to let go without waiting), or has been at it for longer
    than a revocation waits; or where it is itself out of the group, and has not heard of it yet.
    """
    accounts, lives = Accounts(trace.ownerships), lives_of(trace)
    running: dict[TopicPartition, list[Call]] = defaultdict(list)
    wrong, facts = [], 0
    for call in trace.calls:
        for tp in partitions_of(call):
            facts += 1
            still = [each for each in running[tp] if _runs(each, call.began, lives[each.client].ended)]
            for other in still:
                may = other.client != call.client and (
                    call.began - other.began > trace.limits.revoke_wait
                    or accounts.was_out(other.client, other.began, call.began)
                    or accounts.was_out(call.client, call.began, call.began)
                )
                if not may:
                    wrong.append(f"{tp}: {_told(call)} began while {_told(other)} ran")
            running[tp] = [*still, call]
    _require(wrong, "a partition has one part in flight")
    return facts


def _runs(call: Call, at: float, died: float | None) -> bool:
    return (call.ended is None or call.ended > at) and (died is None or died > at)


def nothing_after_revoke(trace: Trace) -> int:
    """A member begins nothing with a partition that is another's by the broker's account. Facts: calls by partition.

    A process that the group has put out may not have heard of it; see `unaware_calls`. An account is held against a
    member when it is some milliseconds old, so one that gives the partition may be younger.
    """
    return _after_revoke(trace)[0]


def unaware_calls(trace: Trace) -> int:
    """Calls by partition that a process began while the group had put it out, and another had the partition."""
    return _after_revoke(trace)[1]


def _after_revoke(trace: Trace) -> tuple[int, int]:
    accounts = Accounts(trace.ownerships)
    wrong, facts, unaware = [], 0, 0
    for call in trace.calls:
        at = call.began - HEARSAY
        account = accounts.latest(at)
        if account is None:
            continue
        for tp in partitions_of(call):
            facts += 1
            owner = accounts.owner(tp, at)
            gained = accounts.gained(call.client, tp, call.began)
            if owner in {None, call.client} or (gained is not None and gained > at):
                continue
            if call.client in account.held:
                wrong.append(f"{tp}: {_told(call)}, but it was {owner}'s since {account.at:.3f}")
            else:
                unaware += 1
    _require(wrong, "nothing begins after a revocation")
    return facts, unaware


def dead_letters_complete(trace: Trace) -> int:
    """What cannot be dealt with has a letter with its own bytes, and nothing else has one. Facts: letters, bad places.

    A good record has one only after a call that failed on it. Bytes that are no event are never handed out.
    """
    ids: dict[Place, str] = {}
    failed = _first_failures(trace)
    wrong = []
    for letter in trace.letters:
        told, due = f"the letter of {letter.place} ({letter.id}, {letter.at:.3f})", trace.due.get(letter.place)
        if due is None:
            wrong.append(f"{told} is of a record that was not due")
            continue
        if letter.digest != due.digest:
            wrong.append(f"{told} does not hold the record's bytes")
        if ids.setdefault(letter.place, letter.id) != letter.id:
            wrong.append(f"{told} was {ids[letter.place]} before")
        if due.kind == "good" and failed.get(letter.place, NEVER) > letter.at + CLOCK_GRAIN:
            wrong.append(f"{told} is of a good record that had not failed")
    bad = {place: due.kind for place, due in trace.due.items() if due.kind != "good"}
    wrong += [f"{place} ({kind}) has no letter" for place, kind in sorted(bad.items()) if place not in ids]
    for call in trace.calls:
        wrong += [f"{place} is no event: {_told(call)}" for place in call.places if bad.get(place) == "junk"]
    _require(wrong, "dead letters are complete")
    return len(trace.letters) + len(bad)


def _first_failures(trace: Trace) -> dict[Place, float]:
    """When a call ended first that did not deal with a place."""
    found: dict[Place, float] = {}
    for call in trace.calls:
        if call.ended is not None and len(call.done) < len(call.places):
            for place in call.places:
                if place not in call.done:
                    found[place] = min(call.ended, found.get(place, NEVER))
    return found


ORACLES: Final[Mapping[str, Callable[[Trace], int]]] = {
    "AtLeastOnce": at_least_once,
    "CommitNeverAhead": commit_never_ahead,
    "FirstDeliveryInOrder": first_delivery_in_order,
    "OnePartInFlightPerPartition": one_part_in_flight_per_partition,
    "NothingAfterRevoke": nothing_after_revoke,
    "DeadLettersComplete": dead_letters_complete,
    "BoundedDuplicates": bounded_duplicates,
}


def judge(trace: Trace) -> dict[str, int]:
    """How many facts each oracle judged; one AssertionError that names all of those that a promise was broken for."""
    facts, broken = {}, []
    for name, oracle in ORACLES.items():
        try:
            facts[name] = oracle(trace)
        except AssertionError as error:
            broken.append(f"{name}: {error}")
    assert not broken, "\n".join(broken)
    return facts
