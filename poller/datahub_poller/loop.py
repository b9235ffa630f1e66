"""The poll thread: reads, decodes, hands out, settles and commits. It owns the source.

No user code runs here, no AWS, no HTTP, and nothing sleeps while there is work: calls are the workers', and the
loop waits on the mailbox for a few milliseconds at most. What a failure does is decided in `results`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from datahub_poller.commits import Commits
from datahub_poller.dispatch import Dispatch
from datahub_poller.errors import Fatal
from datahub_poller.gaps import Gap
from datahub_poller.ledger import Ledger
from datahub_poller.model import TopicPartition
from datahub_poller.observe.logs import log_event
from datahub_poller.reading import Intake
from datahub_poller.results import Results
from datahub_poller.source import Source, Start
from datahub_poller.workers import Done
from datahub_poller.works import Invoke, Outcome, Work

BUSY_WAIT = 0.005
"""How long the loop waits on the mailbox while a call is in flight: results wake it at once, records do not."""
COMMIT_MARGIN = 2.0
"""What is kept of the shutdown's deadline for the last commit and for leaving the group."""
QUIET_SECONDS = 1.0
"""How often idle lanes are moved past control records, and the status is published."""
NEWS_SECONDS = 0.1
"""How soon the status shows a change of state."""
STATUS_SHARE = 0.01
"""How much of the loop's time may go into showing changes that soon: with thousands of partitions each time costs."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Desk(Protocol):
    """Where work is handed to workers, and results come back."""

    def start(self, work: Work) -> None:
        """Begin; the result comes with the flight's number as its ticket."""

    def take(self, timeout: float) -> list[Done]:
        """Results, after waiting at most `timeout` seconds for the first."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Times are in seconds. `commit_interval` of 0 commits in every step that settled something."""

    topics: tuple[str, ...]
    commit_interval: float = 0.0
    revoke_wait: float = 25.0
    shutdown: float = 25.0
    on_gap: Literal["earliest", "halt"] = "earliest"
    poll_records: int = 500
    idle_wait: float = 0.1


class Poller:
    """`run` turns until it is told to stop, a record halts it, or something fatal is raised."""

    def __init__(
        self,
        settings: LoopSettings,
        source: Source,
        intake: Intake,
        ledger: Ledger,
        dispatch: Dispatch,
        results: Results,
        desk: Desk,
        clock: Callable[[], float],
        publish: Callable[[Poller, float], None],
        beat: Callable[[float], None],
        obey: Callable[[float], None],
        logger: logging.Logger,
    ) -> None:
        self.settings = settings
        self.source = source
        self.intake = intake
        self.ledger = ledger
        self.dispatch = dispatch
        self.results = results
        self.desk = desk
        self.clock = clock
        self.commits = Commits(source, ledger, settings.commit_interval, logger)
        self.publish = publish
        self.beat = beat
        self.obey = obey
        self.logger = logger
        self.started = clock()
        self.source_trouble: str | None = None
        self.rebalances = 0
        self.decode_seconds = 0.0
        self.stopping = False
        self._stop = threading.Event()
        self._deadline: float | None = None
        self._quiet_due = 0.0
        self._news_due = 0.0

    # -- running

    def stop(self, deadline: float) -> None:
        """Called from another thread: wind down by `deadline`, an absolute time of the clock."""
        self._deadline = deadline
        self._stop.set()

    def run(self, subscribed: Callable[[], None] = lambda: None) -> None:
        """Until stopped or halted; returns in order, with everything settled committed. Raises Fatal.

        `subscribed` is called once the source knows where its topics end now.
        """
        try:
            self.source.subscribe(self.settings.topics, self)
            subscribed()
            while not self._stop.is_set() and self.ledger.halt is None:
                self.step()
            self.wind_down()
            self.publish(self, self.clock())  # with all that was counted
        finally:
            self.stopping = True
            self.ledger.close(list(self.ledger.lanes))
            self.source.close()

    def step(self) -> None:
        """One turn."""
        now = self.clock()
        self.beat(now)
        room = self.ledger.room(self.settings.poll_records, now, self.intake.fetching())
        records = self.source.poll(room, self._patience(now))
        now = self.clock()
        self.ledger.take_in(records, self.intake.read, now)
        self.decode_seconds += self.clock() - now
        busy = bool(self.ledger.flights) or self.intake.asking()
        self._collect(BUSY_WAIT if busy and (room == 1 or not records) else 0.0)
        now = self.clock()
        self.obey(now)
        self.intake.tick(now)
        for work in self.dispatch.next_works(now):
            self.desk.start(work)
        self.source.set_paused(self.ledger.paused(now, self.intake.asking()))
        self.commits.step(now)
        self._quiet(now)
        self._tell(now)

    def _patience(self, now: float) -> float:
        """How long the source may wait for records: not at all while anything is in flight or due."""
        if self.ledger.flights or self.intake.asking():
            return 0.0
        due = self.dispatch.next_due(now)
        if due is None:
            return self.settings.idle_wait
        return max(0.0, min(self.settings.idle_wait, due - now))

    def _collect(self, timeout: float) -> None:
        schemas = False
        for done in self.desk.take(timeout):
            now = self.clock()
            if isinstance(done.ticket, int):
                self.results.returned(done.ticket, _outcome(done), now)
            else:
                self.intake.arrived(done, now)
                schemas = True
        if schemas:
            self.ledger.schemas_came(self.intake.changes())

    def _quiet(self, now: float) -> None:
        if now < self._quiet_due:
            return
        self._quiet_due = now + QUIET_SECONDS
        idle = [lane.tp for lane in self.ledger.lanes.values() if lane.idle]
        for tp, position in self.source.positions(idle).items():
            lane = self.ledger.lanes[tp]
            if position > lane.settled:
                lane.skip_to(position)
        began = self.clock()
        self.publish(self, now)
        self._news_due = self.clock() + (self.clock() - began) / STATUS_SHARE

    # -- what the source tells

    def assigned(self, starts: Mapping[TopicPartition, Start]) -> None:
        """Partitions are ours."""
        now = self.clock()
        self.rebalances += 1
        for tp, start in starts.items():
            self.ledger.open(tp, start.offset, start.committed, now, start.renew)
            log_event(
                self.logger,
                logging.INFO,
                "partition assigned",
                topic=tp.topic,
                partition=tp.partition,
                start=start.offset,
                committed=start.committed,
            )
        self.commits.soon()

    def committed(self, stored: Mapping[TopicPartition, int], error: str | None) -> None:
        """The source's answer to a commit."""
        self.commits.answered(stored, error, self.clock())

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions go to others: wait for what runs, commit what is settled, and let go whatever happens."""
        mine = [tp for tp in partitions if tp in self.ledger.lanes]
        try:
            self.ledger.drain(mine)
            self._await_calls(mine, self.clock() + self.settings.revoke_wait)
            self.commits.now(mine)
        finally:
            self.ledger.close(mine)
            self._log_gone("partition revoked", mine)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions are others' already: nothing of ours counts any more."""
        mine = [tp for tp in partitions if tp in self.ledger.lanes]
        self.ledger.close(mine)
        self._log_gone("partition lost", mine)

    def _log_gone(self, event: str, partitions: Sequence[TopicPartition]) -> None:
        for tp in partitions:
            log_event(self.logger, logging.INFO, event, topic=tp.topic, partition=tp.partition)

    def gap(self, tp: TopicPartition, low: int, high: int, new_topic: bool = False) -> int:
        """What was to be read next is not in the log, or the log is that of a new topic under the old name."""
        lane = self.ledger.lanes.get(tp)
        at = low if lane is None else lane.received
        start, committed = (at, None) if lane is None else (lane.start, lane.committed)
        found = Gap(at, start, committed, low, high, new_topic)
        where: dict[str, Any] = {"topic": tp.topic, "partition": tp.partition, "position": at, "low": low, "high": high}
        if found.inside:
            # A replica behind the others said so; or, where no topic ids are told, a new topic has grown past it.
            event = "position is inside of the log after all: going on there"
            log_event(self.logger, logging.WARNING, event, **where)
            return at
        self.ledger.counters["made_anew" if new_topic else "gaps"] += 1
        self.ledger.counters["records_missing"] += found.missing or 0
        unsettled = at - lane.settled if new_topic and lane is not None else None
        on_gap = self.settings.on_gap
        where |= found.told(on_gap) | {"unsettled": unsettled, "on_gap": on_gap}
        log_event(self.logger, logging.ERROR, found.event, **where)
        if on_gap == "halt":
            raise Fatal(f"{tp} cannot be read from {at}: {found.why}; the log holds {low} to {high} (on_gap: halt)")
        if lane is not None and low >= at and not new_topic:
            lane.skip_to(low)
        elif lane is not None:
            self.ledger.close([tp])
            self.ledger.open(tp, low, None, self.clock())
            self.ledger.lanes[tp].paused = lane.paused
        return low

    def trouble(self, reason: str | None) -> None:
        """What the source cannot do, or that it can again."""
        self.source_trouble = reason

    # -- stopping

    def wind_down(self) -> None:
        """Start nothing, let running calls finish by the deadline, commit what is settled."""
        self.stopping = self.ledger.stopping = True
        now = self.clock()
        deadline = now + self.settings.shutdown if self._deadline is None else self._deadline
        log_event(
            self.logger,
            logging.INFO,
            "stopping",
            in_flight=len(self.ledger.flights),
            seconds=round(max(0.0, deadline - now), 1),
        )
        self.publish(self, now)
        self.source.set_paused(frozenset(self.ledger.lanes))
        last = deadline - min(COMMIT_MARGIN, self.settings.shutdown / 4)
        while self.ledger.in_flight() and self.clock() < last:
            self.beat(self.clock())
            self.source.poll(1, 0.0)  # keeps the membership; what is paused brings nothing
            self._collect(2 * BUSY_WAIT)
            self.obey(self.clock())
            self._tell(self.clock())
        if self.ledger.in_flight():
            log_event(
                self.logger,
                logging.WARNING,
                "running calls are abandoned: their records will come again",
                in_flight=len(self.ledger.flights),
            )
        # A group that rebalances refuses commits until it is done, and for that it has to be polled.
        while not self.commits.now(list(self.ledger.lanes)) and self.clock() < last:
            self.beat(self.clock())
            self.source.poll(1, self.settings.idle_wait)

    def _await_calls(self, partitions: Collection[TopicPartition], deadline: float) -> None:
        while self.ledger.in_flight(partitions) and self.clock() < deadline:
            if self._deadline is not None and self.clock() >= self._deadline - COMMIT_MARGIN:
                return
            self.beat(self.clock())
            self._collect(2 * BUSY_WAIT)
            self._tell(self.clock())

    # -- the log

    def _tell(self, now: float) -> None:
        for flight in self.ledger.overdue(now):
            assert isinstance(flight.work, Invoke)
            log_event(
                self.logger,
                logging.ERROR,
                "handler is past its timeout and still runs",
                batch_id=flight.work.batch_id,
                seconds=round(now - flight.started, 1),
                partitions=[str(tp) for tp in flight.partitions()],
            )
        notes = self.ledger.drain_notes()
        for note in notes:
            log_event(self.logger, LEVELS[note.level], note.event, **note.fields)
        if notes:
            self._quiet_due = min(self._quiet_due, max(now + NEWS_SECONDS, self._news_due))


def _outcome(done: Done) -> Outcome:
    if done.error is not None:
        raise Fatal(f"a worker failed: {type(done.error).__name__}: {done.error}") from done.error
    outcome: Outcome = done.value
    return outcome
