"""A redrive on virtual time: letters in memory, a scripted handler, and a kill at any point that a test names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from datahub_poller.batching import Limits
from datahub_poller.deadletter.choice import Choice
from datahub_poller.deadletter.letter import Letter, to_line
from datahub_poller.deadletter.store import Mark, Stored
from datahub_poller.dispatch import Dispatch
from datahub_poller.errors import HandlerFailed, Transient
from datahub_poller.invoke.base import Invocation, Outcome, Partial, Succeeded
from datahub_poller.jobs import Jobs
from datahub_poller.ledger import Ledger, Settings
from datahub_poller.model import Failure as Broken
from datahub_poller.model import Record, TopicPartition, Undecodable, Verdict
from datahub_poller.policy import Breaker, Policy
from datahub_poller.redrive.copying import Copying, Place
from datahub_poller.redrive.handing import Handing
from datahub_poller.redrive.marking import Marking
from datahub_poller.redrive.outcomes import Author
from datahub_poller.redrive.outcomes import Outcome as Became
from datahub_poller.redrive.planning import Rules
from datahub_poller.redrive.running import Bounds, Run, Shelf, Summary, look_at
from datahub_poller.redrive.transform import Transform
from datahub_poller.redrive.wave import Again, Wave
from datahub_poller.results import Results
from datahub_poller.workers import Done
from datahub_poller.works import Invoke, Work
from support.letter_stores import MemoryStore

ACTION = "tag-sync"
BEGAN = 1_800_000_000.0
At = tuple[str, int, int]


class Killed(BaseException):
    """As a kill: nothing of ours takes note of it."""


@dataclass
class World:
    """What outlives a process: the time, the letters, what the handler was given, and when the next kill comes.

    `mail` are answers of registries, by when they come. `poison` are places of records at which the handler fails;
    `named`: it names them instead of raising.
    """

    store: MemoryStore = field(default_factory=MemoryStore)
    poison: set[At] = field(default_factory=set)
    named: bool = False
    kill_at: int | None = None
    now: float = 1_000.0
    steps: int = 0
    handler_away: int = 0
    sink_away: int = 0
    delivered: list[At] = field(default_factory=list)
    calls: list[list[dict[str, Any]]] = field(default_factory=list)
    attempts: list[At] = field(default_factory=list)
    written: list[Letter] = field(default_factory=list)
    mail: list[tuple[float, Done]] = field(default_factory=list)

    def step(self) -> None:
        """A point at which a process may be killed."""
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    def clock(self) -> float:
        self.step()
        return self.now

    def wall(self) -> float:
        return BEGAN + self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def marks(self, done: str | None = None) -> list[tuple[str, int]]:
        """Which letters the ledger speaks of."""
        return [(mark.letter, mark.redrives) for mark in self.store.ledger if done in (None, mark.done)]


class Handler:
    """An Invoker that records what it is given."""

    def __init__(self, world: World) -> None:
        self._world = world

    def load(self) -> None:
        """Nothing to load."""

    def invoke(self, invocation: Invocation) -> Outcome:
        world = self._world
        world.step()
        if world.handler_away:
            world.handler_away -= 1
            raise Transient("the target is away")
        places = list(invocation.places())
        world.attempts += places
        world.calls.append([dict(event) for event in invocation.events])
        for event in invocation.events:
            event["event"] = "the handler has changed it"
        bad = [place for place in places if place in world.poison]
        if bad and not world.named:
            raise HandlerFailed("ValueError", "still poison")
        world.delivered += [place for place in places if place not in bad]
        world.step()
        if bad:
            return Partial(frozenset((TopicPartition(topic, number), offset) for topic, number, offset in bad))
        return Succeeded()

    def close(self) -> None:
        """Nothing is held."""


class StoreSink:
    """Writes letters to where the store reads them."""

    place = "memory"

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self) -> None:
        """It is there."""

    def write(self, letters: Sequence[Letter]) -> None:
        self._world.step()
        if self._world.sink_away:
            self._world.sink_away -= 1
            raise Transient("the sink is away")
        for letter in letters:
            self._world.store.put(letter)
            self._world.written.append(letter)
        self._world.step()

    def close(self) -> None:
        """Nothing is held."""


class KilledStore(Shelf):
    """The store, with a kill before and behind each mark."""

    def __init__(self, world: World) -> None:
        super().__init__(world.store, lambda: world.store)
        self._world = world

    def mark(self, marks: Sequence[tuple[Stored, Mark]]) -> None:
        self._world.step()
        super().mark(marks)
        self._world.step()


class Desk:
    """Does each work when it is started, and brings the results one at a time; without one, time goes by."""

    def __init__(self, world: World, jobs: Jobs) -> None:
        self._world = world
        self._jobs = jobs
        self._done: list[Done] = []

    def start(self, work: Work) -> None:
        job = self._jobs.invocation(work) if isinstance(work, Invoke) else self._jobs.letters(work)
        self._done.append(Done(work.flight, job(), None))

    def take(self, timeout: float) -> list[Done]:
        if self._done:
            return [self._done.pop(0)]
        world = self._world
        if world.mail and world.mail[0][0] <= world.now:
            return [world.mail.pop(0)[1]]
        world.now += timeout
        return []


class NoSchemas:
    """A registry that is never asked."""

    def arrived(self, done: Done, now: float) -> None:
        raise AssertionError

    def tick(self, now: float) -> None:
        """Nothing is due."""

    def fetching(self) -> bool:
        return False

    def changes(self) -> list[Any]:
        return []

    def waiting(self) -> dict[Any, Any]:
        return {}


def undecodable(record: Record, now: float) -> Verdict:
    """No registry knows it."""
    return Undecodable(Broken("decode", "schema_not_found", "nobody knows it"))


@dataclass
class Options:
    """How a run is done."""

    choice: Choice = field(default_factory=Choice)
    target: Any = "handler"
    size: int = 3
    concurrency: int = 1
    attempts: int = 2
    in_a_row: int = 0
    rate: float | None = None
    max_redrives: int = 3
    bounds: Bounds = field(default_factory=Bounds)
    transform: Transform | None = None
    decode: Callable[[Record, float], Verdict] = undecodable
    stop: Callable[[], float | None] = lambda: None
    schemas: Any = field(default_factory=NoSchemas)
    place: Place | None = None


@dataclass
class Ran:
    """What one run said."""

    summary: Summary
    marking: Marking
    told: list[Became]
    troubles: list[str]

    @property
    def done(self) -> dict[str, int]:
        """How many came to what."""
        return {name: count for name, count in self.marking.tally.done.items() if count}


def run(world: World, options: Options | None = None) -> Ran:
    """A process of its own, from its start to its end."""
    wanted = Options() if options is None else options
    shelf = KilledStore(world)
    told: list[Became] = []
    troubles: list[str] = []
    author = Author("op@host", "run-1", wanted.target, "fixed")
    marking = Marking(shelf, author, world.wall, lambda: 0.5, lambda each, _: told.append(each), troubles.append)
    rules = Rules(wanted.choice, wanted.target, world.wall(), wanted.max_redrives, wanted.transform is not None)
    if wanted.place is None:
        hand_out = _handing(world, wanted, marking, troubles).hand_out
    else:
        hand_out = Copying(
            wanted.place,
            marking,
            wanted.size,
            wanted.rate,
            world.clock,
            world.pause,
            wanted.stop,
            lambda: 0.5,
            troubles.append,
        ).hand_out
    seen = look_at(shelf, ACTION, rules, wanted.bounds)
    summary = Run(shelf, ACTION, rules, wanted.bounds, hand_out, marking).go(seen)
    world.now += 1.0
    return Ran(summary, marking, told, troubles)


def _handing(world: World, wanted: Options, marking: Marking, troubles: list[str]) -> Handing:
    wave = Wave(wanted.decode, wanted.transform)

    def read(record: Record) -> Verdict:
        return wave.read(record, world.now)

    policy = Policy(attempts=wanted.attempts)
    settings = Settings(policy, Limits(wanted.size, 0.0), wanted.concurrency, rate=wanted.rate)
    ledger = Ledger(settings, Breaker(wanted.in_a_row, float("inf")), read)
    jobs = Jobs(
        ACTION, Handler(world), Again(StoreSink(world), wave), read, world.clock, world.wall, 60.0, past=wave.past
    )
    ids = itertools.count()
    return Handing(
        ledger,
        Dispatch(ledger, lambda: f"batch-{next(ids)}"),
        Results(ledger, lambda: 0.5),
        Desk(world, jobs),
        wave,
        wanted.schemas,
        marking,
        world.clock,
        wanted.stop,
        troubles.append,
    )


def world_of(letters: Iterable[Letter | bytes], poison: Collection[At] = (), **changes: Any) -> World:
    """A world with these letters in it."""
    lines = [letter if isinstance(letter, bytes) else to_line(letter) for letter in letters]
    return World(MemoryStore(lines), set(poison), **changes)
