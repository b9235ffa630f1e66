"""The judge of recorded calls, on recordings of a few lines; the real one is judged in `recorded_calls`."""

from __future__ import annotations

import re

import pytest

from kafka import asks
from recorded_calls.exceptions import wrong
from recorded_calls.judging import Judge
from recorded_calls.roles import QUEUE, role
from support.aws_requests import call_of
from support.policies import Call, Grant
from support.recorded_calls import PERSON, POLLER, Asked
from support.templates import INFRA

QUEUE_ARN = "arn:aws:sqs:us-east-1:123456789012:letters"
SIGNED = "AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/s3/aws4_request, SignedHeaders=h, Signature=s"
SENT = [Asked("t", POLLER, Call(f"sqs:{action}", QUEUE_ARN)) for action in ("GetQueueAttributes", "SendMessage")]


def put(key, test="t", by=POLLER):
    return Asked(test, by, Call("s3:PutObject", f"arn:aws:s3:::letters/{key}"))


def test_what_a_poller_calls_is_allowed_and_what_it_must_not_is_found():
    assert wrong(Judge([*SENT, put("large/action=a/date=2026-01-01/x.jsonl"), put("large/.check")])) == []
    taken = Asked("t", POLLER, Call("sqs:DeleteMessage", QUEUE_ARN))
    outside = put("elsewhere/x.jsonl")
    other = Asked("t", POLLER, Call("dynamodb:GetItem", "?"))
    found = wrong(Judge([*SENT, taken, outside, other]))
    assert [re.search(r"action='([^']+)'", each)[1] for each in found] == [
        "dynamodb:GetItem",
        "s3:PutObject",
        "sqs:DeleteMessage",
    ]


def test_a_poller_is_in_one_group_and_writes_letters_to_one_topic():
    def asked(action, kind, *names):
        return [Asked("t", POLLER, Call(f"kafka-cluster:{action}", asks.arn(kind, name))) for name in names]

    connected = Asked("t", POLLER, Call(asks.CONNECT, asks.CLUSTER))
    assert (
        wrong(Judge([connected, *asked("AlterGroup", "group", "a"), *asked("ReadData", "topic", "pe-1", "mcl-2")]))
        == []
    )
    assert len(wrong(Judge([connected, *asked("AlterGroup", "group", "a", "b")]))) == 1
    assert len(wrong(Judge([connected, *asked("ReadData", "topic", "pe-1", "pe-2")]))) == 1
    assert len(wrong(Judge([connected, *asked("WriteData", "topic", "l", "m")]))) == 1
    not_started = [*asked("DescribeGroup", "group", "a"), *asked("DescribeTopicDynamicConfiguration", "topic", "l")]
    assert wrong(Judge([connected, *not_started, *asked("DescribeTopic", "topic", "pe-1", "mcl-2", "l")])) == []
    assert len(wrong(Judge([connected, *asked("DescribeTopic", "topic", "others")]))) == 1


def test_people_and_pollers_have_different_rights():
    got = Call("s3:GetObject", "arn:aws:s3:::letters/dl/action=a/date=2026-01-01/x.jsonl")
    assert wrong(Judge([Asked("t", PERSON, got)])) == []
    assert len(wrong(Judge([Asked("t", POLLER, got)]))) == 1
    listed = [Call("s3:ListBucket", "arn:aws:s3:::letters", prefix) for prefix in ("dl/action=a/", "others/")]
    assert len(wrong(Judge([Asked("t", PERSON, call) for call in listed]))) == 1


def test_a_poller_may_ask_where_a_bucket_lies_and_not_for_all_that_is_in_it():
    """One right, and neither names a prefix."""
    asked, listed = (
        call_of(method, path, {"Authorization": SIGNED}, b"")
        for method, path in (("HEAD", "/letters"), ("GET", "/letters?list-type=2"))
    )
    assert (asked.action, listed.action) == ("s3:ListBucket", "s3:ListBucket")
    assert wrong(Judge([Asked("t", POLLER, asked)])) == []
    assert len(wrong(Judge([Asked("t", POLLER, listed)]))) == 1
    assert len(wrong(Judge([Asked("t", PERSON, asked)]))) == 1


@pytest.mark.parametrize(
    ("grant", "call", "covered"),
    [
        (Grant("glue:getschemaversion", "*"), Call("glue:GetSchemaVersion", "*"), True),
        (Grant("glue:Get*", "*"), Call("glue:GetSchemaVersion", "*"), True),
        (Grant("s3:GetObject", "arn:aws:s3:::b/a?c"), Call("s3:GetObject", "arn:aws:s3:::b/abc"), True),
        (Grant("s3:GetObject", "arn:aws:s3:::b/[ab]"), Call("s3:GetObject", "arn:aws:s3:::b/a"), False),
        (Grant("s3:GetObject", "arn:aws:s3:::b/[ab]"), Call("s3:GetObject", "arn:aws:s3:::b/[ab]"), True),
        (Grant("sqs:SendMessage", "arn:aws:sqs:*:1:q"), Call("sqs:SendMessage", "arn:aws:sqs:r:1:q"), True),
        (Grant("sqs:SendMessage", "arn:aws:sqs:*:q"), Call("sqs:SendMessage", "arn:aws:sqs:r:1:q"), False),
        (Grant("s3:ListBucket", "arn:aws:s3:::b", "*"), Call("s3:ListBucket", "arn:aws:s3:::b", ""), True),
        (Grant("s3:ListBucket", "arn:aws:s3:::b", "*"), Call("s3:ListBucket", "arn:aws:s3:::b"), False),
    ],
)
def test_a_grant_covers_what_iam_would_allow(grant, call, covered):
    assert grant.covers(call) is covered


def test_a_narrowed_template_fails(tmp_path, monkeypatch):
    """The same from the text of the template on."""
    text = (INFRA / QUEUE).read_text()
    assert "[sqs:GetQueueAttributes, sqs:SendMessage]" in text
    narrow = tmp_path / "queue.yaml"
    narrow.write_text(text.replace("[sqs:GetQueueAttributes, sqs:SendMessage]", "[sqs:GetQueueAttributes]"))

    def narrowed(by, calls):
        monkeypatch.setattr("recorded_calls.roles.QUEUE", str(narrow))
        return role(by, calls)

    (found,) = wrong(Judge(SENT, narrowed))
    assert "sqs:SendMessage" in found
