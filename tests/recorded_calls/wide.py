"""What the templates grant on more than one thing, and why it cannot be less. No action is granted by a pattern."""

from __future__ import annotations

from recorded_calls.roles import BUCKET, MACHINES, QUEUE, SERVICE
from support.template_rights import Written, written

TEMPLATES = (SERVICE, MACHINES, QUEUE, BUCKET)
Wide = tuple[str, Written]
"""The template, and what stands in it."""
_ARN, _HERE = "arn:${AWS::Partition}:", "${AWS::Region}:${AWS::AccountId}:"
_NO_ARN = "a record names a schema's version by UUID: there is no ARN of a schema to ask with"
_BELOW = "letters lie below a prefix, in a folder for each action and day"


def _wide(
    template: str, policy: str, actions: tuple[str, ...], resource: str, why: str, prefix: str | None = None
) -> dict[Wide, str]:
    return {(template, Written(policy, action, resource, prefix)): why for action in actions}


WIDE: dict[Wide, str] = {
    **_wide(SERVICE, "GluePolicy", ("glue:GetSchemaVersion",), "*", _NO_ARN),
    **_wide(MACHINES, "Rights", ("glue:GetSchemaVersion",), "*", _NO_ARN),
    **_wide(
        SERVICE,
        "OperatorPolicy",
        tuple(f"ssmmessages:{each}{kind}Channel" for each in ("Create", "Open") for kind in ("Control", "Data")),
        "*",
        "these actions have no resources",
    ),
    **_wide(SERVICE, "LaunchPolicy", ("ecr:GetAuthorizationToken",), "*", "a token for the registry has no resource"),
    **_wide(
        SERVICE,
        "LaunchPolicy",
        ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
        f"{_ARN}ecr:{_HERE}repository/*",
        "without RepositoryArn: any repository of the account and region",
    ),
    **_wide(
        SERVICE,
        "ProtectionPolicy",
        ("ecs:UpdateTaskProtection",),
        f"{_ARN}ecs:{_HERE}task/${{ClusterName}}/*",
        "a task protects itself by an id that nobody knows before, and the service is not in it",
    ),
    **_wide(BUCKET, "WriterPolicy", ("s3:PutObject",), "${Bucket.Arn}/${Prefix}*", _BELOW),
    **_wide(
        BUCKET,
        "RedriverPolicy",
        ("s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
        "${Bucket.Arn}/${Prefix}*",
        _BELOW,
    ),
    **_wide(BUCKET, "RedriverPolicy", ("s3:ListBucket",), "${Bucket.Arn}", _BELOW, prefix="${Prefix}*"),
    **_wide(
        MACHINES,
        "Rights",
        ("s3:ListBucket",),
        f"{_ARN}s3:::${{FilesBucket}}",
        "a machine takes all files below its prefix when it starts",
        prefix="${FilesPrefix}/*",
    ),
    **_wide(
        MACHINES,
        "Rights",
        ("s3:GetObject",),
        f"{_ARN}s3:::${{FilesBucket}}/${{FilesPrefix}}/*",
        "a machine takes all files below its prefix when it starts",
    ),
    **_wide(
        MACHINES,
        "Rights",
        ("autoscaling:CompleteLifecycleAction",),
        f"{_ARN}autoscaling:{_HERE}autoScalingGroup:*:autoScalingGroupName/${{GroupName}}",
        "the ARN of a group has a UUID that nobody knows before it is made",
    ),
    **_wide(
        MACHINES,
        "Rights",
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        f"{_ARN}logs:{_HERE}log-group:/datahub-poller/${{GroupName}}:*",
        "one stream for each file of each machine, in the group of logs that is theirs",
    ),
}


def wide() -> set[Wide]:
    """What is granted on more than one thing; of a bucket's keys, also where nothing is said of them."""
    return {
        (template, each)
        for template in TEMPLATES
        for each in written(template)
        if each.wild or (each.action == "s3:ListBucket" and each.prefix is None)
    }
