"""A toy of a group of pollers on virtual time, whose every run is lawful: for judging the judges.

Owns a model of what brokers and pollers do, far simpler than either; `bugs` names what it is to do wrong.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from datahub_poller.model import TopicPartition
from guarantees.trace import Call, Commit, Due, Letter, Life, Limits, Ownership, Trace, Window
from support.recorded import Place

SIZE, ATTEMPTS, SESSION = 4, 2, 1.0


@dataclass
class Lane:
    """A partition in a process's hands: what is pending, with the attempts used up, and what is settled."""

    settled: int
    pending: list[tuple[int, int]]
    done: set[int] = field(default_factory=set)
    call: Flight | None = None


@dataclass
class Flight:
    """A call that runs until `until`."""

    number: int
    lane: Lane
    until: float


class Process:
    def __init__(self, client: str, at: float) -> None:
        self.client, self.began = client, at
        self.lanes: dict[TopicPartition, Lane] = {}
        self.aware = True


class ToyGroup:
    def __init__(
        self, seed: int, *, eager: bool, healthy: bool = False, bugs: frozenset[str] = frozenset(), events: int = 60
    ) -> None:
        self.chance = random.Random(seed)
        self.healthy = healthy
        self.eager, self.bugs = eager, bugs
        self.now, self.epoch, self.names = 1.0, 0, 0
        self.trace = Trace(Limits(SIZE, 4, 5.0), {}, [], [], [], [], [], [])
        tps = [TopicPartition("t", number) for number in range(4)]
        self.ends = dict.fromkeys(tps, events)
        for tp in tps:
            for offset in range(events):
                kind = self.chance.choices(("good", "poison", "junk"), (30, 1, 1))[0]
                self.trace.due[Place(*tp, offset)] = Due(kind, f"{tp}@{offset}")
        self.committed = dict.fromkeys(tps, 0)
        self.members: list[Process] = []
        self.outside: list[Process] = []
        self.loose: list[tuple[Process, Lane]] = []
        self.held: dict[str, frozenset[TopicPartition]] = {}
        self.refusing = False

    # -- time

    def run(self) -> Trace:
        for _ in range(3):
            self.join()
        ill = 0 if self.healthy else 1
        # Some runs have no fault, which would excuse much of what comes after it.
        refuse = 2 * ill * self.chance.randrange(2)
        acts = {
            self.kill: 4 * ill,
            self.stop: 4,
            self.join: 4,
            self.put_out: 2 * ill,
            self.refuse: refuse,
            self.turn: 400,
        }
        while any(self.committed[tp] < end for tp, end in self.ends.items()):
            self.chance.choices(list(acts), list(acts.values()))[0]()
            if not self.members:
                self.join()
        for process in [*self.outside, *self.members]:
            self.close(process, "stopped")
        return self.trace

    def tick(self, most: float = 0.05) -> None:
        self.now += self.chance.uniform(0.0005, most)

    def turn(self) -> None:
        """A call ends, a call begins, or somebody commits."""
        self.tick()
        processes = [*self.members, *self.outside]
        for process in processes:
            for lane in process.lanes.values():
                if lane.call is not None and lane.call.until <= self.now:
                    self.end(process, lane)
        for process, lane in self.loose:
            if lane.call is not None and lane.call.until <= self.now:
                self.end(process, lane)
        process = self.chance.choice(processes)
        if self.chance.random() < 0.4:
            self.commit(process)
        free = [(tp, lane) for tp, lane in process.lanes.items() if lane.call is None and lane.pending]
        if free:
            self.begin(process, *self.chance.choice(free))

    # -- calls

    def begin(self, process: Process, tp: TopicPartition, lane: Lane) -> None:
        attempts = lane.pending[0][1]
        part = [offset for offset, used in lane.pending[: 1 if attempts >= ATTEMPTS else SIZE] if used == attempts]
        for offset in [offset for offset in part if self.kind(tp, offset) == "junk"]:
            self.letter(tp, lane, offset)
            part.remove(offset)
        if part:
            places = tuple(Place(*tp, offset) for offset in part)
            name = f"{process.client}-{tp}@{part[0]}"
            self.trace.calls.append(Call(process.client, name, attempts + 1, places, self.now, None, frozenset()))
            lane.call = Flight(len(self.trace.calls) - 1, lane, self.now + self.chance.uniform(0.001, 0.3))

    def end(self, process: Process, lane: Lane) -> None:
        assert lane.call is not None
        number, lane.call = lane.call.number, None
        call = self.trace.calls[number]
        tp = call.places[0].tp
        failed = {place for place in call.places if self.kind(tp, place.offset) == "poison"}
        if self.chance.random() < (0.5 if failed else 0.05):
            failed = set(call.places)
        done = frozenset(call.places) - failed
        self.tick(0.001)
        self.trace.calls[number] = Call(*self.fields(call)[:5], self.now, done)
        used = {place.offset for place in failed}
        alone = len(call.places) == 1
        lane.pending = [
            (offset, attempts + (offset in used)) for offset, attempts in lane.pending if Place(*tp, offset) not in done
        ]
        lane.done |= {place.offset for place in done}
        if alone and failed and call.attempt > ATTEMPTS:
            self.letter(tp, lane, call.places[0].offset)
        self.settle(tp, lane)

    @staticmethod
    def fields(call: Call) -> tuple:
        return call.client, call.batch_id, call.attempt, call.places, call.began

    def letter(self, tp: TopicPartition, lane: Lane, offset: int) -> None:
        place = Place(*tp, offset)
        self.trace.letters.append(Letter(place, self.now, str(place), self.trace.due[place].digest))
        lane.pending = [each for each in lane.pending if each[0] != offset]
        lane.done.add(offset)
        self.settle(tp, lane)

    def settle(self, tp: TopicPartition, lane: Lane) -> None:
        while lane.settled in lane.done:
            lane.settled += 1

    def kind(self, tp: TopicPartition, offset: int) -> str:
        return self.trace.due[Place(*tp, offset)].kind

    # -- commits

    def commit(self, process: Process) -> None:
        """Stored where the group knows the process; only the newest is worth telling."""
        if process not in self.members or self.refusing:
            return
        self.tick(0.002)
        for tp, lane in process.lanes.items():
            if lane.settled != self.committed[tp]:
                self.committed[tp] = lane.settled
                self.trace.commits.append(Commit(tp, lane.settled, self.now, ""))

    # -- the group

    def join(self) -> None:
        if len(self.members) < 4:
            self.names += 1
            self.members.append(Process(f"p{self.names}", self.now))
            self.rebalance()

    def kill(self) -> None:
        process = self.chance.choice(self.members)
        self.members.remove(process)
        self.trace.lives.append(Life(process.client, process.began, self.now, "killed"))
        self.later(SESSION)
        self.rebalance()

    def stop(self) -> None:
        process = self.chance.choice(self.members)
        self.give_up(process, list(process.lanes))
        self.members.remove(process)
        self.close(process, "stopped")
        self.rebalance()

    def close(self, process: Process, how: str) -> None:
        self.finish(process)
        self.trace.lives.append(Life(process.client, process.began, self.now, how))

    def finish(self, process: Process) -> None:
        for lane in process.lanes.values():
            if lane.call is not None:
                self.now = max(self.now, lane.call.until)
                self.end(process, lane)

    def put_out(self) -> None:
        """A member misses its session without knowing; after a while it hears of it and joins anew."""
        if len(self.members) < 2 or self.outside:
            return
        process = self.chance.choice(self.members)
        self.members.remove(process)
        self.outside.append(process)
        self.rebalance()
        self.later(SESSION)
        self.outside.remove(process)
        self.finish(process)  # what it returns changes nothing any more
        process.lanes = {}
        self.members.append(process)
        self.rebalance()

    def refuse(self) -> None:
        if self.refusing:
            return
        self.refusing, began = True, self.now
        self.later(0.5)
        if self.chance.random() < 0.7:
            self.chance.choice((self.join, self.stop, self.kill))()
        self.refusing = False
        for process in self.members:
            self.commit(process)
        self.trace.windows.append(Window("refused", began, self.now, True))

    def later(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until and [*self.members, *self.outside]:
            self.turn()
        self.now = max(self.now, until)

    def give_up(self, process: Process, tps: list[TopicPartition]) -> None:
        """Wait for the calls, commit, let go."""
        for tp in tps:
            lane = process.lanes[tp]
            if "does-not-wait" in self.bugs:
                self.loose.append((process, lane))
            elif lane.call is not None:
                self.now = max(self.now, lane.call.until)
                self.end(process, lane)
        if "does-not-commit" not in self.bugs:
            self.commit(process)
        for tp in tps:
            del process.lanes[tp]

    def rebalance(self) -> None:
        if not self.members:
            return
        tps = sorted(self.ends)
        self.chance.shuffle(self.members)
        target = {p.client: frozenset(tps[n :: len(self.members)]) for n, p in enumerate(self.members)}
        for process in self.members:
            gone = [tp for tp in process.lanes if self.eager or tp not in target[process.client]]
            if "keeps-lanes" not in self.bugs:
                self.give_up(process, gone)
        self.tick(0.01)
        self.epoch += 1
        kept = {process.client: frozenset(process.lanes) for process in self.members}
        self.trace.ownerships += [Ownership(self.now, self.epoch, kept), Ownership(self.now, self.epoch, target)]
        self.tick(0.01)
        for process in self.members:
            for tp in sorted(target[process.client] - process.lanes.keys()):
                start = max(0, self.committed[tp] - ("begins-below" in self.bugs))
                process.lanes[tp] = Lane(start, [(offset, 0) for offset in range(start, self.ends[tp])])
