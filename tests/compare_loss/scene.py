"""A topic of one partition, a registry, and both products on them: what a fault is done to.

Knows nothing of which faults there are, of how a product is run, and of what counts as lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from compare_loss.counting import Outcome
from compare_loss.products import PRODUCTS, Product, Side
from datahub_poller.demo.registry import Interference, RegistryServer
from support.brokers import Bed, Sent
from support.recorded import Place

TICK = 0.02
SETTLE_SECONDS = 1.0
"""What a product gets after its last record, to write and to commit what follows from it."""

Bytes = tuple[bytes, bytes]
"""A record's value and key."""


class Size(NamedTuple):
    """How much of a case is run. The test runs small ones."""

    events: int = 200
    restarts: int = 3
    outage: float = 20.0
    slow_events: int = 3
    slow_seconds: float = 12.0
    window: float = 60.0


class Stand(NamedTuple):
    """What cases stand on. `unique` makes names of topics that nobody else has."""

    bed: Bed
    directory: Path
    unique: Callable[[str], str]
    size: Size
    seed: int
    say: Callable[[str], None]
    over: threading.Event
    """Set where the whole command ends early."""


class Played(NamedTuple):
    """What became of a trace at one product, and the seconds from its start to its last record; None where never."""

    product: Product
    outcome: Outcome
    seconds: float | None


class AbandonedError(Exception):
    """The command ends early."""


class Scene:
    """`seconds` is how long the action takes with an event; at the event `kill_at` it kills its process, once."""

    def __init__(self, stand: Stand, name: str, seconds: float = 0.0, kill_at: int | None = None) -> None:
        self.size, self.seed = stand.size, stand.seed
        self.registry = RegistryServer()
        self.produced: list[Place] = []
        self._bed, self._say, self._over, self._name = stand.bed, stand.say, stand.over, name
        self._began = time.monotonic()
        self._seconds: dict[Product, float | None] = dict.fromkeys(PRODUCTS)
        self._topic = stand.unique(name)
        stand.bed.create_topic(self._topic, 1)
        plan = {"seconds": seconds, "kill_at": kill_at}
        place = stand.directory / name
        self.sides = [Side(each, place, stand.bed, self.registry.url, self._topic, plan) for each in PRODUCTS]

    def __enter__(self) -> Self:
        self.registry.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for side in self.sides:
            side.kill()
        self.registry.stop()

    def produce(self, records: Sequence[Bytes]) -> Place:
        """The last one's place."""
        offsets = self._bed.produce_all([Sent(self._topic, 0, value, key) for value, key in records])
        self.produced += [Place(self._topic, 0, offset) for offset in offsets]
        return self.produced[-1]

    def start(self) -> None:
        self._began = time.monotonic()
        for side in self.sides:
            side.start()

    def until_done(self, last: Place, patience: float) -> None:
        """Until each has acted on this record, or is given up by its supervisor."""
        waiting = list(self.sides)
        self._seconds = dict.fromkeys(PRODUCTS)
        end = time.monotonic() + patience
        while waiting and time.monotonic() < end:
            self._tick()
            for side in [side for side in waiting if last in side.acted()]:
                self._seconds[side.product] = time.monotonic() - self._began
                self.say(f"{side.product}: has acted on the last record")
                waiting.remove(side)
            waiting = [side for side in waiting if not side.gave_up]
        for side in waiting:
            self.say(f"{side.product}: has not acted on the last record within {patience:.0f} s")

    def watch(self, seconds: float) -> None:
        """Let time go by."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._tick()

    @contextmanager
    def registry_answers(self, status: int) -> Iterator[None]:
        """Every request, until the end of the block."""
        self.registry.interfere = lambda request: Interference(status=status)
        self.say(f"the registry answers {status}")
        yield
        self.registry.interfere = None
        self.say("the registry is back")

    def played(self) -> list[Played]:
        """Stop both in order, and count."""
        self.watch(SETTLE_SECONDS)
        for side in self.sides:
            side.stop()
        return [Played(side.product, side.outcome(self.produced), self._seconds[side.product]) for side in self.sides]

    def say(self, what: str) -> None:
        self._say(f"{self._name}, {time.monotonic() - self._began:.1f} s: {what}")

    def _tick(self) -> None:
        if self._over.is_set():
            raise AbandonedError
        for side in self.sides:
            if said := side.supervise(self.size.restarts):
                self.say(f"{side.product}: {said}")
        time.sleep(TICK)
