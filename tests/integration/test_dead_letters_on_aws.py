"""`dead-letters` as it is typed, on letters that lie in S3 and SQS."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from datahub_poller import letterbox
from datahub_poller.config import load
from support.action_files import with_keys, written
from support.commands import ran
from support.letter_stores import a_letter

pytestmark = pytest.mark.deep

WHY = ("--yes", "--why", "gone for good")


@pytest.fixture
def action(aws, tmp_path, request):
    """An action file that lets letters go to a new place of the kind that is asked for, with four letters in it."""
    place = {"bucket": aws.bucket().name, "prefix": "dl"} if request.param == "s3" else {"queue": aws.queue()}
    config = {**place, "region": aws.account.region, "endpoint": aws.proxy.url}
    path = written(tmp_path, with_keys({"dead_letter.type": request.param, "dead_letter.config": config}))
    letters = [a_letter(number, kind="KeyError" if number % 2 else "TypeError") for number in range(4)]
    letterbox.sink(load(path, os.environ), os.environ).write([*letters, a_letter(1, kind="KeyError")])
    return path


def run(command: str, action: Path, *arguments: str):
    environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    done = ran("dead-letters", command, "-c", str(action), *arguments, cwd=action.parent, environ=environ)
    assert "Traceback" not in done.err
    return done


def offsets(action: Path, *arguments: str) -> list[int]:
    done = run("list", action, "--json", *arguments)
    assert done.code == 0, done.err
    return sorted(json.loads(line)["meta"]["kafka"]["offset"] for line in done.out.splitlines())


@pytest.mark.parametrize("action", ["s3"], indirect=True)
def test_letters_are_shown_with_all_their_copies_and_a_dry_run_leaves_them(action):
    shown = run("show", action, "PlatformEvent_v1-0@1")
    assert (shown.code, shown.out.count("s3://"), shown.out.count("KeyError: tag")) == (0, 2, 1)
    assert "nothing was done" in run("drop", action, "--error", "KeyError").err
    assert offsets(action) == [0, 1, 2, 3]


@pytest.mark.parametrize("action", ["s3", "sqs"], indirect=True)
def test_what_was_looked_at_is_dropped_with_all_its_copies(action):
    looked = run("list", action)
    assert (looked.code, len(looked.out.splitlines())) == (0, 4)
    assert looked.err.startswith("datahub-poller: Looking hides messages") == ("queue" in action.read_text())
    done = run("drop", action, "--error", "KeyError", *WHY)
    assert (done.code, len(done.out.splitlines())) == (0, 2), done.err
    assert offsets(action, "--state", "all") == [0, 2]


@pytest.mark.parametrize(
    ("action", "reading", "writing"),
    [("s3", "s3:ListObjects*", "s3:PutObject"), ("sqs", "sqs:ReceiveMessage", "sqs:DeleteMessage*")],
    indirect=["action"],
)
def test_a_place_that_refuses_ends_it_with_the_reason_and_no_letter_is_lost(action, aws, reading, writing):
    aws.proxy.fault("refuse", reading, code="AccessDenied")
    unread = run("list", action)
    assert (unread.code, unread.out) == (1, "")
    assert "cannot be" in unread.err
    aws.proxy.heal()
    aws.proxy.fault("refuse", writing, code="AccessDenied")
    undone = run("drop", action, "--all", *WHY)
    assert (undone.code, undone.out) == (1, "")
    assert "0 letters dropped; 4 not, or not for certain: " in undone.err
    aws.proxy.heal()
    assert offsets(action) == [0, 1, 2, 3]
