"""infra/ec2/README.md from nothing to a group: its commands as a person types them, against an emulator of AWS."""

from __future__ import annotations

import json
import re

import pytest
from cfnlint.decode import decode

from datahub_poller.config import load
from datahub_poller.observe.catalogue import CATALOGUE
from support.pages import commands, played
from support.templates import INFRA, ROOT

pytestmark = [pytest.mark.timeout(180), pytest.mark.deep]
REGION = "eu-central-1"
PAGE = INFRA / "ec2" / "README.md"
TEMPLATE, _ = decode(str(INFRA / "ec2" / "group.yaml"))
SERVICE, _ = decode(str(INFRA / "ecs" / "service.yaml"))
NOT_HERE = {
    "aws logs tail": "a command of the AWS command line, not of its API",
    "FilesPrefix=2": "the emulator fails where it is to change an auto-scaling group",
    "FilesPrefix=1": "the emulator fails where it is to change an auto-scaling group",
}
"""Commands that are not run, by how they begin or end, and why. Those of the runbook and of one machine by hand need a
machine with systemd."""


MAKE = """#!/bin/sh
set -e
[ "$*" = wheel ]
mkdir -p dist
echo x >> versions
touch "dist/datahub_poller-0.$(wc -l < versions).0-py3-none-any.whl"
"""
"""Makes the wheel of a later version each time, beside what is there, as the builder does. The real: test_wheel.py."""


def is_that(command, key):
    return command.startswith(key) or command.endswith(f" {key}")


def run_here(command):
    return not any(is_that(command, key) for key in NOT_HERE)


@pytest.fixture
def at_home(tmp_path):
    """What is in the working directory of who follows the page."""
    make = tmp_path / "make"
    make.write_text(MAKE)
    make.chmod(0o755)
    (tmp_path / "requirements.txt").symlink_to(ROOT / "requirements.txt")
    (tmp_path / "tag_sync.py").write_text("def handle(event, context): ...\n")
    return tmp_path


def yours(ec2):
    """A VPC of the emulator instead of the page's."""
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    brokers = ec2.create_security_group(GroupName="brokers-of-the-page", Description="brokers", VpcId=vpc["VpcId"])
    subnet_ids = f"{subnets[0]['SubnetId']},{subnets[1]['SubnetId']}"
    # A region of its own: another page makes stacks of the same names in the first.
    return f"export AWS_REGION={REGION} VPC={vpc['VpcId']} SUBNETS={subnet_ids} BROKERS_GROUP={brokers['GroupId']}"


def test_from_nothing_to_a_group_with_alarms_and_the_next_version_s_folder(aws, moto_server, at_home):
    given = list(filter(run_here, commands(PAGE)))
    begin = next(number for number, command in enumerate(given) if not command.startswith("export "))
    environ = dict(moto_server.environment()) | {
        "AWS_ENDPOINT_URL": moto_server.url,
        "AWS_DEFAULT_REGION": REGION,
    }
    printed, said = played(at_home, [*given[:begin], yours(aws.client("ec2", REGION)), *given[begin:]], environ)
    assert "\nInService\n" in printed
    assert "created/updated stack - pollers\n" in printed

    # What a machine of the last version would find, and what its first script says of where it looks.
    keys = [each["Key"] for each in aws.client("s3", REGION).list_objects_v2(Bucket=said["FILES"])["Contents"]]
    units = {each.name for each in (INFRA / "ec2").glob("*.service")}
    expected = {*units, "drain.sh", "journal_file.py", "cloudwatch-agent.json", "requirements.txt"}
    for version in ("1", "2"):
        assert {f"{version}/{name}" for name in expected} | {f"{version}/actions/tag_sync.py"} <= set(keys)
    action = load(at_home / "files/actions/tag-sync.yaml", {})
    assert action.dead_letter.config.queue == said["QUEUE"]
    assert action.metrics.emf
    assert action.name == "tag-sync"

    # pip refuses two versions of one package.
    wheels = [key for key in keys if key.endswith(".whl")]
    assert wheels == [f"{version}/datahub_poller-0.{version}.0-py3-none-any.whl" for version in ("1", "2")]

    (told,) = aws.client("sns", REGION).list_subscriptions_by_topic(TopicArn=said["TOPIC"])["Subscriptions"]
    assert told["Protocol"] == "email"
    alarms = aws.client("cloudwatch", REGION).describe_alarms()["MetricAlarms"]
    of_the_page = [each for each in alarms if each["AlarmName"] in ("tag-sync-lag", "tag-sync-silence")]
    assert [each["AlarmActions"] for each in of_the_page] == [[told["TopicArn"]]] * 2


def test_its_alarms_are_those_of_the_service_s_template():
    published = {target.name for metric in CATALOGUE for target in metric.cloudwatch}
    theirs = {
        each["Properties"]["MetricName"]: each["Properties"]
        for each in SERVICE["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }
    made = [command for command in commands(PAGE) if "put-metric-alarm" in command]
    assert len(made) == 2
    for command in made:
        options = dict(re.findall(r"--([a-z-]+) (\S+)", command))
        like = theirs[options["metric-name"]]
        assert options["metric-name"] in published
        assert options["namespace"] == like["Namespace"]
        assert options["statistic"] == like["Statistic"]
        assert options["comparison-operator"] == like["ComparisonOperator"]
        assert options["treat-missing-data"] == like["TreatMissingData"]
        assert int(options["evaluation-periods"]) == like["EvaluationPeriods"]
        threshold = like["Threshold"]
        if isinstance(threshold, dict):
            threshold = SERVICE["Parameters"][threshold["Ref"]]["Default"]
        assert float(options["threshold"]) == float(threshold)


def test_what_is_not_run_is_on_the_page_and_has_its_reason():
    given = commands(PAGE)
    for key, reason in NOT_HERE.items():
        assert sum(is_that(command, key) for command in given) == 1
        assert len(reason) > 10
    assert len([command for command in given if run_here(command)]) >= 20


def test_the_page_sends_what_the_first_script_installs():
    script = json.dumps(TEMPLATE["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]["UserData"])
    # The first time and with a newer poller.
    copied, again = [command for command in commands(PAGE) if command.startswith("cp dist/")]
    assert copied == again
    for file in (*(INFRA / "ec2").glob("*.sh"), *(INFRA / "ec2").glob("*.py"), *(INFRA / "ec2").glob("*.json")):
        assert f"infra/ec2/{file.name}" in copied
        assert f"$files/{file.name}" in script


def test_another_version_is_another_launch_template_and_nothing_else_is_said_again():
    """So a deployment with the prefix alone rolls, and the one before it rolls back."""
    rolls = [command for command in commands(PAGE) if "--template-file infra/ec2/group.yaml" in command][1:]
    assert [command.partition("--parameter-overrides ")[2] for command in rolls] == ["FilesPrefix=2", "FilesPrefix=1"]
    script = TEMPLATE["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"]
    assert "s3://${FilesBucket}/${FilesPrefix}/" in script
    used = TEMPLATE["Resources"]["Group"]["Properties"]["MixedInstancesPolicy"]["LaunchTemplate"]
    assert used["LaunchTemplateSpecification"]["Version"] == {"Fn::GetAtt": ["Machine", "LatestVersionNumber"]}


def test_the_first_deployment_alone_is_not_taken_back():
    first, *later = [command for command in commands(PAGE) if "--template-file infra/ec2/group.yaml" in command]
    assert "--disable-rollback" in first
    assert len(later) == 2
    assert not any("--disable-rollback" in command for command in later)
    # What is read and taken away after it is what the first made.
    text = PAGE.read_text().partition("### The first deployment fails")[2].partition("\n### ")[0]
    group = re.search(r"GroupName=(\S+)", first)
    assert group is not None
    name = TEMPLATE["Resources"]["Logs"]["Properties"]["LogGroupName"]["Fn::Sub"].replace("${GroupName}", group[1])
    assert f"aws logs tail {name} " in text
    assert f"aws logs delete-log-group --log-group-name {name}\n" in text
    stack = re.search(r"--stack-name (\S+)", first)
    assert stack is not None
    assert set(re.findall(r"--stack-name (\S+)", text)) == {stack[1]}


def test_one_machine_by_hand_is_made_as_the_first_script_makes_it():
    """By a Python that may be too old under another name, what the poller needs would not be installed."""
    script = TEMPLATE["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"]
    text = PAGE.read_text().partition("## One machine by hand")[2]
    typed = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    (made,) = [line for line in typed if " -m venv " in line]
    assert made in script
    assert not [line for line in typed if "tag-sync.env" in line and not line.startswith("test ! -e")]
