"""A service under target tracking, as AWS documents it: its two alarms, its steps and its cooldowns.

Pure. Of a target AWS makes an alarm for more, when the metric is above it for three minutes in a row, and one for
fewer, when it is below nine tenths of it for fifteen; a minute without data is in neither. More comes in proportion to
the metric, at once; how gradually fewer comes, AWS does not say: `Shrinking` has both ends of it.
https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

MINUTE: Final = 60
OUT_PERIODS: Final = 3
IN_PERIODS: Final = 15
IN_SHARE: Final = 0.9

Point = float | None
"""What CloudWatch has of a minute; None where nobody wrote anything."""
Shrinking = Literal["in proportion", "one by one"]


class Policy(NamedTuple):
    """The template's values: tasks, and seconds."""

    target: float
    out_cooldown: float
    in_cooldown: float
    least: int
    most: int


class Tracking:
    """One policy over time."""

    def __init__(self, policy: Policy, shrinking: Shrinking = "in proportion") -> None:
        self._policy = policy
        self._shrinking = shrinking
        self._out_at = self._in_at = -math.inf
        self._before_out = 0

    def wanted(self, now: float, points: Sequence[Point], tasks: int) -> int:
        """How many tasks there are to be; `points` has the newest last."""
        policy = self._policy
        if (newest := _all(points, OUT_PERIODS, lambda value: value > policy.target)) is not None:
            return self._out(now, newest, tasks)
        low = _all(points, IN_PERIODS, lambda value: value < IN_SHARE * policy.target)
        if low is None or now - self._in_at < policy.in_cooldown:
            return tasks
        fitting = math.ceil(tasks * low / policy.target)
        fewer = max(
            policy.least, min(tasks, fitting if self._shrinking == "in proportion" else max(fitting, tasks - 1))
        )
        if fewer < tasks:
            self._in_at = now
        return fewer

    def _out(self, now: float, newest: float, tasks: int) -> int:
        """While the cooldown lasts, what it has added counts; only a larger step than that one is made."""
        policy = self._policy
        cooling = now - self._out_at < policy.out_cooldown
        base = self._before_out if cooling else tasks
        more = min(policy.most, max(tasks, math.ceil(base * newest / policy.target)))
        if more > tasks:
            self._out_at, self._before_out = now, base
            self._in_at = -math.inf  # a cooldown for fewer ends with it
        return more


def _all(points: Sequence[Point], count: int, holds: object) -> float | None:
    """The newest of so many, where all are there and hold."""
    recent = points[-count:]
    assert callable(holds)
    if len(recent) < count or not all(point is not None and holds(point) for point in recent):
        return None
    return recent[-1]
