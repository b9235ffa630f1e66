"""What the judge lets pass, and why: few things, each of which must be needed, or a test says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from recorded_calls.judging import Judge
from recorded_calls.roles import BUCKET, EFS, KEY, KEY_ARN, QUEUE, READS_ONLY, SERVICE
from support.policies import Call
from support.template_grants import Place, Placed

TAIL = "tail"
"""Who asks in the tests of that command; it is the poller to AWS."""


class Silent(NamedTuple):
    """A grant that nothing of ours calls for."""

    template: str
    policy: str
    action: str
    resource: str


def _all_of(template: str, policy: str, actions: tuple[str, ...], resource: str, why: str) -> dict[Silent, str]:
    return {Silent(template, policy, action, resource): why for action in actions}


_EXEC = tuple(f"ssmmessages:{each}{kind}Channel" for each in ("Create", "Open") for kind in ("Control", "Data"))
_MOUNT = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
_FILES = f"arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/{EFS}"
_KEYS = ("kms:Decrypt", "kms:GenerateDataKey")
NEVER_CALLED = {
    **_all_of(
        SERVICE,
        "OperatorPolicy",
        _EXEC,
        "*",
        "the agent of ECS Exec asks with the task's role where people come in; nothing of ours does",
    ),
    **_all_of(
        SERVICE,
        "EfsPolicy",
        _MOUNT,
        _FILES,
        "ECS mounts the file system, with the task's role; the poller only sees a directory",
    ),
    **_all_of(
        QUEUE,
        KEY,
        _KEYS,
        KEY_ARN,
        "SQS asks KMS in the name of who sends (both) or receives (Decrypt): no request of ours shows it",
    ),
    **_all_of(
        BUCKET,
        KEY,
        _KEYS,
        KEY_ARN,
        "S3 asks KMS in the name of who puts (GenerateDataKey) or gets (Decrypt): no request of ours shows it",
    ),
}
"""What is granted without a call of ours, and why. Another action or resource beside these has to be called for."""


def to_be_called(grants: Iterable[Placed]) -> list[Place]:
    """The places of what somebody of ours has to call for."""
    return sorted(each.place for each in grants if silent(each) not in NEVER_CALLED)


def silent(each: Placed) -> Silent:
    """As an exception names it."""
    return Silent(each.place.template, each.place.policy, each.grant.action, each.grant.resource)


NOT_ALLOWED = {
    "who am I": "sts:GetCallerIdentity, after a broker has refused a token: AWS asks for no right for it",
    "where is it": "botocore asks where a bucket lies, told that it is elsewhere; refused, the error is the same",
    "tail's group": "a client that only reads asks who coordinates NAME-tail, and never joins it; refused, it reads on",
    "people's topic": "people read letters from a topic by a role of their own: the table in dead-letters/README.md",
}
"""Calls that no template allows, and why."""


def excepted(by: str, call: Call) -> str | None:
    """By which exception a call need not be allowed."""
    match by, call:
        case _, Call("sts:GetCallerIdentity", "*"):
            return "who am I"
        case "poller", Call("s3:ListBucket", _, None, "s3:HeadBucket"):
            return "where is it"
        case "tail" | "dead-letters", Call("kafka-cluster:DescribeGroup", group) if group.endswith(READS_ONLY):
            return "tail's group"
        case "dead-letters", Call(action) if action.startswith("kafka-cluster:"):
            return "people's topic"
    return None


def wrong(judge: Judge, without: tuple[Place, ...] = ()) -> list[str]:
    """What is called and not allowed, but for the exceptions."""
    return sorted(
        f"{account.by} in {account.test}: {call}"
        for account, call in judge.refused(without)
        if excepted(account.by, call) is None
    )
