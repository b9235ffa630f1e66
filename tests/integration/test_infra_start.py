"""infra/README.md from an empty account on: its commands as a person types them, against an emulator of AWS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from datahub_poller.config import load
from support.on_aws import on_aws
from support.pages import commands, played

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "infra" / "README.md"
NOT_HERE = {
    "make image && docker build": "no container engine",
    "aws ecr get-login-password": "no container engine",
    "docker push": "no container engine",
    "aws logs tail": "follows without end; a command of the AWS command line, not of its API",
}
"""Commands that are not run, and why."""


def run_here(command: str) -> bool:
    return not command.startswith(tuple(NOT_HERE))


@pytest.fixture
def aws(moto_server, monkeypatch):
    with on_aws(moto_server, monkeypatch) as found:
        yield found


def test_from_an_empty_account_to_a_service(aws, moto_server, tmp_path):
    ec2 = aws.client("ec2", "eu-west-1")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    yours = [f"export VPC={vpc['VpcId']} SUBNETS={subnets[0]['SubnetId']},{subnets[1]['SubnetId']}"]
    first, *others = filter(run_here, commands(PAGE))
    environ = dict(moto_server.environment()) | {
        "AWS_ENDPOINT_URL": moto_server.url,
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    printed, said = played(tmp_path, [first, *yours, *others], environ)
    assert "\nACTIVE\n" in printed
    assert said["DOORS"].startswith("sg-")
    assert said["LETTERS"].startswith("arn:aws:iam::")
    action = load(tmp_path / "action.yaml", {})
    assert action.dead_letter.config.queue == said["QUEUE"]
    assert action.source.config.connection.auth.type == "msk-iam"
    assert action.metrics.emf


def test_what_is_not_run_is_on_the_page_and_has_its_reason():
    given = commands(PAGE)
    for start, reason in NOT_HERE.items():
        assert sum(command.startswith(start) for command in given) == 1
        assert len(reason) > 10
    assert len([command for command in given if run_here(command)]) >= 10


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
