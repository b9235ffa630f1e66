"""infra/README.md from an empty account on: its commands as a person types them, against an emulator of AWS."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cfnlint.decode import decode

from datahub_poller.config import load
from support.commands import SOURCES, ran
from support.moto_server import MotoServer
from support.pages import commands, every_command, played

pytestmark = [pytest.mark.timeout(180), pytest.mark.deep]
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "infra" / "README.md"
DEPLOY = "aws cloudformation deploy --stack-name tag-sync --template-file infra/ecs/service.yaml"
AGAIN = f"{DEPLOY} --capabilities CAPABILITY_IAM"
FIRST = f"{AGAIN} --disable-rollback"
NOT_HERE = {
    f'{AGAIN} --parameter-overrides ImageUri="$REPOSITORY:1"': "the emulator does not change a stack twice; it is the "
    "upgrade's command with the tag before",
    "make image": "takes minutes; the image is built in test_infra_image.py",
    "docker build": "no container engine; the same two lines are built in test_infra_image.py",
    "docker run": "no container engine; the action file is checked below",
    "docker compose": "no container engine; the file is held against Compose's schema in test_infra_compose.py, its "
    "programs run there, and Prometheus' grammar reads the dashboard in tests/unit/test_infra_files.py",
    "docker push": "no container engine, and no repository that takes an image",
    "aws ecr get-login-password": "no container engine, and a command of the AWS command line, not of its API",
    "aws logs tail": "a command of the AWS command line, not of its API",
}
"""Commands that are not run, and why."""


def run_here(command: str) -> bool:
    return not command.startswith(tuple(NOT_HERE))


@pytest.fixture
def moto_server(tmp_path_factory):
    """An account of its own for each test, since names on the page are fixed."""
    with MotoServer(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def yours(aws):
    """What the page takes for given, on the emulator."""
    ec2 = aws.client("ec2", "eu-west-1")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    brokers = ec2.create_security_group(GroupName="brokers", Description="brokers", VpcId=vpc["VpcId"])["GroupId"]
    return {
        "VPC": vpc["VpcId"],
        "SUBNETS": f"{subnets[0]['SubnetId']},{subnets[1]['SubnetId']}",
        "BROKERS_GROUP": brokers,
    }


@pytest.fixture
def play(yours, moto_server, tmp_path):
    """Runs commands of the page in a directory, behind those that say what is yours."""
    environ = {name: it for name, it in moto_server.environment().items() if not name.endswith("_REGION")}

    def played_here(directory, *commands):
        given, others = split([command for command in commands if run_here(command)], 4)
        mine = [f"export {name}={value}" for name, value in yours.items()]
        return played(directory, [*given, *mine, *others], {**environ, "AWS_ENDPOINT_URL": moto_server.url})

    return played_here


def test_from_an_empty_account_to_a_service(aws, play, yours, tmp_path):
    ec2, brokers = aws.client("ec2", "eu-west-1"), yours["BROKERS_GROUP"]
    printed, said = play(tmp_path, *commands(PAGE))
    assert re.search(r"^\S+\t\d+$", printed, re.MULTILINE), "how far the deployment is"
    (group,) = ec2.describe_security_groups(GroupIds=[brokers])["SecurityGroups"]
    assert [each["FromPort"] for each in group["IpPermissions"]] == [9098]
    assert said["LETTERS"].startswith("arn:aws:iam::")
    people_are_told(aws, said["ALARMS"])
    action = load(tmp_path / "action.yaml", {})
    assert action.dead_letter.config.queue == said["QUEUE"]
    assert action.source.config.connection.auth.type == "msk-iam"
    assert action.metrics.emf
    (stack,) = aws.client("cloudformation", "eu-west-1").describe_stacks(StackName="tag-sync")["Stacks"]
    kept = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert kept["ImageUri"] == f"{said['REPOSITORY']}:2", "upgraded"
    assert kept["AlarmTopicArn"] == said["ALARMS"]
    assert kept["ActionName"] == "tag-sync", "and what was not given is as it was"
    assert (tmp_path / "my-handler/Dockerfile").read_text() == "FROM datahub-poller\nCOPY tag_sync.py /handlers/\n"
    checked = ran("check", "--offline", "-c", "action.yaml", cwd=tmp_path, environ={"PYTHONPATH": handlers(tmp_path)})
    assert checked.code == 0, checked.all


def people_are_told(aws, topic):
    """Of alarms by CloudWatch, of tasks and deployments that fail by EventBridge, as the topic's policy lets them."""
    sns, rules = aws.client("sns", "eu-west-1"), aws.client("events", "eu-west-1")
    (subscribed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert subscribed["Protocol"] == "email"
    policy = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    alarms, events = policy["Statement"]
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert "Condition" not in events, "EventBridge has nothing to hold against one, and would be kept out"
    services = [each["Principal"]["Service"] for each in policy["Statement"]]
    assert services == ["cloudwatch.amazonaws.com", "events.amazonaws.com"]
    assert {(each["Action"], each["Resource"]) for each in policy["Statement"]} == {("sns:Publish", topic)}
    targets = [rules.list_targets_by_rule(Rule=rule["Name"])["Targets"] for rule in rules.list_rules()["Rules"]]
    assert [[each["Arn"] for each in those] for those in targets] == [[topic]] * 2


def test_taken_away_it_can_be_made_again_when_its_log_has_gone_too(aws, play, tmp_path):
    """And without the step that lets people be told: what is left out is empty."""
    given = [command for command in commands(PAGE) if not re.search(r"aws sns|topic-policy|ACCOUNT", command)]
    assert len(commands(PAGE)) - len(given) == 5
    (first,) = [command for command in given if command.startswith(FIRST)]
    made = [command for command in given if not command.startswith(AGAIN)]
    delete, wait, log = commands(PAGE, "away")
    too_soon = f"if {first}; then exit 9; fi"
    play(tmp_path, *made, "export ALARMS=", first, delete, wait, too_soon, delete, wait, log, first)
    client = aws.client("cloudformation", "eu-west-1")
    statuses = [
        each["StackStatus"] for each in client.list_stacks()["StackSummaries"] if each["StackName"] == "tag-sync"
    ]
    assert sorted(statuses) == ["CREATE_COMPLETE", "DELETE_COMPLETE", "DELETE_COMPLETE"]


def test_the_first_deployment_keeps_the_log_of_what_fails_and_those_after_it_go_back():
    """A stack that is rolled back when it is made takes its log group along; one that worked keeps it."""
    deploys = [command for command in commands(PAGE) if command.startswith(DEPLOY)]
    assert [command.startswith(FIRST) for command in deploys] == [True, False, False]
    service = PAGE.parent / "ecs" / "README.md"
    (there,) = re.findall(r"^\$ (aws cloudformation deploy .*?)^```", service.read_text(), re.MULTILINE | re.DOTALL)
    assert "--disable-rollback" in there
    document, _ = decode(str(PAGE.parent / "ecs" / "service.yaml"))
    assert document["Resources"]["Logs"]["DeletionPolicy"] == "RetainExceptOnCreate"


def split(commands, count):
    return commands[:count], commands[count:]


def handlers(directory):
    """As /handlers is in the image: looked in beside what is there."""
    return os.pathsep.join([SOURCES, str(directory / "my-handler")])


def test_what_is_not_run_is_on_the_page_and_has_its_reason():
    given = every_command(PAGE)
    for start, reason in NOT_HERE.items():
        assert any(command.startswith(start) for command in given)
        assert len(reason) > 10
    run = [command for command in given if run_here(command)]
    assert len(run) >= 10
    assert set(run) <= {*commands(PAGE), *commands(PAGE, "away")}, "neither run nor listed"


def test_a_parameter_that_there_is_none_of_fails(aws, moto_server, tmp_path):
    words = ["cloudformation", "deploy", "--stack-name", "x", "--capabilities", "CAPABILITY_IAM", "--template-file"]
    words += [str(ROOT / "infra/dead-letters/queue.yaml"), "--parameter-overrides", "QueName=x"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/aws_cli.py"), *words],
        env={**moto_server.environment(), "AWS_ENDPOINT_URL": moto_server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "QueName" in done.stderr
