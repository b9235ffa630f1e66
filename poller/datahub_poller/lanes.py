"""One lane per owned partition: its entries in offset order, the part in work, and what is settled.

Pure: no I/O, no clock, no thread. A lane never decides what a failure does (policy does) nor when a batch is
due (batching does); it only keeps the account. `settled` is the offset that may be committed: everything below
it was delivered, dead-lettered with the write acknowledged, dropped by rule, or is not in the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter

from datahub_poller.model import (
    Awaiting,
    Event,
    Failure,
    GivenUp,
    Record,
    Skipped,
    TopicPartition,
    Undecodable,
    Verdict,
)
from datahub_poller.parts import Doomed, Entry, Lease, Part, Paused, Piece, parcels

LONGEST_LETTER_RUN = 100
_SIZE = attrgetter("size")


class Lane:
    """A partition's account under one lease."""

    def __init__(self, lease: Lease, start: int, committed: int | None, now: float, renew: bool = False) -> None:
        self.lease = lease
        self.start = start
        self.settled = start
        self.committed, self.renew = committed, renew
        self.received = start
        self.pending: deque[Entry] = deque()
        self.part: Part | None = None
        self.flight: int | None = None
        self.blocked = False
        self.draining = False
        self.paused: Paused | None = None
        self.pending_bytes = 0
        self.awaiting = 0
        self.awaiting_since: float | None = None
        self.undecodable = 0
        self.given_up = 0
        self.last_failure: Failure | None = None
        self.trouble: str | None = None
        self.since = now

    @property
    def tp(self) -> TopicPartition:
        """The partition."""
        return self.lease.tp

    @property
    def free(self) -> bool:
        """Whether a new part may be taken."""
        return self.part is None and not self.blocked and not self.draining and self.paused is None

    @property
    def may_act(self) -> bool:
        """Whether a call may be started for it, be it for its letters only."""
        return self.flight is None and not self.blocked and not self.draining

    @property
    def may_invoke(self) -> bool:
        """Whether the handler may be called for it."""
        return self.may_act and self.paused is None

    @property
    def goes_on(self) -> bool:
        """Whether what is pending comes next: nothing is to be tried again or dead-lettered before it."""
        stands = self.blocked or self.draining or self.paused is not None
        return (self.part is None or self.flight is not None) and not stands

    @property
    def work(self) -> Part:
        """The part in work, where there is one."""
        assert self.part is not None
        return self.part

    @property
    def idle(self) -> bool:
        """Whether every record received is settled."""
        return self.part is None and not self.pending

    @property
    def records(self) -> int:
        """Records held, in work included."""
        return len(self.pending) + (len(self.part.entries) if self.part else 0)

    @property
    def bytes(self) -> int:
        """Bytes of the records held, in work included."""
        return self.pending_bytes + (self.part.bytes if self.part else 0)

    # -- coming in

    def offer(self, record: Record, verdict: Verdict, now: float) -> Entry | None:
        """Take in the next record of the partition: its entry, if it has one. What was received before is dropped."""
        offset = record.offset
        if offset < self.received:
            return None
        self.received = offset + 1
        if isinstance(verdict, Skipped):
            self._settle_behind(self.received)
            return None
        entry = Entry(record, verdict, now)
        self.pending.append(entry)
        self.pending_bytes += entry.size
        if not isinstance(verdict, Event):
            self._count(verdict, 1)
            if self.awaiting and self.awaiting_since is None:
                self.awaiting_since = now
        return entry

    def skip_to(self, offset: int) -> None:
        """There is nothing to hand out up to `offset`: it settles with what comes before it."""
        self.received = max(self.received, offset)
        self._settle_behind(offset)

    def _settle_behind(self, offset: int) -> None:
        last = self.pending[-1] if self.pending else self.part.entries[-1] if self.part else None
        if last is None:
            self.settled = max(self.settled, offset)
        else:
            last.end = max(last.end, offset)

    def reread(self, read: Callable[[Record], Verdict], kind: type[Awaiting | Undecodable] = Awaiting) -> bool:
        """Read again what waited for a schema, or what was undecodable; whether anything changed."""
        before, self.pending = self.pending, deque()
        changed = False
        for entry in before:
            if not isinstance(entry.verdict, kind):
                self.pending.append(entry)
                continue
            self._count(entry.verdict, -1)
            verdict = read(entry.record)
            changed = changed or not isinstance(verdict, kind)
            if isinstance(verdict, Skipped):
                self.pending_bytes -= entry.size
                self._settle_behind(entry.end)
            else:
                entry.verdict = verdict
                self.pending.append(entry)
                self._count(verdict, 1)
        if not self.awaiting:
            self.awaiting_since = None
        return changed

    def _count(self, verdict: Verdict, by: int) -> None:
        if isinstance(verdict, Awaiting):
            self.awaiting += by
        elif isinstance(verdict, Undecodable):
            self.undecodable += by
        elif isinstance(verdict, GivenUp):
            self.given_up += by

    def give_up(self, entry: Entry, failure: Failure) -> None:
        """A person gave up an entry that was not taken yet: its letter comes when it is its turn."""
        self._count(entry.verdict, -1)
        entry.verdict = GivenUp(failure)
        self._count(entry.verdict, 1)
        if not self.awaiting:
            self.awaiting_since = None

    # -- what could be taken

    def head(self) -> Entry | None:
        """The oldest entry that was not taken yet."""
        return self.pending[0] if self.pending else None

    def ready(self, count: int, size: int) -> tuple[int, int]:
        """How many events from the head on fit into `count` and `size` bytes, and their bytes. One always fits."""
        events_only = not self.awaiting and not self.undecodable and not self.given_up
        if events_only and len(self.pending) <= count and self.pending_bytes <= size:
            return len(self.pending), self.pending_bytes
        taken = held = 0
        for entry in self.pending:
            if taken == count or not isinstance(entry.verdict, Event) or (taken and held + entry.size > size):
                break
            taken += 1
            held += entry.size
        return taken, held

    def take(self, count: int, successes: int) -> Piece:
        """The first `count` events become the part in work, as one piece."""
        entries, held = self._popped(count)
        piece = Piece(entries)
        self.part = Part(deque(entries), [piece], count, successes, held)
        return piece

    def _popped(self, count: int) -> tuple[list[Entry], int]:
        """The first `count` entries, and their bytes."""
        entries = [self.pending.popleft() for _ in range(count)]
        held = sum(map(_SIZE, entries))
        self.pending_bytes -= held
        return entries, held

    def take_undecodable(self, room: int, successes: int) -> int:
        """Undecodable records at the head, and what a person gave up among them, become a part with letters only.

        At most `room` of them are given up for the first time; returns how many that are.
        """
        first = 0

        def takes(entry: Entry) -> bool:
            nonlocal first
            if isinstance(entry.verdict, Undecodable) and (first < room or entry.given_up):
                first += not entry.given_up
                entry.given_up = True
                return True
            return isinstance(entry.verdict, GivenUp)

        self._take_letters(takes, successes)
        return first

    def take_given_up(self, successes: int) -> None:
        """What a person gave up at the head becomes a part that has letters only."""
        self._take_letters(lambda entry: isinstance(entry.verdict, GivenUp), successes)

    def _take_letters(self, takes: Callable[[Entry], bool], successes: int) -> None:
        doomed: list[Doomed] = []
        held = 0
        while self.pending and len(doomed) < LONGEST_LETTER_RUN and takes(self.pending[0]):
            entry = self.pending.popleft()
            assert isinstance(entry.verdict, Undecodable | GivenUp)
            held += entry.size
            self._count(entry.verdict, -1)
            self.last_failure = entry.verdict.failure
            doomed.append(Doomed(entry, self.last_failure, 0, None, final=isinstance(entry.verdict, GivenUp)))
        self.pending_bytes -= held
        self.part = Part(deque(d.entry for d in doomed), [], 0, successes, held, doomed, judged=True)

    def event_behind(self, room: int) -> bool:
        """Whether an event stands behind the undecodable records at the head that could be taken with this `room`."""
        first = 0
        for entry in self.pending:
            if isinstance(entry.verdict, Undecodable):
                first += not entry.given_up
            elif not isinstance(entry.verdict, GivenUp):
                return first <= room and isinstance(entry.verdict, Event)
        return False

    # -- what became of a piece

    def succeed(self, piece: Piece) -> None:
        """Every entry of the next piece is delivered."""
        part = self._part_of(piece)
        part.todo.pop()
        part.succeeded += len(piece.entries)
        if len(part.entries) == len(piece.entries) and not part.todo and not part.doomed:  # nearly always
            self.settled = max(self.settled, piece.entries[-1].end)
            self.part = None
            return
        self._finish(piece.entries)

    def narrow(self, piece: Piece, again: Collection[int]) -> None:
        """Only these offsets of the next piece are to be tried again; the others are delivered."""
        part = self._part_of(piece)
        delivered = [entry for entry in piece.entries if entry.offset not in again]
        piece.entries = [entry for entry in piece.entries if entry.offset in again]
        part.succeeded += len(delivered)
        self._finish(delivered)

    def split(self, piece: Piece) -> None:
        """The next piece becomes its two halves, the earlier one first."""
        part = self._part_of(piece)
        part.todo.pop()
        middle = (len(piece.entries) + 1) // 2
        for half in (piece.entries[middle:], piece.entries[:middle]):
            part.todo.append(Piece(half, piece.attempts, splitting=True, spent=piece.spent, history=piece.history))

    def set_apart(self, piece: Piece, count: int) -> None:
        """Only the first `count` entries of the next piece stay in it; the others are tried anew after them."""
        part = self._part_of(piece)
        if rest := piece.entries[count:]:
            part.todo.insert(-1, Piece(rest))
            piece.entries = piece.entries[:count]

    def doom(self, piece: Piece, failure: Failure, batch_id: str) -> int:
        """The next piece's entries are given up; returns how many of them for the first time."""
        part = self._part_of(piece)
        part.todo.pop()
        part.doomed += [Doomed(entry, failure, piece.attempts, batch_id, piece.history) for entry in piece.entries]
        first = sum(not entry.given_up for entry in piece.entries)
        for entry in piece.entries:
            entry.given_up = True
        return first

    def lettered(self, written: Iterable[Doomed]) -> None:
        """These letters are acknowledged."""
        part, gone = self.work, {id(doomed.entry): doomed.entry for doomed in written}
        part.doomed = [doomed for doomed in part.doomed if id(doomed.entry) not in gone]
        part.held = part.held and bool(part.doomed)
        self._finish(gone.values())

    def restart(self, count: int, size: int) -> None:
        """Try the part's unfinished events anew, with others behind them up to `count` and `size` in all."""
        part = self.work
        assert self.flight is None
        part.doomed = [each for each in part.doomed if each.final or isinstance(each.entry.verdict, Undecodable)]
        hopeless = {id(doomed.entry) for doomed in part.doomed}
        entries = [entry for entry in part.entries if not entry.done and id(entry) not in hopeless]
        entries += self._pull(count - len(entries), size - sum(entry.size for entry in entries))
        part.todo = [Piece(each) for each in reversed(parcels(entries, count, size))]
        part.size, part.succeeded, part.held, part.judged = len(entries), 0, False, False

    def reach_behind(self, count: int, size: int) -> bool:
        """Let the part's next piece be of the events behind it; whether there are any."""
        if added := self._pull(count, size):
            self.work.todo.append(Piece(added))
            self.work.size += len(added)
        return bool(added)

    def _pull(self, count: int, size: int) -> list[Entry]:
        """More events for the part, taken from those behind it."""
        assert self.part is not None
        more, held = self.ready(max(0, count), max(0, size))
        if held > size:
            return []
        added, held = self._popped(more)
        for entry in added:
            entry.untried = True
        self.part.entries += added
        self.part.bytes += held
        return added

    def _part_of(self, piece: Piece) -> Part:
        assert self.part is not None
        assert self.part.piece is piece
        return self.part

    def _finish(self, entries: Iterable[Entry]) -> None:
        part = self.work
        for entry in entries:
            entry.done = True
        while part.entries and part.entries[0].done:
            entry = part.entries.popleft()
            self.settled = max(self.settled, entry.end)
            part.bytes -= entry.size
        if not part.entries:
            self.part = None
