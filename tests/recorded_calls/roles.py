"""Who needs which role: the templates' parameters as they belong to the calls of one test, and what the roles grant.

Each test is an account of its own, with the queues, buckets, topics and roles that its calls name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from kafka import asks
from support.policies import Call
from support.recorded_calls import FILE, PERSON
from support.template_grants import Placed, placed, policies

SERVICE, QUEUE, BUCKET = "ecs/service.yaml", "dead-letters/queue.yaml", "dead-letters/bucket.yaml"
MACHINES = "ec2/group.yaml"
TASK_ROLE, WRITER, REDRIVER, KEY = "TaskRole", "WriterPolicy", "RedriverPolicy", "KeyPolicy"
ROUTES = {"MclTopic": "mcl-", "MclTimeseriesTopic": "mcl-timeseries-", "PlatformEventTopic": "pe-"}
"""What the tests' names of the topics begin with, by the template's parameters."""
READS_ONLY = "-tail"
"""How the name of a group ends that nobody joins: a client that only reads, and commits nothing, needs one."""
_PREFIX = re.compile(r"(?:(.*?)/)?(?:action=[^/]*/.*|\.check)", re.DOTALL)
KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/1"
EFS = "fs-1"
EVERYTHING = {
    "MskClusterArn": asks.CLUSTER,
    "DeadLetterTopic": "letters",
    "AssumeRoleArns": "arn:aws:iam::210987654321:role/reader",
    "ScaleInProtection": "true",
    "ActionFileBucket": "files",
    "ActionFileKey": "action.yaml",
    "EfsFileSystemId": EFS,
    "EfsAccessPointId": "fsap-1",
    "OperatorAccess": "true",
}
"""A service with all that gives it a right."""


def all_grants() -> list[Placed]:
    """Everything that the three templates can grant to a poller or to people."""
    key = {"KmsKeyArn": KEY_ARN}
    return [
        *placed(SERVICE, policies(SERVICE, EVERYTHING, TASK_ROLE)),
        *placed(QUEUE, policies(QUEUE, {"QueueName": "letters", **key})),
        *placed(BUCKET, policies(BUCKET, {"BucketName": "letters", **key})),
    ]


def role(by: str, calls: Collection[Call]) -> list[Placed]:
    """What the role of who made these calls grants in an account where all that they name is there."""
    policy = REDRIVER if by == PERSON else WRITER
    own = [] if by == PERSON else list(placed(SERVICE, policies(SERVICE, _service(by, calls), TASK_ROLE)))
    return [*own, *_places(calls, policy)]


def _places(calls: Collection[Call], policy: str) -> Iterator[Placed]:
    for arn in sorted({call.resource for call in calls if call.action.startswith("sqs:")}):
        region, _, name = arn.split(":")[3:6]
        given = {"QueueName": name.removesuffix(".fifo"), "Fifo": str(name.endswith(".fifo")).lower()}
        yield from placed(QUEUE, {policy: policies(QUEUE, {**given, "AWS::Region": region})[policy]})
    for bucket, prefix in sorted({_kept(call) for call in calls if _is_letters(call)}):
        given = {"BucketName": bucket, "Prefix": prefix}
        yield from placed(BUCKET, {policy: policies(BUCKET, given)[policy]})


def _is_letters(call: Call) -> bool:
    return call.action.startswith("s3:") and _PREFIX.fullmatch(_key(call)) is not None


def _kept(call: Call) -> tuple[str, str]:
    """The bucket of letters and `dead_letter.config.prefix`, as the template has it."""
    found = _PREFIX.fullmatch(_key(call))
    assert found is not None
    return call.resource.removeprefix("arn:aws:s3:::").partition("/")[0], f"{found[1]}/" if found[1] else ""


def _key(call: Call) -> str:
    """An object's key, or what the keys that are listed begin with."""
    return call.resource.removeprefix("arn:aws:s3:::").partition("/")[2] if call.prefix is None else call.prefix


def _service(by: str, calls: Collection[Call]) -> dict[str, str]:
    """The service's parameters; each has one value, so that who names two of a kind is not allowed the second."""

    def of(*actions: str) -> list[str]:
        return sorted({call.resource for call in calls if call.action in actions})

    given = {"SchemaRegistryUrl": "" if of("glue:GetSchemaVersion") else "https://registry.example.org"}
    given["AssumeRoleArns"] = ",".join(of("sts:AssumeRole"))
    if of(asks.CONNECT):
        given["MskClusterArn"] = asks.CLUSTER
        # A poller that does not start asks about its group and its topics, and neither joins nor reads nor writes.
        groups = of("kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup")
        given["ActionName"] = asks.name_in([*(each for each in groups if not each.endswith(READS_ONLY)), "nobody"][0])
        letters = of("kafka-cluster:WriteData", "kafka-cluster:DescribeTopicDynamicConfiguration")
        given["DeadLetterTopic"] = asks.name_in([*letters, ""][0])
        read = [asks.name_in(each) for each in of("kafka-cluster:ReadData", "kafka-cluster:DescribeTopic")]
        given |= {
            name: [*(each for each in read if re.fullmatch(f"{begin}[0-9a-f]+", each)), begin][0]
            for name, begin in ROUTES.items()
        }
    if tasks := of("ecs:UpdateTaskProtection"):
        given |= {"ScaleInProtection": "true", "ClusterName": tasks[0].split("/")[1]}
    if by == FILE and (files := of("s3:GetObject")):
        bucket, _, key = files[0].removeprefix("arn:aws:s3:::").partition("/")
        given |= {"ActionFileBucket": bucket, "ActionFileKey": key}
    return given
