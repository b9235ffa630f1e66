"""The whole loop on virtual time: a clock with an agenda, a watched source, a scripted desk and intake.

Everything happens on one thread. Time passes where the loop would wait: in a poll, or for the desk. What is seen
goes into a trace that the oracles judge.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from datahub_poller import model
from datahub_poller.batching import Limits
from datahub_poller.dispatch import Dispatch
from datahub_poller.ledger import Ledger, Settings
from datahub_poller.loop import LoopSettings, Poller
from datahub_poller.model import Failure, Record, SchemaKey, TopicPartition, Verdict, Waiting
from datahub_poller.obeying import Obeying
from datahub_poller.observe.status import PollerStatus
from datahub_poller.observe.waiting import WaitWatch
from datahub_poller.orders import Order, What
from datahub_poller.policy import Breaker, Policy
from datahub_poller.progress import Progress
from datahub_poller.report import snapshot
from datahub_poller.results import Results
from datahub_poller.source import Listener, Start
from datahub_poller.workers import Done
from datahub_poller.works import Away, Delivered, Failed, Invoke, Named, Outcome, Work
from support.brokers import Sent
from support.members import Member
from support.oracles import Trace
from support.scripted import ScriptedBroker, ScriptedSource
from support.values import kind_of, value_of, verdict_of

GROUP = "sim"
TURN = 0.0005
FAILED = Failed(Failure("handler", "ValueError", "poison"))


class Crash(BaseException):
    """The process is killed."""


class Clock:
    """Seconds that pass when told to. What is on the agenda happens when its time has come."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def __call__(self) -> float:
        return self.now

    def at(self, when: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (when, next(self._count), what))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            when, _, what = heapq.heappop(self._agenda)
            self.now = max(self.now, when)
            what()
        self.now = max(self.now, end)


class Answer(NamedTuple):
    """What a call comes to, and after how long."""

    seconds: float
    outcome: Outcome


Handler = Callable[[list[Record]], Answer]


def honest(records: list[Record], seconds: float = 0.05) -> Answer:
    """Fails on poison, and on nothing else."""
    bad = any(kind_of(record) == "poison" for record in records)
    return Answer(seconds, FAILED if bad else Delivered())


def naming(records: list[Record], seconds: float = 0.05) -> Answer:
    """Names the poison."""
    bad = frozenset((record.tp, record.offset) for record in records if kind_of(record) == "poison")
    return Answer(seconds, Named(bad) if bad else Delivered())


class ScriptedDesk:
    """Work that is finished when its time has come."""

    def __init__(self, clock: Clock, trace: Trace, leases: Callable[[TopicPartition], int]) -> None:
        self.handler: Handler = honest
        self.sink: Handler = lambda records: Answer(0.01, Delivered())
        self.fail: BaseException | None = None
        self._clock = clock
        self._trace = trace
        self._lease = leases
        self._due: list[tuple[float, int, Any, Any, frozenset]] = []
        self._count = itertools.count()

    def start(self, work: Work) -> None:
        if isinstance(work, Invoke):
            records = [entry.record for share in work.shares for entry in share.piece.entries]
            answer = self.handler(records)
            kind = "invoke"
        else:
            records = [doomed.entry.record for doomed in work.doomed]
            answer = self.sink(records)
            kind = "letters"
        places = [(record.tp, self._lease(record.tp), record.offset) for record in records]
        self._trace.note("called", flight=work.flight, kind=kind, records=places)
        ok = _succeeded(records, answer.outcome)
        self._push(answer.seconds, work.flight, answer.outcome, ok)

    def schema(self, key: SchemaKey, seconds: float) -> None:
        self._push(seconds, key, None, None)

    def question(self, seconds: float, ticket: Any, work: Callable[[], Any]) -> None:
        """A question to a registry: answered as it is now, after so long."""
        try:
            done = Done(ticket, work(), None)
        except Exception as error:
            done = Done(ticket, None, error)
        self._push(seconds, ticket, done, None)

    def take(self, timeout: float) -> list[Done]:
        if not self._ripe():
            next_due = self._due[0][0] if self._due else self._clock.now + timeout
            self._clock.advance(max(0.0, min(timeout, next_due - self._clock.now)))
        found = []
        while self._ripe():
            _, _, ticket, value, ok = heapq.heappop(self._due)
            if ok is not None:
                self._trace.note("returned", flight=ticket, ok=ok)
            found.append(value if isinstance(value, Done) else Done(ticket, value, self.fail))
        return found

    def forget(self) -> None:
        """The process is gone, and its threads with it."""
        for _, _, ticket, _, ok in self._due:
            if ok is not None:
                self._trace.note("returned", flight=ticket, ok=frozenset())
        self._due.clear()

    def _ripe(self) -> bool:
        return bool(self._due) and self._due[0][0] <= self._clock.now

    def _push(self, seconds: float, ticket: Any, value: Any, ok: Any) -> None:
        heapq.heappush(self._due, (self._clock.now + seconds, next(self._count), ticket, value, ok))


def _succeeded(records: Sequence[Record], outcome: Outcome) -> frozenset:
    places = frozenset((record.tp, record.offset) for record in records)
    match outcome:
        case Delivered():
            return places
        case Named(failed=failed):
            return places - failed
    return frozenset()


class ScriptedIntake:
    """Reads values that say what they are; asks for schemas that arrive when they are told to."""

    def __init__(self) -> None:
        self.known: set[SchemaKey] = set()
        self.asked: dict[SchemaKey, float] = {}
        self.reads = 0

    def read(self, record: Record, now: float) -> Verdict:
        self.reads += 1
        verdict = verdict_of(record, self.known)
        if hasattr(verdict, "key"):
            self.asked.setdefault(verdict.key, now)
        return verdict

    def arrived(self, done: Done, now: float) -> None:
        self.known.add(done.ticket)
        self.asked.pop(done.ticket, None)

    def tick(self, now: float) -> None:
        pass

    def ask_again(self, now: float) -> int:
        return 0

    def fetching(self) -> bool:
        return False

    asking = fetching

    def changes(self) -> list[Any]:
        return []

    def waiting(self) -> dict[SchemaKey, Waiting]:
        return {key: Waiting(since, "the registry answered 503", 3) for key, since in self.asked.items()}


class Watched:
    """A source, and the listener it has, with everything that passes between them noted."""

    def __init__(self, sim: Simulation, inner: ScriptedSource) -> None:
        self.sim = sim
        self.inner = inner
        self.answer_delay = 0.0
        self.paused: frozenset[TopicPartition] = frozenset()
        self.polls: list[float] = []
        self._held: list[tuple[float, Mapping[TopicPartition, int], str | None]] = []

    # -- Source

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        self.listener = listener
        self.inner.subscribe(topics, self)

    def poll(self, limit: int, timeout: float) -> list[Record]:
        clock = self.sim.clock
        self.polls.append(clock.now)
        clock.advance(TURN)
        self.sim.between_polls()
        if self._held and self._held[0][0] <= clock.now:
            _, offsets, error = self._held.pop()
            self.listener.committed(offsets, error)
        records = self.inner.poll(limit, timeout)
        for record in records:
            assert record.tp not in self.paused, f"{record} although it is paused"
        for rival in self.sim.rivals:
            rival.turn(limit=0, timeout=0.0)
        return records

    def set_paused(self, partitions: frozenset[TopicPartition]) -> None:
        self.paused = partitions
        self.inner.set_paused(partitions)

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self.inner.positions(partitions)

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return self.inner.ends(partitions)

    @property
    def joined(self) -> bool:
        return self.inner.joined

    @property
    def missing(self) -> frozenset[str]:
        return self.inner.missing

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        refused = bool(self.sim.broker.refusals)
        assert not self._held, "one commit at a time"
        self.inner.commit(offsets)
        if not refused:
            self._committed(offsets)

    def commit_now(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.inner.commit_now(offsets)
        self._committed(offsets)

    def close(self) -> None:
        self.inner.close()

    def _committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        for tp, offset in offsets.items():
            self.sim.trace.note("committed", tp=tp, offset=offset, lease=self.sim.trace.leases[tp])

    # -- Listener

    def assigned(self, starts: Mapping[TopicPartition, Start]) -> None:
        self.paused -= frozenset(starts)  # what is assigned begins unpaused
        for tp, start in starts.items():
            self.sim.trace.assigned(tp, start.offset)
        self.listener.assigned(starts)

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.listener.revoked(partitions)
        for tp in partitions:
            self.sim.trace.gone(tp)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        for tp in partitions:
            self.sim.trace.gone(tp)
        self.listener.lost(partitions)

    def committed(self, offsets: Mapping[TopicPartition, int], error: str | None) -> None:
        if self.answer_delay:
            self._held.append((self.sim.clock.now + self.answer_delay, offsets, error))
        else:
            self.listener.committed(offsets, error)

    def gap(self, tp: TopicPartition, low: int, high: int) -> int:
        return self.listener.gap(tp, low, high)

    def trouble(self, reason: str | None) -> None:
        self.listener.trouble(reason)


class Simulation:
    """A broker, a poller on it, and time. `topics` are names with their numbers of partitions."""

    def __init__(
        self,
        topics: Mapping[str, int],
        policy: Policy | None = None,
        limits: Limits | None = None,
        breaker: Breaker | None = None,
        seed: int = 0,
        incremental: bool = False,
        concurrency: int = 1,
        buffer: int = 64 * 1024 * 1024,
        throw: bool = False,
        timeout: float = 60.0,
        rate: float | None = None,
        **loop: Any,
    ) -> None:
        self.clock = Clock()
        self.trace = Trace(self.clock)
        self.broker = ScriptedBroker(lambda: int(self.clock.now * 1000))
        for topic, partitions in topics.items():
            self.broker.create_topic(topic, partitions)
        self.topics = tuple(topics)
        self.policy = Policy() if policy is None else policy
        self.limits = Limits() if limits is None else limits
        self.breaker = Breaker(0, 60.0) if breaker is None else breaker
        self.settings = Settings(self.policy, self.limits, concurrency, buffer, throw, timeout, rate=rate)
        self.loop = {"poll_records": 50, **loop}
        self.incremental = incremental
        self.chance = random.Random(seed).random
        self.ids = itertools.count()
        self.flights = 0
        self.rivals: list[Member] = []
        self.statuses: list[PollerStatus] = []
        self.until: Callable[[], bool] | None = None
        self.most_held = 0
        self.orders: deque[Order] = deque()
        self.answers: list[model.Answer] = []
        self.desk = ScriptedDesk(self.clock, self.trace, lambda tp: self.trace.leases[tp])
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.intake = ScriptedIntake() if not hasattr(self, "intake") else self.intake
        inner = ScriptedSource(self.broker, GROUP, "earliest", self.incremental, self.clock.advance)
        self.source = Watched(self, inner)
        self.ledger = Ledger(self.settings, self.breaker, lambda record: self.intake.read(record, self.clock.now))
        dispatch = Dispatch(self.ledger, lambda: f"b{next(self.ids)}")
        dispatch._last_flight = self.flights  # flights are told apart over restarts in the trace
        self.progress = Progress(300.0)
        self.waits = WaitWatch(logging.getLogger("sim"))
        self.poller = Poller(
            settings=LoopSettings(self.topics, **self.loop),
            source=self.source,
            intake=self.intake,
            ledger=self.ledger,
            dispatch=dispatch,
            results=Results(self.ledger, self.chance),
            desk=self.desk,
            clock=self.clock,
            publish=self._publish,
            beat=lambda _: None,
            obey=self._obey,
            logger=logging.getLogger("sim"),
        )
        self.dispatch = dispatch
        self.obeying = Obeying(self.ledger, self.intake.waiting, self.intake.ask_again)

    def _obey(self, now: float) -> None:
        while self.orders:
            self.answers.append(self.obeying.obey(self.orders.popleft(), now))

    def _publish(self, poller: Poller, now: float) -> None:
        self.statuses.append(snapshot(poller, "sim", self.intake.waiting(), self.progress, now))
        self.waits.look(self.statuses[-1], now)

    def between_polls(self) -> None:
        self.most_held = max(self.most_held, self.ledger.held_bytes())
        if self.until is not None and self.until():
            self.until = None
            self.poller.stop(self.clock.now + self.poller.settings.shutdown)

    # -- what tests do

    def write(self, tp: TopicPartition, *kinds: str | None, key: int | None = None, size: int = 0) -> None:
        """Append records; None is a control record."""
        for kind in kinds:
            if kind is None:
                self.broker.control(*tp)
            else:
                self.broker.produce_all([Sent(tp.topic, tp.partition, value_of(kind, key, size))])

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        self.clock.at(self.clock.now + seconds, what)

    def order(self, seconds: float, what: What, who: str = "op@host", why: str = "a test") -> None:
        """A person gives an order, so many seconds from now."""
        self.after(seconds, lambda: self.orders.append(Order(what, who, why)))

    def crash(self) -> None:
        """From the agenda: the process dies here."""
        raise Crash

    def rival_joins(self) -> None:
        self.rivals.append(Member(ScriptedSource(self.broker, GROUP, "earliest", self.incremental), self.topics))

    def rival_leaves(self) -> None:
        if self.rivals:
            rival = self.rivals.pop()
            rival.source.close()

    def run(self, until: Callable[[], bool] | None = None, limit: float = 600.0) -> None:
        """Until the condition holds (all settled and committed, if none is given); then a stop in order."""
        self.until = self.all_committed if until is None else until
        end = self.clock.now + limit
        self.clock.at(end, lambda: self._give_up(end))
        while True:
            try:
                self.poller.run()
            except Crash:
                self.desk.forget()
                for tp in list(self.trace.owned):
                    self.trace.gone(tp)
                self.flights = self.dispatch._last_flight
                self.begin()
                continue
            self.until = None
            return

    def _give_up(self, end: float) -> None:
        if self.until is not None and self.clock.now >= end:
            lanes = {str(tp): (lane.settled, self.end(tp)) for tp, lane in self.ledger.lanes.items()}
            raise AssertionError(f"not within the limit: {lanes}, committed {self.committed()}, {self.statuses[-1:]}")

    def seconds(self, seconds: float) -> Callable[[], bool]:
        """A condition: so much time has passed."""
        end = self.clock.now + seconds
        return lambda: self.clock.now >= end

    # -- what tests see

    @property
    def partitions(self) -> list[TopicPartition]:
        return [TopicPartition(t, p) for t in self.topics for p in self.broker.partitions(t)]

    def records(self, *kinds: str) -> dict[TopicPartition, list[int]]:
        """Offsets of the records of these kinds."""
        return {
            tp: [e.offset for e in self.broker.log(tp).entries if e is not None and kind_of(e) in kinds]
            for tp in self.partitions
        }

    @property
    def due(self) -> dict[TopicPartition, list[int]]:
        """What must be delivered or dead-lettered before a commit passes it."""
        return self.records("good", "poison", "junk")

    def end(self, tp: TopicPartition) -> int:
        return self.broker.log(tp).high

    def committed(self) -> dict[TopicPartition, int]:
        return {tp: each.offset for tp, each in self.broker.group(GROUP).committed.items()}

    def all_committed(self) -> bool:
        committed = self.committed()
        return all(committed.get(tp) == self.end(tp) for tp in self.partitions)

    def invocations(self, tp: TopicPartition | None = None) -> list[Any]:
        return [s for s in self.trace.calls() if tp is None or any(where == tp for where, _, _ in s.about["records"])]

    def longest_without_poll(self) -> float:
        polls = self.source.polls
        return max((after - before for before, after in itertools.pairwise(polls)), default=0.0)


def away(records: list[Record]) -> Answer:
    """Infrastructure that does not answer."""
    return Answer(0.1, Away("connection refused"))
