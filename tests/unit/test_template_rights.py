"""What the templates of `infra` grant, as it stands there: no patterns but for a few with reasons, and nothing unread.

That each grant is called for is judged by a recording, in `recorded_calls`.
"""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from recorded_calls.exceptions import NEVER_CALLED, silent, to_be_called
from recorded_calls.roles import BUCKET, MACHINES, QUEUE, SERVICE, TASK_ROLE, all_grants
from recorded_calls.wide import TEMPLATES, WIDE, wide
from support import template_rights
from support.policies import wild
from support.template_rights import document_of, unread, written
from support.templates import INFRA


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Changes a template's text for everybody who reads it; `INFRA` itself stays as it is."""

    def change(template, old, new):
        for each in TEMPLATES:
            (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(INFRA / each, tmp_path / each)
        text = (tmp_path / template).read_text()
        assert text.count(old) >= 1
        (tmp_path / template).write_text(text.replace(old, new, 1))
        monkeypatch.setattr(template_rights, "INFRA", tmp_path)

    return change


def test_all_templates_are_looked_at():
    found = {path for path in INFRA.rglob("*.yaml") if "AWSTemplateFormatVersion" in path.read_text()}
    assert {INFRA / template for template in TEMPLATES} == found


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_action_is_a_pattern(template):
    granted = list(written(template))
    assert granted
    assert [each for each in granted if wild(each.action)] == []


def test_what_is_granted_on_more_than_one_thing_has_a_reason_and_no_reason_is_left_over():
    assert wide() == WIDE.keys()


@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_gives_rights_beside_the_policies_that_are_judged(template):
    assert unread(template) == []


def test_what_nobody_calls_for_is_granted():
    assert {silent(each) for each in all_grants()} >= NEVER_CALLED.keys()


def test_no_condition_grants_what_the_judge_does_not_see():
    """It takes one set of parameters, by which everything is granted; both sides of each condition are no more."""
    judged = Counter((each.place.template, each.place.policy, each.place.action) for each in all_grants())
    roles = {
        name: each["Properties"].get("Roles")
        for template in TEMPLATES
        for name, each in document_of(template)["Resources"].items()
    }
    assert judged == Counter(
        (template, each.policy, each.action)
        for template in (SERVICE, QUEUE, BUCKET)
        for each in written(template)
        if template != SERVICE or {"Ref": TASK_ROLE} in roles[each.policy]
    )


def test_a_machine_may_do_on_brokers_and_at_glue_what_a_task_may():
    """The recording is judged by the task's role; a machine's is this one."""

    def on(template):
        services = ("glue:", "kafka-cluster:")
        return {
            (each.action, each.resource.replace("${Name}", "${Group}"))
            for each in written(template)
            if each.action.startswith(services)
        }

    assert on(MACHINES) == on(SERVICE)


BUCKETS_KEY = "            Action: [kms:Decrypt, kms:GenerateDataKey]\n            Resource: !Ref KmsKeyArn"


@pytest.mark.parametrize(
    ("template", "old", "new"),
    [
        (SERVICE, "glue:GetSchemaVersion", "glue:*"),
        (SERVICE, "[kafka-cluster:DescribeTopic, kafka-cluster:ReadData]", "kafka-cluster:*"),
        (SERVICE, "[elasticfilesystem:ClientMount, elasticfilesystem:ClientWrite]", "elasticfilesystem:*"),
        (SERVICE, "ssmmessages:CreateControlChannel", "ssmmessages:?reateControlChannel"),
        (SERVICE, "Action: s3:GetObject", "Action: s3:Get*"),
        (SERVICE, "task/${ClusterName}/*", "task/*"),
        (SERVICE, 'Action: "sts:AssumeRole", Resource: !Ref AssumeRoleArns', 'Action: "sts:AssumeRole", Resource: "*"'),
        (SERVICE, "file-system/${EfsFileSystemId}", "file-system/*"),
        (SERVICE, "!GetAtt Logs.Arn", '"*"'),
        (MACHINES, 'Action: "glue:GetSchemaVersion"', 'Action: "glue:Get*"'),
        (MACHINES, "log-group:/datahub-poller/${GroupName}:*", "*"),
        (MACHINES, 'Condition: {StringLike: {"s3:prefix": !Sub "${FilesPrefix}/*"}}', ""),
        (QUEUE, "[sqs:GetQueueAttributes, sqs:SendMessage]", '"sqs:*"'),
        (QUEUE, "- sqs:DeleteMessage", "- sqs:Delete*"),
        (QUEUE, "Resource: !Ref KmsKeyArn", 'Resource: "*"'),
        (BUCKET, "s3:PutObject", '"s3:*"'),
        (BUCKET, "${Bucket.Arn}/${Prefix}*", "${Bucket.Arn}/*"),
        (BUCKET, '"s3:prefix": !Sub "${Prefix}*"', '"s3:prefix": "*"'),
        (BUCKET, BUCKETS_KEY, BUCKETS_KEY.replace("!Ref KmsKeyArn", '[!Ref KmsKeyArn, "*"]')),
        (BUCKET, "    Default: dead-letters/", '    Default: "*"'),
    ],
)
def test_a_policy_that_is_widened_by_a_pattern_fails(template, old, new, changed):
    changed(template, old, new)
    assert wide() != WIDE.keys()


@pytest.mark.parametrize(
    ("template", "old", "new", "action"),
    [
        (SERVICE, "[elasticfilesystem:ClientMount,", "[elasticfilesystem:ClientRootAccess,", "ClientRootAccess"),
        (SERVICE, "- ssmmessages:OpenDataChannel", "- ssm:GetParameters", "ssm:GetParameters"),
        (SERVICE, "file-system/${EfsFileSystemId}", "file-system/fs-2", "elasticfilesystem:ClientMount"),
        (QUEUE, "[kms:Decrypt, kms:GenerateDataKey]", "[kms:Decrypt, kms:Encrypt]", "kms:Encrypt"),
        (BUCKET, "[kms:Decrypt, kms:GenerateDataKey]", "[kms:Decrypt, kms:Encrypt]", "kms:Encrypt"),
        (BUCKET, "Resource: !Ref KmsKeyArn", "Resource: arn:aws:kms:us-east-1:123456789012:key/2", "kms:Decrypt"),
    ],
)
def test_what_is_added_to_a_policy_that_nobody_calls_for_has_to_be_called_for(template, old, new, action, changed):
    assert not any(action in each.action for each in to_be_called(all_grants()))
    changed(template, old, new)
    assert any(action in each.action for each in to_be_called(all_grants()))
    assert not {silent(each) for each in all_grants()} >= NEVER_CALLED.keys(), "an exception is left over"


ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.mark.parametrize(
    ("template", "old", "new", "name"),
    [
        (SERVICE, "!If [HasLetterPolicies, !Ref DeadLetterPolicyArns, !Ref AWS::NoValue]", f"[{ADMIN}]", TASK_ROLE),
        (SERVICE, "!Ref DeadLetterPolicyArns, !Ref AWS::NoValue]", f"!Ref DeadLetterPolicyArns, {ADMIN}]", TASK_ROLE),
        (SERVICE, "Description: What the poller and its handler may do.", "Policies: [] #", TASK_ROLE),
        (SERVICE, "Roles: [!Ref TaskRole]", "Roles: [!Ref TaskRole, other]", "GluePolicy"),
        (SERVICE, "Principal: {Service: ecs-tasks.amazonaws.com}", 'Principal: "*"', "ExecutionRole"),
        (SERVICE, "Type: AWS::IAM::Policy", "Type: AWS::IAM::RolePolicy", "LaunchPolicy"),
        (QUEUE, "Effect: Deny", "Effect: Allow", "OnlyEncryptedConnections"),
        (BUCKET, "Description: What a poller needs to write", "Roles: [other] #", "WriterPolicy"),
    ],
)
def test_rights_that_are_given_another_way_are_seen(template, old, new, name, changed):
    changed(template, old, new)
    (found,) = unread(template)
    assert found.startswith(f"{name}: ")
