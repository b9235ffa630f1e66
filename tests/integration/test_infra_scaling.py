"""infra/ecs: how the service scales over days of traffic, by the template's values and the metrics that pollers write.

The figures that `infra/ecs/README.md` states are those that are asserted here: bounds are read from its sentences.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable

import pytest
from cfnlint.decode import decode

from support.autoscaling import IN_PERIODS, OUT_PERIODS, Bounds, Policy, Tracking
from support.ecs_events import TAKEN_AWAY, most_within, taken
from support.fleet import Day, Fleet, Setting, day
from support.metric_math import value_of
from support.templates import INFRA

TEMPLATE = INFRA / "ecs" / "service.yaml"
DOCUMENT, _ = decode(str(TEMPLATE))
README = re.sub(r"\s+", " ", (INFRA / "ecs" / "README.md").read_text())
PARAMETERS = DOCUMENT["Parameters"]
TRACKED = {
    name: DOCUMENT["Resources"][name]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    for name in ("BacklogPolicy", "BusyPolicy")
}
HOUR = 3600


def stated(sentence: str) -> list[int]:
    """The figures of a sentence of the page, which has to be there: # is any number."""
    found = re.findall(re.escape(sentence).replace(r"\#", r"([\d,]+)"), README)
    assert len(found) == 1, sentence
    figures = found[0] if isinstance(found[0], tuple) else (found[0],)
    return [int(each.replace(",", "")) for each in figures]


SOON = 60 * stated("Nothing was taken back within # minutes of it")[0]
"""Within so many seconds, a change that takes another one back is flapping."""
SEEDS = range(5)
SHRINKING = ("in proportion", "one by one")

EVEN = Setting(rate=500.0, start=(45.0, 75.0), rebalance=6.0, shares=(1 / 12,) * 12)
"""A handler of 2 ms an event, Fargate's minute until a task runs, and the group's rebalance."""
HOT = EVEN._replace(shares=(0.89,) + (0.01,) * 11)
"""One partition that gets nearly everything: an ingestion run over one dataset."""


def default(parameter: str) -> float:
    return PARAMETERS[parameter]["Default"]


def seen_through(expression: str, name: str) -> Callable[[float], float]:
    """What metric math makes of a metric that it calls so, with the defaults in it."""
    filled = re.sub(r"\$\{(\w+)\}", lambda match: str(default(match[1])), expression)
    return lambda value: value_of(filled, {name: value})


def policy(name: str) -> Policy:
    tracked = TRACKED[name]
    metric = tracked["CustomizedMetricSpecification"]
    sees = {}
    if "Metrics" in metric:
        of, made = metric["Metrics"]
        assert (of["ReturnData"], made["ReturnData"]) == (False, True)
        sees = {"sees": seen_through(made["Expression"]["Fn::Sub"], of["Id"])}
        metric = {**of["MetricStat"]["Metric"], "Statistic": of["MetricStat"]["Stat"]}
    assert metric["Statistic"] == "Average"
    return Policy(
        metric["MetricName"],
        default(tracked["TargetValue"]["Ref"]),
        tracked["ScaleOutCooldown"],
        tracked["ScaleInCooldown"],
        not tracked.get("DisableScaleIn", False),
        **sees,
    )


BACKLOG, BUSY = policy("BacklogPolicy"), policy("BusyPolicy")
BOTH = (BACKLOG, BUSY)


def bounds(most: int) -> Bounds:
    return Bounds(default("MinTasks"), most)


def played(traffic, most=12, setting=EVEN, policies=BOTH, **more) -> Day:
    return day(policies, bounds(most), setting, traffic, **more)


def noisy(traffic, noise=0.05, seed=0):
    """Each minute as much more or less."""
    chance = random.Random(seed)
    by_minute = [chance.uniform(1 - noise, 1 + noise) for _ in range(24 * 60)]
    return lambda now: traffic(now) * by_minute[now // 60]


def even(rate):
    return noisy(lambda _: rate)


def bursty(seed):
    """Events per second: a quiet night, a busy day, an ingestion run every two hours, and one flood."""
    chance = random.Random(seed)
    noise = [chance.uniform(0.7, 1.3) for _ in range(24 * 60)]

    def traffic(now):
        hour = now // HOUR
        base = 150.0 if 7 <= hour < 19 else 20.0
        burst = 2500.0 if hour % 2 == 0 and now % HOUR < 600 else 0.0
        flood = 6000.0 if 14 * HOUR <= now < 14 * HOUR + 900 else 0.0
        return (base + burst + flood) * noise[now // 60]

    return traffic


ENDS = [hour * HOUR + (900 if hour == 14 else 600) for hour in range(0, 24, 2)]
"""Of the bursts, and of the flood."""


@pytest.fixture(scope="module", params=SHRINKING)
def days(request) -> list[Day]:
    found = [played(bursty(seed), seed=seed, shrinking=request.param) for seed in SEEDS]
    for each in found:
        recovered = max(each.recovered_after(end) for end in ENDS)
        print(
            f"{request.param}: oldest record {each.worst_lag:.0f} s, recovered after {recovered:.0f} s, "
            f"{len(each.changes)} changes, {each.rebalances} rebalances, {each.most_tasks} tasks at most, "
            f"{each.task_hours:.0f} task hours"
        )
    return found


def test_bursts_are_followed_and_the_lag_is_recovered_within_what_is_stated(days):
    alone = played(bursty(0), most=1)
    worst, minutes, by_one, tasks = stated(
        "at the worst # s old, and no older than a minute # minutes after a burst (# s with one task alone), "
        "with # tasks at most"
    )
    assert alone.worst_lag >= by_one > 3 * HOUR, "one task alone does not do it"
    assert max(each.worst_lag for each in days) <= worst
    assert max(each.recovered_after(end) for each in days for end in ENDS) <= 60 * minutes
    assert max(each.most_tasks for each in days) <= tasks


def test_it_does_not_flap_and_its_rebalances_are_counted(days, request):
    assert [turn for each in days for turn in each.turns(SOON)] == []
    shrinking = request.node.callspec.params["days"]
    least, most, one_by_one = stated(
        "# to # rebalances a day where it takes them away at once, up to # where it takes one every ten minutes"
    )
    assert max(each.rebalances for each in days) <= {"in proportion": most, "one by one": one_by_one}[shrinking]
    assert min(each.rebalances for each in days) >= least
    assert max(each.minutes[-1].tasks for each in days) <= 2, "it goes back"


def test_tasks_that_come_and_go_by_scaling_tell_nobody_that_tasks_fail(days):
    """More start in a quarter of an hour than any number that would show one that fails again and again."""
    rule, alarm = (DOCUMENT["Resources"][name]["Properties"] for name in ("EndedRule", "RestartAlarm"))
    fewest = default(alarm["Threshold"]["Ref"])
    for each in days:
        before = [1, *(tasks for _, tasks in each.changes)]
        moves = [(at, tasks - had) for (at, tasks), had in zip(each.changes, before, strict=False)]
        started = [at for at, more in moves for _ in range(more)]
        gone = [at for at, more in moves for _ in range(-more)]
        assert most_within(alarm["Period"], started) > 6
        assert len(gone) > 100
        assert most_within(alarm["Period"], [at for at in gone if taken(rule, TAKEN_AWAY)]) < fewest


def test_from_nothing_to_a_flood_and_back_to_nothing():
    found = played(lambda now: 6000.0 if HOUR <= now < HOUR + 900 else 0.0, hours=4)
    (out, most), (back, least) = found.changes
    assert (most, least) == (12, 1), "one step out, in proportion, and one back"
    tasks, minutes, oldest = stated("all # tasks are asked for within # minutes, and the oldest record was # s old")
    assert tasks == most
    assert out - HOUR <= 60 * minutes, "three minutes above the target, and what CloudWatch takes"
    assert back > HOUR + 900 + 15 * 60, "fifteen minutes below it"
    assert found.worst_lag == oldest
    assert found.recovered_after(HOUR + 900) <= oldest


def hot(now):
    """For two hours more than a task does, nearly all of it on one partition."""
    return 900.0 if HOUR <= now < 3 * HOUR else 50.0


@pytest.mark.parametrize("shrinking", SHRINKING)
def test_a_hot_partition_is_not_helped_by_tasks_and_does_not_make_it_flap(shrinking):
    """Its backlog is a task's alone, so the average asks for all there may be, and keeps them until it is done."""
    found = played(hot, setting=HOT, hours=12, shrinking=shrinking)
    up = [tasks for at, tasks in found.changes if at < 3 * HOUR]
    assert up == sorted(up), "only ever more"
    assert up[-1] == 12
    down = [tasks for at, tasks in found.changes if at >= 3 * HOUR]
    assert down == sorted(down, reverse=True), "only ever fewer"
    assert down[-1] == 1
    assert found.turns(SOON) == []
    last_up, first_down = [at for at, _ in found.changes][len(up) - 1 : len(up) + 1]
    assert first_down - last_up > 3 * HOUR, "it keeps them meanwhile"
    alone = played(hot, most=1, setting=HOT, hours=12)
    assert found.worst_lag > 0.7 * alone.worst_lag, "eleven tasks more, and hardly sooner"
    assert "one partition alone has the backlog" in README


@pytest.mark.parametrize("shrinking", SHRINKING)
@pytest.mark.parametrize("rate", [400, 600, 700, 800, 900, 1600, 3000])
def test_where_traffic_is_even_it_finds_its_number_and_stays_there(rate, shrinking):
    """700 is what two tasks do at just their target, give or take the noise, and 800 at what makes more of them."""
    found = played(even(rate), shrinking=shrinking)
    print(f"{rate}/s: {found.changes}, oldest record {found.worst_lag:.0f} s")
    hours, at_once, one_by_one = stated(
        "within # hours of a start with one task, with # changes at most (# where it takes them one by one), "
        "and then none"
    )
    oldest, at_last, then, changes = stated(
        "at most # s old at the start, and at most # s after the first hour (# s at 3,000, where of 12 partitions on "
        "nine tasks three have two, and a tenth comes now and then: # changes at most)"
    )
    if rate == 3000:
        at_last, at_once, one_by_one = then, changes, changes
    assert len(found.changes) <= {"in proportion": at_once, "one by one": one_by_one}[shrinking]
    assert rate == 3000 or [at for at, _ in found.changes if at > hours * HOUR] == []
    assert found.turns(SOON) == []
    needed = math.ceil(rate / EVEN.rate / BUSY.target * 100)
    assert needed <= found.minutes[-1].tasks <= needed + 1
    assert found.worst_lag <= oldest
    assert max(each.lag for each in found.minutes if each.at > HOUR) <= at_last


def test_backlog_alone_would_take_away_what_is_needed_and_bring_it_back_all_day():
    """Where there are enough tasks there is no backlog: that is why there is a second policy."""
    found = played(even(900), policies=(BACKLOG,))
    assert len(found.changes) > 100
    assert max(each.lag for each in found.minutes if each.at > HOUR) > 100
    again = played(even(900))
    assert len(again.changes) < 10
    assert f"over {len(found.changes) // 10 * 10} changes a day at 900" in README


def test_how_busy_tasks_are_alone_would_take_them_from_a_backlog_that_is_one_partition_s():
    """Of twelve tasks eleven have nothing to do: that is why the first policy has to agree."""
    without = (BACKLOG._replace(scales_in=False), BUSY)
    assert len(played(hot, setting=HOT, hours=12, policies=without).turns(SOON)) > 50
    assert BACKLOG.scales_in
    assert BUSY.scales_in


def test_an_even_load_at_the_target_itself_would_make_it_flap_without_what_metric_math_does():
    plain = (BACKLOG, BUSY._replace(sees=float))
    assert len(played(even(700), policies=plain).changes) > 50
    seen = {value: BUSY.sees(value) for value in (0.0, 62.0, 70.0, 70.1, 80.0, 80.1, 100.0)}
    assert seen == {0.0: 0.0, 62.0: 62.0, 70.0: 70.0, 70.1: 70.0, 80.0: 70.0, 80.1: 80.1, 100.0: 100.0}


@pytest.mark.parametrize("shrinking", SHRINKING)
def test_load_that_comes_and_goes_over_a_day_is_followed_one_step_at_a_time(shrinking):
    """Between 100 and 2,500 events a second: tasks come before there is a backlog."""
    least, most, changes, oldest = stated(
        "a day between # and # events a second took # changes, and no record was older than # s"
    )
    middle, swing = (most + least) / 2, (most - least) / 2
    slow = noisy(lambda now: middle - swing * math.cos(2 * math.pi * now / (24 * HOUR)))
    found = played(slow, shrinking=shrinking)
    print(f"{found.changes}, oldest record {found.worst_lag:.0f} s, {found.task_hours:.0f} task hours")
    assert len(found.changes) == changes
    assert found.turns(SOON) == []
    assert found.worst_lag <= oldest
    assert found.most_tasks <= 8
    assert found.minutes[-1].tasks == 1


def test_the_ceiling_is_kept():
    assert played(lambda _: 5000.0, most=3, hours=3).most_tasks == 3


def test_tasks_beyond_the_partitions_are_idle_and_drag_the_average_down():
    """Three partitions: what the template says of MaxTasks."""
    few = EVEN._replace(shares=(1 / 3,) * 3)

    def flood(now):
        return 5000.0 if HOUR <= now < HOUR + 900 else 0.0

    assert played(flood, setting=few, hours=6).worst_lag == pytest.approx(
        played(flood, most=3, setting=few, hours=6).worst_lag, rel=0.1
    )
    assert "No more than partitions" in PARAMETERS["MaxTasks"]["Description"]


def test_it_never_goes_to_no_task_at_all_since_nobody_would_write_a_backlog_then():
    """Without data target tracking changes nothing: from none there would be no way back."""
    assert PARAMETERS["MinTasks"]["MinValue"] == 1
    nobody = day(BOTH, Bounds(0, 12), EVEN, lambda _: 5000.0, hours=2, first=0)
    assert nobody.changes == []


# -- what it is played with


def test_the_average_of_what_tasks_write_is_the_whole_by_their_number():
    """With one that is idle and one that is only starting, and partitions that are whole."""
    fleet = Fleet(EVEN, [BACKLOG.metric, BUSY.metric], random.Random(1), first=5)
    fleet.step(0, 0.0)
    assert [len(task.mine) for task in fleet.tasks] == [3, 3, 2, 2, 2]
    for number, log in enumerate(fleet.logs):
        log.come(0, 1_000.0 * (number + 1))
    fleet._setting = EVEN._replace(rate=0.0)
    fleet.resize(0, 6)
    fleet.tasks[-1].joins, fleet.tasks[-1].line_at = 1e9, 60.0
    for task, seconds in zip(fleet.tasks, (65.0, 6.5, 0.0, 0.0, 0.0, 0.0), strict=True):
        task.busy_seconds, task._began = seconds, 0.0
    for now in range(5, 65, 5):
        fleet.step(now, 0.0)
    assert fleet.points() == (pytest.approx(78_000 / 6), pytest.approx((100 + 10) / 6))
    assert fleet.points() == (None, None), "nothing was written since"


def test_a_task_is_as_busy_as_what_it_does_of_what_it_could():
    fleet = Fleet(EVEN, [BUSY.metric], random.Random(1), first=2)
    points = []
    for now in range(0, 600, 5):
        fleet.step(now, 300.0)
        if (now + 5) % 60 == 0:
            points.append(fleet.points()[0])
    assert points[3:] == [pytest.approx(30.0)] * len(points[3:])


def test_a_task_writes_nothing_in_its_first_minute():
    fleet = Fleet(EVEN, [BACKLOG.metric, BUSY.metric], random.Random(1), first=1)
    fleet.step(0, 0.0)
    assert fleet.points() == (None, None)


HIGH, LOW = 30_000.0, 8_999.0


class Alone:
    """What tracking by the backlog wants."""

    def __init__(self, **more):
        self._tracking = Tracking([BACKLOG], bounds(12), **more)

    def wanted(self, now, points, tasks):
        return self._tracking.wanted(now, [points], tasks)


def tracking(**more) -> Alone:
    return Alone(**more)


def test_more_tasks_come_after_three_minutes_in_a_row_above_the_target_in_proportion():
    assert OUT_PERIODS == 3
    assert tracking().wanted(0, [HIGH, HIGH], 2) == 2
    assert tracking().wanted(0, [HIGH, 10_000.0, HIGH, HIGH], 2) == 2
    assert tracking().wanted(0, [HIGH, None, HIGH, HIGH], 2) == 2
    assert tracking().wanted(0, [HIGH] * 3, 2) == 6
    assert tracking().wanted(0, [10_001.0] * 3, 2) == 3
    assert tracking().wanted(0, [10_000.0 * 99] * 3, 2) == 12


def test_fewer_tasks_come_after_fifteen_below_nine_tenths_of_it_and_never_for_want_of_data():
    assert IN_PERIODS == 15
    assert tracking().wanted(0, [LOW] * 14, 6) == 6
    assert tracking().wanted(0, [LOW] * 14 + [9_000.0], 6) == 6
    assert tracking().wanted(0, [None] * 30, 6) == 6
    assert tracking().wanted(0, [LOW] * 7 + [None] + [LOW] * 7, 6) == 6
    assert tracking().wanted(0, [LOW] * 15, 6) == 6, "rounded up: one fewer would be above the target"
    assert tracking().wanted(0, [4_000.0] * 15, 6) == 3
    assert tracking(shrinking="one by one").wanted(0, [4_000.0] * 15, 6) == 5
    assert tracking().wanted(0, [0.0] * 15, 6) == 1


def test_cooldowns():
    out = tracking()
    assert out.wanted(0, [HIGH] * 3, 2) == 6
    assert out.wanted(60, [HIGH] * 3, 6) == 6, "what was added counts as long as it lasts"
    assert out.wanted(120, [HIGH + 10_000] * 3, 6) == 8, "but for a larger step than that one"
    assert out.wanted(120 + BACKLOG.out_cooldown, [15_000.0] * 3, 8) == 12
    fewer = tracking()
    assert fewer.wanted(0, [4_000.0] * 15, 6) == 3
    assert fewer.wanted(BACKLOG.in_cooldown - 60, [0.0] * 15, 3) == 3
    assert fewer.wanted(BACKLOG.in_cooldown, [0.0] * 15, 3) == 1
    at_once = tracking()
    assert at_once.wanted(0, [4_000.0] * 15, 6) == 3
    assert at_once.wanted(60, [HIGH] * 3, 3) == 9, "a cooldown for fewer holds up no more"


OVER, UNDER = [90.0] * 15, [30.0] * 15
FEW, MANY = [4_000.0] * 15, [20_000.0] * 15


def wanted_by_both(backlog, busy, tasks=6, most=12, policies=BOTH) -> int:
    return Tracking(policies, bounds(most)).wanted(0, [backlog, busy], tasks)


def test_more_come_if_either_asks_for_them_and_the_larger_wish_wins():
    assert wanted_by_both(FEW, OVER) == 8
    assert wanted_by_both(MANY, UNDER) == 12
    assert wanted_by_both(MANY, OVER, most=99) == 12
    assert wanted_by_both([11_000.0] * 15, OVER) == 8
    assert wanted_by_both([None] * 15, OVER) == 8, "of one that has no data the other does not wait"


def test_fewer_come_if_both_agree_and_the_larger_wish_wins():
    assert wanted_by_both(FEW, UNDER) == 3
    assert wanted_by_both([0.0] * 15, UNDER) == 3
    assert wanted_by_both([8_000.0] * 15, UNDER) == 5
    assert wanted_by_both(FEW, [65.0] * 15) == 6
    assert wanted_by_both([9_500.0] * 15, UNDER) == 6
    assert wanted_by_both([None] * 15, UNDER) == 6


def test_one_whose_scale_in_is_disabled_is_not_asked():
    disabled = (BACKLOG._replace(scales_in=False), BUSY)
    assert wanted_by_both([9_500.0] * 15, UNDER, policies=disabled) == 3
    assert wanted_by_both(MANY, UNDER, policies=disabled) == 12
    assert wanted_by_both(MANY, UNDER, policies=disabled, tasks=12) == 6, "it has all it can have"
    neither = tuple(each._replace(scales_in=False) for each in BOTH)
    assert wanted_by_both([0.0] * 15, [0.0] * 15, policies=neither) == 6
