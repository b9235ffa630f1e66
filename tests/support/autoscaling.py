"""A service under target tracking by several policies, as AWS documents it: their alarms, steps and cooldowns.

Pure. Of a target AWS makes an alarm for more, when the metric is above it for three minutes in a row, and one for
fewer, when it is below nine tenths of it for fifteen; a minute without data is in neither. More comes if any policy
asks for it, in proportion to its metric, at once, and the largest wish wins; fewer, if all ask for it whose scale-in
is not disabled, and again the largest wins. Of what AWS does not say that is taken which changes more: a wish for more
than there may be holds up no wish for fewer. Nor does it say how gradually fewer comes: `Shrinking` has both ends.
https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

MINUTE: Final = 60
OUT_PERIODS: Final = 3
IN_PERIODS: Final = 15
IN_SHARE: Final = 0.9

Point = float | None
"""What CloudWatch has of a minute; None where nobody wrote anything."""
Shrinking = Literal["in proportion", "one by one"]


def _as_it_is(value: float) -> float:
    return value


class Policy(NamedTuple):
    """The template's values: the name under which CloudWatch has what is tracked, its target, and seconds.

    `sees` is what metric math makes of the metric.
    """

    metric: str
    target: float
    out_cooldown: float
    in_cooldown: float
    scales_in: bool = True
    sees: Callable[[float], float] = _as_it_is


class Bounds(NamedTuple):
    """Of the number of tasks."""

    least: int
    most: int


class Wish(NamedTuple):
    """A policy whose alarm has gone off, and the metric's newest value."""

    policy: Policy
    value: float


class Tracking:
    """One service over time."""

    def __init__(self, policies: Sequence[Policy], bounds: Bounds, shrinking: Shrinking = "in proportion") -> None:
        self._policies = policies
        self._bounds = bounds
        self._shrinking = shrinking
        self._out_at = self._in_at = -math.inf
        self._before_out = 0

    def wanted(self, now: float, series: Sequence[Sequence[Point]], tasks: int) -> int:
        """How many tasks there are to be; of each policy the points of its metric, the newest last."""
        seen = [(policy, _seen(policy, points)) for policy, points in zip(self._policies, series, strict=True)]
        high = [wish for policy, points in seen if (wish := _high(policy, points)) is not None]
        if (more := self._out(now, high, tasks)) > tasks:
            return more
        low = [_low(policy, points) for policy, points in seen if policy.scales_in]
        agreed = [wish for wish in low if wish is not None]
        return self._in(now, agreed, tasks) if agreed and len(agreed) == len(low) else tasks

    def _out(self, now: float, wishes: Sequence[Wish], tasks: int) -> int:
        """While a cooldown lasts, what was added counts; only a larger step than that one is made."""
        more = tasks
        base = tasks
        for policy, value in wishes:
            before = self._before_out if now - self._out_at < policy.out_cooldown else tasks
            if (wish := math.ceil(before * value / policy.target)) > more:
                more, base = wish, before
        more = min(self._bounds.most, more)
        if more > tasks:
            self._out_at, self._before_out = now, base
            self._in_at = -math.inf  # a cooldown for fewer ends with it
        return more

    def _in(self, now: float, wishes: Sequence[Wish], tasks: int) -> int:
        if any(now - self._in_at < policy.in_cooldown for policy, _ in wishes):
            return tasks
        fitting = max(math.ceil(tasks * value / policy.target) for policy, value in wishes)
        if self._shrinking == "one by one":
            fitting = max(fitting, tasks - 1)
        fewer = max(self._bounds.least, min(tasks, fitting))
        if fewer < tasks:
            self._in_at = now
        return fewer


def _seen(policy: Policy, points: Sequence[Point]) -> list[Point]:
    return [None if point is None else policy.sees(point) for point in points]


def _high(policy: Policy, points: Sequence[Point]) -> Wish | None:
    return _wish(policy, points, OUT_PERIODS, lambda value: value > policy.target)


def _low(policy: Policy, points: Sequence[Point]) -> Wish | None:
    return _wish(policy, points, IN_PERIODS, lambda value: value < IN_SHARE * policy.target)


def _wish(policy: Policy, points: Sequence[Point], count: int, holds: Callable[[float], bool]) -> Wish | None:
    """By the newest of so many points, where all are there and hold."""
    recent = points[-count:]
    if len(recent) < count or not all(point is not None and holds(point) for point in recent):
        return None
    assert recent[-1] is not None
    return Wish(policy, recent[-1])
