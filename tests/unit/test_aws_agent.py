"""What AWS's own records call us by: every client says it, those too that botocore makes by itself."""

from __future__ import annotations

import time

import pytest

from datahub_poller import __version__
from datahub_poller.aws import Account
from kafka.msk import Person
from support.aws_identity import AwsIdentity

ROLE = "arn:aws:iam::210987654321:role/reader"
CONFIG = f"""
[profile there]
role_arn = {ROLE}
source_profile = here
[profile here]
aws_access_key_id = a
aws_secret_access_key = b
"""


@pytest.fixture
def identity(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(CONFIG)
    with AwsIdentity(lambda: Person("ASIAX", "secret", "token", int(time.time()) + 3600)) as running:
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_ENDPOINT_URL": running.url,
        }.items():
            monkeypatch.setenv(name, value)
        yield running


HERE = Account("eu-west-1")


@pytest.mark.parametrize(
    ("account", "asked"),
    [
        (HERE, ["GetCallerIdentity"]),
        (HERE._replace(role=ROLE), ["AssumeRole", "GetCallerIdentity"]),
        (HERE._replace(profile="there"), ["AssumeRole", "GetCallerIdentity"]),
    ],
    ids=["by-itself", "a-role", "a-role-of-the-profile"],
)
@pytest.mark.parametrize("command", [None, "dead-letters"])
def test_every_question_says_who_asks(account, asked, command, identity, monkeypatch):
    if account.profile:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    account._replace(command=command).client("sts").get_caller_identity()
    assert [each["Action"] for each in identity.asked] == asked
    assert len(identity.agents) == len(asked)
    for agent in identity.agents:
        words = agent.split()
        assert f"datahub-poller/{__version__}" in words
        assert ("md/dead-letters" in words) is (command is not None)
