"""A service under target tracking, as AWS documents it, over a day of traffic: seconds of no machine's time.

Pure. AWS makes two alarms of a target: more tasks where the metric is above it for three periods of 60 s in a row, by
as much as the metric exceeds it; fewer where it is below nine tenths of it for fifteen. Cooldowns are the template's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

MINUTE: Final = 60
OUT_PERIODS: Final = 3
IN_PERIODS: Final = 15
IN_SHARE: Final = 0.9


class Policy(NamedTuple):
    """The template's values: tasks, and seconds."""

    target: float
    out_cooldown: float
    in_cooldown: float
    least: int
    most: int


class Workers(NamedTuple):
    """`rate` is events per second of a task, `start` seconds until a new one works, `rebalance` while all stand."""

    rate: float
    start: float
    rebalance: float


class Minute(NamedTuple):
    """What CloudWatch has for it, and what was so at its end. `lag` is how old the oldest record was, in seconds."""

    at: int
    backlog: float
    tasks: int
    metric: float
    lag: float


class Day(NamedTuple):
    """`changes` are times of scaling and the number of tasks from then on."""

    minutes: list[Minute]
    changes: list[tuple[int, int]]
    rebalances: int


def day(policy: Policy, workers: Workers, traffic: Callable[[int], float], hours: int = 24, first: int = 1) -> Day:
    """Second by second: `traffic` is events that come in a second."""
    tasks = working = first
    standing = 0.0
    joining: list[float] = []
    backlog = arrived = done = 0.0
    arrivals: list[float] = []
    minutes: list[Minute] = []
    changes: list[tuple[int, int]] = []
    rebalances, last_out, last_in, oldest = 0, -math.inf, -math.inf, 0
    for now in range(hours * 3600):
        coming = traffic(now)
        arrived += coming
        arrivals.append(arrived)
        backlog += coming
        ready = [at for at in joining if at <= now]
        if ready:
            joining = [at for at in joining if at > now]
            working += len(ready)
            rebalances += 1
            standing = now + workers.rebalance
        if now >= standing:
            taken = min(backlog, working * workers.rate)
            backlog -= taken
            done += taken
        while oldest < now and arrivals[oldest] <= done + 1e-6:
            oldest += 1
        if (now + 1) % MINUTE:
            continue
        minutes.append(Minute(now, backlog, tasks, backlog / working, now - oldest if backlog > 1 else 0.0))
        wanted = _wanted(policy, minutes, tasks)
        if wanted > tasks and now - last_out >= policy.out_cooldown:
            joining += [now + workers.start] * (wanted - tasks)
            tasks, last_out = wanted, now
            changes.append((now, tasks))
        elif wanted < tasks and now - max(last_in, last_out) >= policy.in_cooldown:
            gone = tasks - wanted
            joining = joining[gone:]
            working = max(1, min(working, wanted))
            rebalances += 1
            standing = now + workers.rebalance
            tasks, last_in = wanted, now
            changes.append((now, tasks))
    return Day(minutes, changes, rebalances)


def _wanted(policy: Policy, minutes: list[Minute], tasks: int) -> int:
    recent = [minute.metric for minute in minutes]
    if len(recent) >= OUT_PERIODS and min(recent[-OUT_PERIODS:]) > policy.target:
        return min(policy.most, max(tasks + 1, math.ceil(tasks * recent[-1] / policy.target)))
    if len(recent) >= IN_PERIODS and max(recent[-IN_PERIODS:]) < IN_SHARE * policy.target:
        return max(policy.least, min(tasks - 1, math.ceil(tasks * recent[-1] / policy.target)), 0)
    return tasks
