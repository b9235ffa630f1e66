"""Events that keep coming while a test does something else; and the groups' protocols, made quick."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from support.running import ROUTES, Stage

QUICK_GROUP = {"session_timeout_ms": 1000, "heartbeat_interval_ms": 200}
EAGER = {"partition_assignment_strategy": "range,roundrobin"}
COOPERATIVE = {"partition_assignment_strategy": "cooperative-sticky"}
KIP_848 = {"group_protocol": "consumer"}


class Traffic(threading.Thread):
    """Produces to random partitions, a few events at a time, until it is told to stop; `also` adds some of its own."""

    def __init__(
        self, stage: Stage, chance: random.Random, partitions: int, also: Callable[[int], None] = lambda _: None
    ) -> None:
        super().__init__(daemon=True)
        self._also = also
        self._stage = stage
        self._chance = chance
        self._partitions = partitions
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.05):
            count = self._chance.randrange(1, 40)
            poison = [0] if self._chance.random() < 0.03 else []
            route = self._chance.choice(ROUTES)
            self._stage.send(route, self._chance.randrange(self._partitions), count, poison=poison)
            self._also(self._chance.randrange(self._partitions))

    def end(self) -> None:
        self._done.set()
        self.join()
