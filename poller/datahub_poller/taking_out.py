"""One record out of a lane, because a person gave it up: whether it can be, and what is left of the lane then.

Pure. The record is not skipped: it stays in the lane's account until its letter is acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from datahub_poller.lanes import Lane
from datahub_poller.model import Awaiting, Event, Failure, GivenUp, SchemaKey, Undecodable, Waiting
from datahub_poller.parts import Doomed, Entry, Piece
from datahub_poller.works import Flight, Invoke, WriteLetters


@dataclass(frozen=True, slots=True)
class Stuck:
    """A record that does not get on. `error` says why, as far as it is known; `failure` is the handler's last one."""

    entry: Entry
    error: str = ""
    attempts: int = 0
    failure: Failure | None = None
    at_once: bool = True


def find(
    lane: Lane, offset: int, flight: Flight | None, held_up: bool, schemas: Mapping[SchemaKey, Waiting]
) -> Stuck | str:
    """The record, if it can be given up; else why not, in words. `flight` is the lane's; `held_up`: all waits."""
    place, first = f"{lane.tp}@{offset}", _first(lane)
    waits = "nothing waits there" if first is None else f"what waits first is @{first}"
    if offset < lane.settled:
        return f"{place} is settled: it was delivered, lettered, or dropped by a filter; {waits}"
    if offset >= lane.received:
        return f"{place} was not read yet: what comes next is @{lane.received}; {waits}"
    entry = next((each for each in _entries(lane) if each.offset == offset), None)
    if entry is None:
        return f"{place} is no event that anything is done with: filtered, a tombstone, or not in the log; {waits}"
    if entry.done:
        return f"{place} was delivered or lettered already, and settles with what comes before it; {waits}"
    if flight is not None and (reason := _flies(entry, flight)):
        return f"{place} {reason}"
    if isinstance(entry.verdict, GivenUp):
        return f"{place} is given up already: its letter {_letter_waits(lane)}"
    return _stuck(lane, entry, held_up, schemas) or f"{place} is not held up by anything: it is handed out by itself"


def take_out(lane: Lane, stuck: Stuck, failure: Failure) -> None:
    """The record is given up for this reason; its letter is written whatever the breaker holds."""
    part, entry = lane.part, stuck.entry
    if part is None or entry not in part.entries:
        lane.give_up(entry, failure)
        return
    before = next((each for each in part.doomed if each.entry is entry), None)
    if before is not None:
        part.doomed.remove(before)
        doomed = before._replace(failure=failure, final=True)
    else:
        piece = _piece_of(part.todo, entry)
        piece.entries = [each for each in piece.entries if each is not entry]
        if not piece.entries:
            part.todo.remove(piece)
        batch_id = piece.history[-1].batch_id if piece.history else None
        doomed = Doomed(entry, failure, piece.attempts, batch_id, piece.history, final=True)
    entry.verdict = GivenUp(failure)
    part.doomed.append(doomed)
    part.size = max(0, part.size - 1)


def _entries(lane: Lane) -> chain[Entry]:
    return chain(() if lane.part is None else lane.part.entries, lane.pending)


def _first(lane: Lane) -> int | None:
    return next((entry.offset for entry in _entries(lane) if not entry.done), None)


def _flies(entry: Entry, flight: Flight) -> str:
    match flight.work:
        case Invoke(shares=shares, batch_id=batch_id):
            if any(entry in share.piece.entries for share in shares):
                return (
                    f"is in a running call (batch {batch_id}), of which nothing can be taken back. "
                    "Pause the partition, give it up when the call has returned, then resume"
                )
        case WriteLetters(doomed=doomed) if any(each.entry is entry for each in doomed):
            return "is given up already: its letter is being written"
    return ""


def _stuck(lane: Lane, entry: Entry, held_up: bool, schemas: Mapping[SchemaKey, Waiting]) -> Stuck | str:
    part = lane.part
    if part is not None and entry in part.entries:
        doomed = next((each for each in part.doomed if each.entry is entry), None)
        if doomed is None:
            return _to_be_retried(lane, _piece_of(part.todo, entry), entry)
        if doomed.final or not (part.todo or part.held):
            return f"{entry.record} is given up already: its letter {_letter_waits(lane)}"
        return Stuck(entry, str(doomed.failure), doomed.attempts, doomed.failure)
    at_once = part is None and lane.head() is entry
    match entry.verdict:
        case Awaiting(key=key):
            why = schemas.get(key)
            return Stuck(entry, f"it waited for {key}" + (f": {why.reason}" if why else ""), at_once=at_once)
        case Undecodable(failure=failure):
            return Stuck(entry, str(failure), failure=failure, at_once=at_once)
    if held_up or lane.paused or lane.blocked or _tries_again(lane) or not _behind_events_only(lane, entry):
        return Stuck(entry, at_once=at_once)
    return ""


def _to_be_retried(lane: Lane, piece: Piece, entry: Entry) -> Stuck:
    error = piece.history[-1].error if piece.history else (lane.trouble or "" if piece.waits else "")
    last = lane.last_failure
    same = last if last is not None and error and str(last).startswith(error) else None
    return Stuck(entry, error, piece.attempts, same)


def _tries_again(lane: Lane) -> bool:
    """Whether the part in work is not one that goes out for the first time."""
    part = lane.part
    if part is None:
        return False
    return lane.flight is None or part.piece is None or bool(part.piece.attempts or part.piece.waits)


def _behind_events_only(lane: Lane, entry: Entry) -> bool:
    for each in lane.pending:
        if each is entry:
            break
        if not isinstance(each.verdict, Event):
            return False
    return True


def _piece_of(todo: list[Piece], entry: Entry) -> Piece:
    return next(piece for piece in todo if entry in piece.entries)


def _letter_waits(lane: Lane) -> str:
    return f"could not be written yet: {lane.trouble}" if lane.part and lane.part.letter_tries else "comes next"
