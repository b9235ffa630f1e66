"""What the judge lets pass, and why: few things, each of which must be needed, or a test says so."""

from __future__ import annotations

from recorded_calls.judging import Judge
from recorded_calls.roles import BUCKET, KEY, QUEUE, READS_ONLY, SERVICE
from support.policies import Call
from support.template_grants import Place

TAIL = "tail"
"""Who asks in the tests of that command; it is the poller to AWS."""
NEVER_CALLED = {
    (
        SERVICE,
        "OperatorPolicy",
    ): "the agent of ECS Exec asks with the task's role where people come in; nothing of ours does",
    (SERVICE, "EfsPolicy"): "ECS mounts the file system, with the task's role; the poller only sees a directory",
    (QUEUE, KEY): "SQS asks KMS in the name of who sends or receives: no request of ours shows it",
    (BUCKET, KEY): "S3 asks KMS in the name of who puts or gets: no request of ours shows it",
}
"""Policies that are granted without a call of ours, and why."""
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
