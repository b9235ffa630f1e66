"""A poller under a flow of events of which some are poison, and a sink that gets into trouble: judged from outside.

scene.begins()                          # the poller runs, and a letter is where it should be
with the sink in trouble:
    scene.waits("No space left")        # red, with the reason; the other partitions go on
    scene.stays(5.0)                    # and nothing is committed past the first letter that is missing
scene.recovers()                        # nothing is lost, each letter is there, all is committed
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Self

from support.recorded import Place, all_accounted_for, commits_not_ahead, first_hand_outs_in_order
from support.running import Running, Stage, Status
from support.sink_places import SinkPlace

PARTITIONS = 3
BURST, POISON = 10, (2, 5, 7)
RECOVERY = 90.0
"""Seconds. A place that was away for a minute is tried again after half of one."""


class Flow:
    """Produces a few good events to every partition, again and again, until it is stopped."""

    def __init__(self, stage: Stage, pause: float) -> None:
        self._stage = stage
        self._pause = pause
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._end.wait(self._pause):
                for partition in range(PARTITIONS):
                    with self._lock:
                        self._stage.send("pe", partition, 2)
        except Exception as error:
            self._failure = error

    def poison(self) -> list[Place]:
        """Produce a burst to the first partition with poison in it, which is returned."""
        with self._lock:
            places = self._stage.send("pe", 0, BURST, poison=POISON)
        return [places[number] for number in POISON]

    def produced(self) -> set[Place]:
        """All so far."""
        with self._lock:
            return set(self._stage.produced)

    def stop(self) -> None:
        """Raises what kept it from producing."""
        self._end.set()
        self._thread.join(30)
        if self._failure is not None:
            raise self._failure


class Scene:
    """One poller, its place for letters, and the flow. The first partition gets the poison."""

    poller: Running
    flow: Flow
    stuck: Place

    def __init__(self, stage: Stage, place: SinkPlace, pause: float = 0.1) -> None:
        self.stage = stage
        self.place = place
        self._pause = pause

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "flow"):
            self.flow.stop()

    # -- the acts

    def begins(self, changes: Mapping[str, Any] | None = None) -> None:
        """Start all of it. Returns when every letter so far is where it should be."""
        self.stage.create(PARTITIONS, "pe")
        action = self.stage.action({"dead_letter": self.place.section, **({} if changes is None else changes)})
        self.poller = self.stage.start(action, **self.place.environ)
        self.flow = Flow(self.stage, self._pause).__enter__()
        poison = set(self.flow.poison())
        self.poller.until(lambda: poison <= self.lettered().keys(), "no letters although the sink is well", 60.0)

    def waits(self, words: str, patience: float = 30.0) -> None:
        """The sink is in trouble. Returns when the partition waits with this reason and the others have gone on.

        `words` is a pattern, to be found in the partition's reason and in the status' own reasons.
        """
        self.stuck = self.flow.poison()[0]
        status = self.poller.status_when(lambda status: self._waits(status, words), "it does not wait", patience)
        assert any(re.search(words, reason) for reason in status["reasons"]), status["reasons"]
        good = {place for place in self.flow.produced() if place.partition != 0}
        bounds = {place.tp: 0 for place in good}
        for place in good:
            bounds[place.tp] = max(bounds[place.tp], place.offset + 1)
        self.poller.until(
            lambda: all(self.stage.committed().get(tp, 0) >= bound for tp, bound in bounds.items()),
            "the other partitions do not go on",
        )

    def stays(self, seconds: float) -> None:
        """For so long it is red and runs, nothing is committed past the gap, and what others commit was done."""
        until = time.monotonic() + seconds
        before = self._others()
        while (left := until - time.monotonic()) > 0:
            self.flow.poison()
            status = self.poller.status()
            assert status is not None
            assert status["red"], status
            self.holds()
            time.sleep(min(left, 0.5))
        self.poller.until(lambda: self._others() > before, "the other partitions stand still")
        assert self.poller.exit_code is None

    def holds(self) -> None:
        """Nothing at or past the first missing letter is committed; nothing at all that is not settled."""
        committed = self.stage.committed()
        assert committed.get(self.stuck.tp, 0) <= self.stuck.offset, f"{committed} is past {self.stuck}"
        commits_not_ahead(committed, self.stage.recorded(), self.lettered(), self.flow.produced())

    def recovers(self, patience: float = RECOVERY) -> None:
        """The trouble is over: everything is settled without a restart, and it stops in order."""
        self.flow.stop()
        lacking: list[object] = []
        self.poller.until(lambda: self._settled(lacking), "it does not recover", patience, lacking)
        self.poller.status_when(lambda status: not status["red"], "it stays red")
        assert len(self.poller.lines("status is served")) == 1
        lettered = self.lettered()
        assert all(len(ids) == 1 for ids in lettered.values()), "a letter has two ids"
        assert {letter["meta"]["kafka"]["key"].split("-")[0] for letter in self.place.letters()} == {"poison"}
        all_accounted_for(self.stage.recorded(), lettered, self.stage.produced)
        first_hand_outs_in_order(self.stage.recorded())
        assert self.poller.stop() == 0

    # -- what is seen

    def lettered(self) -> dict[Place, set[str]]:
        """Whose letters lie there, and the ids of each record's."""
        found: dict[Place, set[str]] = defaultdict(set)
        for letter in self.place.letters():
            kafka = letter["meta"]["kafka"]
            found[Place(kafka["topic"], kafka["partition"], kafka["offset"])].add(letter["meta"]["id"])
        return found

    def _settled(self, lacking: list[object]) -> bool:
        if not self.stage.all_committed():
            lacking[:] = ["committed", self.stage.committed(), "of", max(self.stage.produced)]
            return False
        missing = self.stage.poison - self.lettered().keys()
        lacking[:] = ["no letters of", *map(str, sorted(missing)[:10])]
        return not missing

    def _others(self) -> int:
        return sum(offset for tp, offset in self.stage.committed().items() if tp.partition != 0)

    def _waits(self, status: Status, words: str) -> bool:
        (mine,) = [each for each in status["partitions"] if each["partition"] == 0] or [{"state": "", "reason": ""}]
        waiting = [each for each in status["partitions"] if each["state"] == "waiting_sink"]
        assert all(each["partition"] == 0 for each in waiting)
        return bool(mine["state"] == "waiting_sink" and status["red"] and re.search(words, mine["reason"]))
