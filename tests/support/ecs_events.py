"""What ECS tells EventBridge of tasks that have stopped, and the alarm of a template that counts some of them.

Pure. Whether a rule takes an event is the emulator's word; codes and reasons are ECS's own.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from moto.events.models import EventPattern


class Stop(NamedTuple):
    """`stopCode` and `stoppedReason` of a task."""

    code: str
    reason: str


TAKEN_AWAY: Final = Stop("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/1234567890)")
"""By scaling, or by a deployment when its own tasks run."""
BY_A_PERSON: Final = Stop("UserInitiated", "Task stopped by user")
UNHEALTHY: Final = Stop("ServiceSchedulerInitiated", "Task failed container health checks")
EXITED: Final = Stop("EssentialContainerExited", "Essential container in task exited")
NOT_STARTED: Final = Stop(
    "TaskFailedToStart", "CannotPullContainerError: pull image manifest has been retried 1 time(s)"
)

VALUES: Final = {
    "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:cluster/${ClusterName}": "arn:cluster",
    "service:${Service.Name}": "service:datahub-poller-tag-sync",
}
"""Of what the template puts together."""


def taken(rule: Mapping[str, Any], stop: Stop, **more: str) -> bool:
    """Whether a rule of the template takes the event of a task that has stopped so. `more` is of its detail."""
    detail = {
        "clusterArn": "arn:cluster",
        "group": "service:datahub-poller-tag-sync",
        "lastStatus": "STOPPED",
        "stopCode": stop.code,
        "stoppedReason": stop.reason,
        **more,
    }
    event = {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail}
    pattern = _filled(rule["EventPattern"])
    matches: bool = EventPattern(json.dumps(pattern), pattern).matches_event(event)  # type: ignore[arg-type]  # a part of one
    return matches


def most_within(seconds: float, times: Iterable[float]) -> int:
    """How many of these fall into a window of this length, wherever it begins."""
    found = sorted(times)
    return max((sum(begin <= each < begin + seconds for each in found) for begin in found), default=0)


def _filled(value: Any) -> Any:
    match value:
        case {"Fn::Sub": text}:
            return VALUES[text]
        case dict():
            return {key: _filled(item) for key, item in value.items()}
        case list():
            return [_filled(item) for item in value]
    return value
