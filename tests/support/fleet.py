"""Tasks of pollers that share partitions, second by second, with the metrics as their own code writes them.

Pure: seconds of no machine's time. Partitions are whole: of twelve, five tasks have three, three, two, two and two. A
task does so much by itself, whatever it holds; it begins to work when it has joined, and all stand in a rebalance.
"""

from __future__ import annotations

import json
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from datahub_poller.observe.catalogue import Moment
from datahub_poller.observe.emf import Lines
from datahub_poller.observe.figures import Figures
from datahub_poller.observe.status import PartitionStatus, PollerStatus
from support.autoscaling import IN_PERIODS, MINUTE, Bounds, Point, Policy, Shrinking, Tracking

STEP: Final = 5
CLOUDWATCH_DELAY: Final = 1
"""Minutes until a line that was written is part of what an alarm sees, beside the minute itself."""
HELD: Final = 0.5
"""Records that are not worth a place in a queue: what is left of fractions."""

Traffic = Callable[[int], float]


class Setting(NamedTuple):
    """`rate` is events a second of a task; `start` the least and the most seconds until a new one has joined;
    `rebalance` how long all stand when one comes or goes; `shares` what each partition gets of the traffic."""

    rate: float
    start: tuple[float, float]
    rebalance: float
    shares: tuple[float, ...]


class Minute(NamedTuple):
    """As of its end. `lag` is how old the oldest record was, in seconds; `tasks` those that are wanted.

    `points` is what CloudWatch has of each metric.
    """

    at: int
    backlog: float
    tasks: int
    points: tuple[Point, ...]
    lag: float


class Day(NamedTuple):
    """`changes` are times of scaling and the number of tasks from then on."""

    minutes: list[Minute]
    changes: list[tuple[int, int]]
    rebalances: int

    @property
    def worst_lag(self) -> float:
        return max(each.lag for each in self.minutes)

    @property
    def most_tasks(self) -> int:
        return max(each.tasks for each in self.minutes)

    @property
    def task_hours(self) -> float:
        return sum(each.tasks for each in self.minutes) / 60

    def recovered_after(self, end: int, lag: float = 60.0) -> float:
        """Seconds from a moment until the oldest record was no older than this."""
        return next(each.at - end for each in self.minutes if each.at >= end and each.lag <= lag)

    def turns(self, within: float) -> list[tuple[int, int]]:
        """Changes that take another one back within so many seconds."""
        found = []
        for (first, before), (second, after), (third, last) in zip(
            self.changes, self.changes[1:], self.changes[2:], strict=False
        ):
            if (after - before) * (last - after) < 0 and third - second < within and second - first < within:
                found.append((second, third))
        return found


class Log:
    """A partition: what lies in it, oldest first."""

    def __init__(self) -> None:
        self.held: deque[list[float]] = deque()
        self.backlog = 0.0

    def come(self, now: int, events: float) -> None:
        if events:
            self.held.append([now, events])
            self.backlog += events

    def take(self, events: float) -> float:
        """So many of the oldest, or what there is."""
        left = min(events, self.backlog)
        self.backlog -= left
        taken = left
        while left > 0 and self.held:
            first = self.held[0]
            if first[1] > left + 1e-9:
                first[1] -= left
                break
            left -= first[1]
            self.held.popleft()
        return taken

    def lag(self, now: int) -> float:
        return now - self.held[0][0] if self.backlog > HELD and self.held else 0.0


class Task:
    """A poller: its lines are those of the poller's own code."""

    def __init__(self, begins: float, joins: float) -> None:
        self.joins = joins
        self.mine: list[int] = []
        self.line_at = begins + MINUTE
        self.busy_seconds = 0.0
        self._began = begins
        self._lines = Lines()

    def line(self, now: int, logs: Sequence[Log]) -> dict[str, float]:
        """What it writes for this interval."""
        partitions = tuple(
            PartitionStatus("topic", number, "ready", lag=int(logs[number].backlog), moved=float(now))
            for number in self.mine
        )
        state = "running" if partitions else "starting"
        status = PollerStatus(
            "tag-sync",
            "1",
            state,
            started_at=self._began,
            uptime=now - self._began,
            partitions=partitions,
            assigned=len(partitions),
            figures=Figures(handler_busy_seconds=self.busy_seconds),
        )
        document: dict[str, float] = json.loads(self._lines.line(Moment(status, float(now), float(now))))
        return document


class Fleet:
    """The tasks, their group and what they have written."""

    def __init__(self, setting: Setting, metrics: Sequence[str], chance: random.Random, first: int) -> None:
        self._setting = setting
        self._metrics = metrics
        self._chance = chance
        self.logs = [Log() for _ in setting.shares]
        self.tasks = [Task(0.0, 0.0) for _ in range(first)]
        self.members: list[Task] = []
        self.rebalances = 0
        self._stands_until = 0.0
        self._written: list[dict[str, float]] = []

    def resize(self, now: int, wanted: int) -> None:
        """ECS starts tasks, or stops any of them."""
        while len(self.tasks) < wanted:
            least, most = self._setting.start
            joins = now + self._chance.uniform(least, most)
            self.tasks.append(Task(joins - 5.0, joins))
        gone = self._chance.sample(self.tasks, max(0, len(self.tasks) - wanted))
        self.tasks = [task for task in self.tasks if task not in gone]
        if any(task in self.members for task in gone):
            self._share_out(now, [task for task in self.members if task not in gone])

    def step(self, now: int, traffic: float) -> None:
        """The next seconds."""
        for log, share in zip(self.logs, self._setting.shares, strict=True):
            log.come(now, traffic * share * STEP)
        if any(task not in self.members and task.joins <= now for task in self.tasks):
            self._share_out(now, [task for task in self.tasks if task.joins <= now])
        if now >= self._stands_until:
            for task in self.members:
                self._work(task)
        for task in self.tasks:
            if task.line_at <= now:
                task.line_at += MINUTE
                self._written.append(task.line(now + STEP, self.logs))

    def points(self) -> tuple[Point, ...]:
        """Of each metric, the average of what was written since this was asked last."""
        written, self._written = self._written, []
        return tuple(_mean([line[metric] for line in written if metric in line]) for metric in self._metrics)

    def _share_out(self, now: int, members: list[Task]) -> None:
        self.members = members
        self.rebalances += 1
        self._stands_until = now + self._setting.rebalance
        for task in self.tasks:
            task.mine = []
        begin = 0
        for number, task in enumerate(members):
            whole, rest = divmod(len(self.logs), len(members))
            end = begin + whole + (number < rest)
            task.mine = list(range(begin, end))
            begin = end

    def _work(self, task: Task) -> None:
        """What it does goes to its partitions by what lies in them."""
        left = most = self._setting.rate * STEP
        for number, log in enumerate(sorted((self.logs[each] for each in task.mine), key=lambda log: log.backlog)):
            left -= log.take(left / (len(task.mine) - number))
        task.busy_seconds += STEP * (most - left) / most if most else 0.0


def _mean(samples: Sequence[float]) -> Point:
    return statistics.mean(samples) if samples else None


def day(
    policies: Sequence[Policy],
    bounds: Bounds,
    setting: Setting,
    traffic: Traffic,
    *,
    seed: int = 0,
    shrinking: Shrinking = "in proportion",
    hours: float = 24,
    first: int = 1,
) -> Day:
    """`traffic` is events that come in a second."""
    fleet = Fleet(setting, [policy.metric for policy in policies], random.Random(seed), first)
    tracking = Tracking(policies, bounds, shrinking)
    points: list[tuple[Point, ...]] = []
    minutes: list[Minute] = []
    changes: list[tuple[int, int]] = []
    for now in range(0, int(hours * 3600), STEP):
        fleet.step(now, traffic(now))
        if (now + STEP) % MINUTE:
            continue
        points.append(fleet.points())
        recent = points[: len(points) - CLOUDWATCH_DELAY][-IN_PERIODS:]
        series = list(zip(*recent, strict=True)) or [()] * len(policies)
        wanted = tracking.wanted(now, series, len(fleet.tasks))
        if wanted != len(fleet.tasks):
            fleet.resize(now, wanted)
            changes.append((now, wanted))
        backlog, lag = sum(log.backlog for log in fleet.logs), max(log.lag(now) for log in fleet.logs)
        minutes.append(Minute(now, backlog, len(fleet.tasks), points[-1], lag))
    return Day(minutes, changes, fleet.rebalances)
