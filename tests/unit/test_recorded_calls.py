"""What is written down of requests to AWS and of an authorizer's log: whose, which right, and on what."""

from __future__ import annotations

import pytest

from datahub_poller.aws import AGENT as USER_AGENT
from kafka import asks
from support import recorded_calls
from support.aws_requests import call_of
from support.policies import Call
from support.recorded_calls import FILE, PERSON, POLLER, Asked, Recording, read, who


def headers(service, **more):
    scope = f"AWS4-HMAC-SHA256 Credential=K/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=h, Signature=s"
    return {"Authorization": scope, **more}


@pytest.mark.parametrize(
    ("service", "method", "path", "target", "body", "call"),
    [
        ("sqs", "POST", "/", "AmazonSQS.SendMessageBatch", b'{"QueueUrl": "http://h:1/123456789012/q.fifo"}',
         Call("sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:q.fifo", None, "sqs:SendMessageBatch")),
        ("glue", "POST", "/", "AWSGlue.GetSchemaVersion", b"{}", Call("glue:GetSchemaVersion", "*")),
        ("s3", "PUT", "/b/dl/a%3Db/x.jsonl", None, b"", Call("s3:PutObject", "arn:aws:s3:::b/dl/a=b/x.jsonl")),
        ("s3", "HEAD", "/b/k", None, b"", Call("s3:GetObject", "arn:aws:s3:::b/k", None, "s3:HeadObject")),
        ("s3", "GET", "/b/k?x-id=GetObject", None, b"", Call("s3:GetObject", "arn:aws:s3:::b/k")),
        ("s3", "GET", "/b/k?acl", None, b"", Call("s3:GetObject with acl", "arn:aws:s3:::b/k")),
        ("s3", "GET", "/b?list-type=2&prefix=dl%2Fa", None, b"",
         Call("s3:ListBucket", "arn:aws:s3:::b", "dl/a", "s3:ListObjectsV2")),
        ("s3", "GET", "/b?list-type=2", None, b"", Call("s3:ListBucket", "arn:aws:s3:::b", "", "s3:ListObjectsV2")),
        ("s3", "HEAD", "/b", None, b"", Call("s3:ListBucket", "arn:aws:s3:::b", None, "s3:HeadBucket")),
        ("sts", "POST", "/", None, b"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr",
         Call("sts:AssumeRole", "arn:aws:iam::1:role/r")),
        ("sts", "POST", "/", None, b"Action=GetCallerIdentity&Version=1", Call("sts:GetCallerIdentity", "*")),
        ("kms", "POST", "/", "TrentService.Decrypt", b"{}", Call("kms:Decrypt", "?")),
    ],
)  # fmt: skip
def test_a_request_needs_a_right_on_a_resource(service, method, path, target, body, call):
    sent = headers(service) | ({} if target is None else {"X-Amz-Target": target})
    assert call_of(method, path, sent, body) == call


def test_what_a_header_wants_beside_the_right_to_an_object_is_not_covered_by_that():
    sent = {**headers("s3"), "X-AMZ-COPY-SOURCE": "/b/other", "X-Amz-Server-Side-Encryption": "AES256"}
    assert call_of("PUT", "/b/k", sent, b"") == Call("s3:PutObject with x-amz-copy-source", "arn:aws:s3:::b/k")


def test_who_asks_is_told_by_the_user_agent():
    assert who(f"Boto3/1.44 ua/2.1 {USER_AGENT} Botocore/1.44") == POLLER
    assert who(f"Boto3/1.44 {USER_AGENT} md/{PERSON} Botocore/1.44") == PERSON
    assert who("Boto3/1.44 ua/2.1 app/datahub-poller-action-file Botocore/1.44") == FILE
    assert who("Boto3/1.44 ua/2.1 Botocore/1.44") is None


LOG = """\
11:19:38,679 DEBUG logger Principal = User:poller is Allowed operation = READ from host = 127.0.0.1 on resource = \
Topic:LITERAL:pe-1 for request = Fetch with resourceRefCount = 1 based on rule MatchingAcl
11:19:38,680 INFO  logger Principal = User:poller is Denied operation = DESCRIBE_CONFIGS from host = 127.0.0.1 on \
resource = Topic:LITERAL:letters for request = DescribeConfigs with resourceRefCount = 1 based on rule DefaultDeny
11:19:38,681 DEBUG logger Principal = User:poller is Allowed operation = READ from host = 127.0.0.1 on resource = \
Group:LITERAL:tag sync for request = JoinGroup with resourceRefCount = 1 based on rule MatchingAcl
11:19:38,682 DEBUG logger Principal = User:poller is Allowed operation = IDEMPOTENT_WRITE from host = 127.0.0.1 on \
resource = Cluster:LITERAL:kafka-cluster for request = InitProducerId with resourceRefCount = 1 based on rule Matching
11:19:38,683 DEBUG logger Principal = User:ANONYMOUS is Allowed operation = ALTER from host = 127.0.0.1 on resource = \
Cluster:LITERAL:kafka-cluster for request = CreateAcls with resourceRefCount = 1 based on rule SuperUser
"""


def test_decisions_of_an_authorizer_are_rights_of_msk_granted_or_not():
    cluster = "events/0a1b2c3d-4e5f-6789-abcd-ef0123456789-1"
    assert {
        (call.action.removeprefix("kafka-cluster:"), call.resource.partition("012:")[2], call.operation)
        for call in asks.calls_in(LOG)
    } == {
        ("Connect", f"cluster/{cluster}", None),
        ("ReadData", f"topic/{cluster}/pe-1", "Fetch"),
        ("DescribeTopic", f"topic/{cluster}/pe-1", "Fetch"),
        ("DescribeTopicDynamicConfiguration", f"topic/{cluster}/letters", "DescribeConfigs"),
        ("AlterGroup", f"group/{cluster}/tag sync", "JoinGroup"),
        ("DescribeGroup", f"group/{cluster}/tag sync", "JoinGroup"),
        ("WriteDataIdempotently", f"cluster/{cluster}", "InitProducerId"),
    }
    assert asks.calls_in("") == set()
    with pytest.raises(KeyError):
        asks.calls_in(LOG.replace("IDEMPOTENT_WRITE", "CLUSTER_ACTION"))


def test_a_recording_has_each_call_once_for_each_test(tmp_path):
    recording = Recording(tmp_path, "gw0")
    call = Call("glue:GetSchemaVersion", "*")
    for test in ("a", "a", "b"):
        recording.test_begins(test)
        recording.note(POLLER, [call])
    recording.test_begins("b", 2)
    recording.note(POLLER, [call])
    assert read(tmp_path) == [Asked(test, POLLER, call) for test in ("a", "b", "b (2)")]


def test_without_a_directory_nothing_is_recorded(monkeypatch):
    monkeypatch.delenv(recorded_calls.VARIABLE, raising=False)
    assert recorded_calls.recording.__wrapped__() is None
