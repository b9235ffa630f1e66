"""infra/ec2/group.yaml: what checkers say, what it makes, its rights, and what a machine does when it starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid

import pytest
from cfnlint.decode import decode

from support.on_aws import on_aws
from support.policies import Call, not_allowed, not_called
from support.templates import INFRA, Stack, checkov, lint, names, settled

pytestmark = pytest.mark.timeout(120)
TEMPLATE = INFRA / "ec2" / "group.yaml"
DOCUMENT, _ = decode(str(TEMPLATE))
DATA = DOCUMENT["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]
ACCOUNT = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup"


@pytest.fixture
def aws(moto_server, monkeypatch):
    with on_aws(moto_server, monkeypatch) as found:
        yield found


def test_its_checkers_have_nothing_to_say():
    assert lint(TEMPLATE) == []
    report = checkov(TEMPLATE)
    assert names(report["failed_checks"]) == []
    assert len(report["passed_checks"]) >= 15, "it saw nothing"
    assert report["skipped_checks"] == []


@pytest.fixture
def made(aws):
    direct = aws._direct
    ec2 = direct.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    name = f"pollers-{uuid.uuid4().hex[:8]}"
    given = {
        "GroupName": name,
        "VpcId": vpc["VpcId"],
        "SubnetIds": ",".join(each["SubnetId"] for each in subnets[:2]),
        "FilesBucket": "files",
        "MinMachines": "0",
    }
    stack = Stack(direct.client("cloudformation"), name, TEMPLATE, given, json.dumps(settled(DOCUMENT, given)))
    stack.name, stack.aws = name, direct
    return stack


def test_the_group_lets_machines_drain_before_they_end(made):
    assert made.passed_over == set()
    (group,) = made.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[made.name])[
        "AutoScalingGroups"
    ]
    assert (group["MinSize"], group["MaxSize"]) == (0, 2)
    # The emulator leaves these out of a group.
    wanted = DOCUMENT["Resources"]["Group"]["Properties"]
    assert wanted["CapacityRebalance"] is True
    (hook,) = wanted["LifecycleHookSpecificationList"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    stop = (INFRA / "ec2" / "datahub-poller@.service").read_text().partition("TimeoutStopSec=")[2].partition("s")[0]
    assert DOCUMENT["Parameters"]["DrainSeconds"]["MinValue"] > int(stop) + 10  # and a look is five seconds


def test_the_role_is_what_a_machine_asks_for(made):
    iam = made.aws.client("iam")
    role = made.resources["Role"]
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=each)["PolicyDocument"]
        for each in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    calls = {
        Call("s3:ListBucket", "arn:aws:s3:::files"),
        Call("s3:GetObject", "arn:aws:s3:::files/datahub-poller/drain.sh"),
        Call("autoscaling:CompleteLifecycleAction", f"{ACCOUNT}:0a1b:autoScalingGroupName/{made.name}"),
    }
    assert not_allowed(documents, calls) == set()
    assert not_called(documents, calls) == set()
    elsewhere = {
        Call("s3:GetObject", "arn:aws:s3:::files/other/secret"),
        Call("autoscaling:CompleteLifecycleAction", f"{ACCOUNT}:0a1b:autoScalingGroupName/others"),
    }
    assert not_allowed(documents, elsewhere) == elsewhere


def test_metadata_has_a_token_the_disk_is_encrypted_and_nothing_is_public():
    assert DATA["MetadataOptions"]["HttpTokens"] == "required"
    (disk,) = DATA["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True
    (network,) = DATA["NetworkInterfaces"]
    assert network["AssociatePublicIpAddress"] is False
    assert "SecurityGroupIngress" not in DOCUMENT["Resources"]["Doors"]["Properties"]


STAND_INS = {
    "dnf": "",
    "systemctl": "",
    "aws": 'cp -R "$FILES/." "$4"',
    "python3.11": 'mkdir -p "$3/bin"; cp "$(dirname "$0")/pip" "$3/bin/pip"',
    "pip": "",
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_a_machine_installs_what_lies_in_the_bucket_and_starts_every_action(tmp_path):
    """Its first script as it is, below a directory and with stand-ins for what changes the machine or asks AWS."""
    files, machine, programs = tmp_path / "files", tmp_path / "machine", tmp_path / "programs"
    for directory in (files / "actions", machine / "etc/systemd/system", machine / "opt", programs):
        directory.mkdir(parents=True)
    for name in ("datahub-poller@.service", "datahub-poller-drain.service", "drain.sh"):
        shutil.copy(INFRA / "ec2" / name, files)
    for name in ("datahub_poller-0.1.0-py3-none-any.whl", "requirements.txt"):
        (files / name).touch()
    for name in ("tag-sync.yaml", "owners.yaml", "tag_sync.py", "tag-sync.env"):
        (files / "actions" / name).write_text(name)
    calls = tmp_path / "calls"
    for name, body in STAND_INS.items():
        (programs / name).write_text(f'#!/bin/sh\necho "$(basename "$0") $*" >> {calls}\n{body}\n')
        (programs / name).chmod(0o755)
    script = DATA["UserData"]["Fn::Base64"]["Fn::Sub"]
    for name, value in {"FilesBucket": "files", "FilesPrefix": "p", "AWS::Region": "r", "GroupName": "g"}.items():
        script = script.replace(f"${{{name}}}", value)
    assert "${" not in script
    for place in ("/etc/", "/opt/"):
        script = script.replace(place, f"{machine}{place}")
    path = f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin"
    done = subprocess.run(
        ["bash", "-c", script], env={"PATH": path, "FILES": str(files)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    etc = machine / "etc" / "datahub-poller"
    assert {each.name: oct(each.stat().st_mode & 0o777) for each in etc.iterdir()} == {
        "tag-sync.yaml": "0o644",
        "owners.yaml": "0o644",
        "tag_sync.py": "0o644",
        "tag-sync.env": "0o600",
    }
    assert (machine / "etc/datahub-poller-drain.env").read_text() == "HOOK=drain\nGROUP=g\n"
    assert os.access(machine / "opt/datahub-poller/bin/drain.sh", os.X_OK)
    assert (machine / "etc/systemd/system/datahub-poller@.service").is_file()
    said = calls.read_text().splitlines()
    assert [line for line in said if "enable" in line] == [
        "systemctl enable --now datahub-poller-drain.service",
        "systemctl enable --now datahub-poller@owners.service",
        "systemctl enable --now datahub-poller@tag-sync.service",
    ]
    assert sum("--require-hashes" in line for line in said) == 1
