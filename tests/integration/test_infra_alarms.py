"""infra/ecs: when people are told, value by value, and what stops a deployment that fails.

That the metrics are published is judged in `test_infra_ecs.py`; that scaling tells nobody, in `test_infra_scaling.py`.
"""

from __future__ import annotations

import pytest
from cfnlint.decode import decode

from support.ecs_events import BY_A_PERSON, EXITED, NOT_STARTED, TAKEN_AWAY, UNHEALTHY, most_within, taken
from support.templates import INFRA, settled

DOCUMENT, _ = decode(str(INFRA / "ecs" / "service.yaml"))
TOPIC = {"AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms"}
TOLD = [{"Ref": "AlarmTopicArn"}]
RESOURCES = settled(DOCUMENT, TOPIC)["Resources"]
OURS = ("DatahubPoller", [{"Name": "Action", "Value": {"Ref": "ActionName"}}])
OF_ECS = ("AWS/Events", [{"Name": "RuleName", "Value": {"Ref": "EndedRule"}}])
RESTART = RESOURCES["RestartAlarm"]["Properties"]


def alarm(of, metric, statistic, times, comparison, threshold, missing, **more):
    namespace, dimensions = of
    period, periods = times
    return {
        "Namespace": namespace,
        "MetricName": metric,
        "Dimensions": dimensions,
        "Statistic": statistic,
        "Period": period,
        "EvaluationPeriods": periods,
        "ComparisonOperator": comparison,
        "Threshold": threshold,
        "TreatMissingData": missing,
        "AlarmActions": TOLD,
        "OKActions": TOLD,
        **more,
    }


ABOVE, FROM, BELOW = "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold"
LETTERS = "OnFailureDestinationDeliveredEventCount"
ALARMS = {
    "LagAlarm": alarm(
        OURS, "MaxLagSeconds", "Maximum", (60, 5), ABOVE, {"Ref": "LagSecondsAlarm"}, "ignore", DatapointsToAlarm=5
    ),
    "DeadLetterAlarm": alarm(OURS, LETTERS, "Sum", (300, 1), ABOVE, 0, "notBreaching"),
    "StuckAlarm": alarm(OURS, "StuckPartitions", "Maximum", (60, 2), ABOVE, 0, "notBreaching"),
    "RestartAlarm": alarm(OF_ECS, "TriggeredRules", "Sum", (900, 1), FROM, {"Ref": "RestartsAlarm"}, "notBreaching"),
    "SilenceAlarm": alarm(OURS, "AssignedPartitions", "SampleCount", (60, 5), BELOW, 1, "breaching"),
}
"""Lag stays what it was while nobody writes it; silence is just that nobody writes."""


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_goes_off_when_the_page_says_and_tells_people(name):
    properties = {key: each for key, each in RESOURCES[name]["Properties"].items() if key != "AlarmDescription"}
    assert properties == ALARMS[name]


def test_there_are_no_other_alarms_and_without_a_topic_they_tell_nobody():
    silent = {
        name: each["Properties"]
        for name, each in settled(DOCUMENT, {})["Resources"].items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert silent.keys() == ALARMS.keys()
    assert [each["AlarmActions"] + each["OKActions"] for each in silent.values()] == [[]] * len(ALARMS)


def test_the_parameters_of_alarms_have_the_defaults_that_the_page_explains():
    defaults = {name: DOCUMENT["Parameters"][name]["Default"] for name in ("LagSecondsAlarm", "RestartsAlarm")}
    assert defaults == {"LagSecondsAlarm": 900, "RestartsAlarm": 3}


def test_a_deployment_that_fails_is_stopped_and_goes_back_and_no_task_goes_before_another_has_come():
    assert RESOURCES["Service"]["Properties"]["DeploymentConfiguration"] == {
        "MinimumHealthyPercent": 100,
        "MaximumPercent": 200,
        "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
    }


# -- tasks that fail

RULE = RESOURCES["EndedRule"]["Properties"]


@pytest.mark.parametrize(
    ("stop", "counts"),
    [(EXITED, True), (NOT_STARTED, True), (UNHEALTHY, True), (TAKEN_AWAY, False), (BY_A_PERSON, False)],
)
def test_a_task_that_fails_is_told_and_one_that_is_taken_away_is_not(stop, counts):
    assert taken(RULE, stop) is counts


@pytest.mark.parametrize(
    "other", [{"group": "service:another"}, {"clusterArn": "arn:other"}, {"lastStatus": "RUNNING"}]
)
def test_another_service_s_tasks_and_those_that_still_run_are_not_counted(other):
    assert not taken(RULE, EXITED, **other)


def test_they_are_counted_also_where_nobody_is_told_of_each():
    """The alarm goes by the rule, and shows in the console."""
    rules = [settled(DOCUMENT, given)["Resources"]["EndedRule"]["Properties"] for given in ({}, TOPIC)]
    assert [rule.get("Targets") for rule in rules] == [None, [{"Id": "people", "Arn": {"Ref": "AlarmTopicArn"}}]]
    assert rules[0]["EventPattern"] == rules[1]["EventPattern"]


def goes_off(stops):
    """Whether RestartAlarm does, of the times at which tasks stopped and how."""
    counted = [at for at, stop in stops if taken(RULE, stop)]
    return most_within(RESTART["Period"], counted) >= DOCUMENT["Parameters"]["RestartsAlarm"]["Default"]


def test_one_task_that_fails_again_and_again_sets_the_alarm_off_however_it_fails():
    """A start takes 75 s; brokers that are not reached end it 60 s later, and a hang after three checks."""
    for stop, every in ((EXITED, 75 + 60), (UNHEALTHY, 75 + 3 * 15 + 40), (NOT_STARTED, 240)):
        assert goes_off([(number * every, stop) for number in range(8)])


def test_a_task_that_fails_once_an_hour_or_twice_in_a_row_does_not():
    assert not goes_off([(hour * 3600 + later, EXITED) for hour in range(24) for later in (0, 140)])


def test_an_upgrade_of_the_page_s_six_tasks_and_back_again_does_not():
    """All of them go twice within minutes, and as many start."""
    assert not goes_off([(minute * 60, TAKEN_AWAY) for minute in (2, 8) for _ in range(6)])
