"""infra/dead-letters: what checkers say of the templates, and what they make.

That the policies are what is called for is judged by all calls of the tests, in `recorded_calls`.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from cfnlint.decode import decode

from datahub_poller.deadletter.aws_places import queue as queue_of
from datahub_poller.deadletter.s3 import S3Sink
from datahub_poller.deadletter.s3_bucket import Bucket
from datahub_poller.deadletter.s3_store import S3Store
from datahub_poller.deadletter.sqs import SqsSink
from datahub_poller.deadletter.sqs_store import SqsStore
from support.letter_stores import a_mark
from support.letters import event_letter
from support.template_grants import policies
from support.templates import INFRA, Stack, checkov, lint, passes_checkov

pytestmark = pytest.mark.timeout(120)
TEMPLATES = sorted((INFRA / "dead-letters").glob("*.yaml"))
PREFIX = "dead-letters/"
PASSED_OVER = {"OnlyEncryptedConnections", "KeyPolicy"}
"""The emulator makes no policies of queues and buckets; the key's policy is not wanted without a key."""


def deployed(aws, name, **parameters):
    return Stack(
        aws.client("cloudformation"),
        f"{name}-{uuid.uuid4().hex[:8]}",
        INFRA / "dead-letters" / f"{name}.yaml",
        parameters,
    )


def document_of(aws, arn):
    """A managed policy as it was made."""
    iam = aws.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def as_the_judge_has_them(aws, stack, name, given):
    """The policies that were made are what `recorded_calls` judges, which makes none."""
    judged = policies(f"dead-letters/{name}.yaml", given)
    assert judged.keys() >= {"WriterPolicy", "RedriverPolicy"}
    for policy, document in judged.items():
        assert document == document_of(aws, stack.outputs[f"{policy}Arn"])


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_its_checkers_have_nothing_to_say(template):
    assert lint(template) == []
    passes_checkov(template, least=10)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("KmsMasterKeyId:", "KmsMasterKey:", "KmsMasterKey"),
        ("!GetAtt Queue.Arn", "!GetAtt Queues.Arn", "Queues"),
        ("MinValue: 60\n", "MinValue: one\n", "'one'"),
    ],
)
def test_a_template_that_is_wrong_is_found(tmp_path, old, new, words):
    text = (INFRA / "dead-letters" / "queue.yaml").read_text()
    assert old in text
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(old, new, 1))
    assert words in "\n".join(lint(broken))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("queue", "      KmsMasterKeyId: !If [HasKey, !Ref KmsKeyArn, !Ref AWS::NoValue]\n", ""),
        ("bucket", "RestrictPublicBuckets: true", "RestrictPublicBuckets: false"),
    ],
)
def test_a_template_that_is_open_is_found(tmp_path, name, old, new):
    text = (INFRA / "dead-letters" / f"{name}.yaml").read_text()
    assert old in text
    broken = tmp_path / "open.yaml"
    broken.write_text(text.replace(old, new, 1))
    assert checkov(broken)["failed_checks"]


@pytest.mark.parametrize("fifo", ["true", "false"])
def test_the_queue_takes_letters_and_gives_them_back(aws, fifo):
    given = {"QueueName": f"letters-{uuid.uuid4().hex[:8]}", "Fifo": fifo}
    stack = deployed(aws, "queue", **given)
    url, arn = stack.outputs["QueueUrl"], stack.outputs["QueueArn"]
    made = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert made["MessageRetentionPeriod"] == str(14 * 86_400)
    assert made["VisibilityTimeout"] == "300"
    assert made["SqsManagedSseEnabled"] == "true"
    assert made.get("FifoQueue", "false") == fifo
    assert arn.endswith(".fifo") == (fifo == "true")
    assert stack.passed_over == PASSED_OVER
    as_the_judge_has_them(aws, stack, "queue", given)

    sink = SqsSink(queue_of(aws.account, url))
    sink.check()
    sink.write([event_letter(number) for number in range(25)])
    store = SqsStore(queue_of(aws.persons, url), None, wait=0)
    found = list(store.scan())
    assert len(found) == (10 if fifo == "true" else 25)
    store.hold()
    store.remove(found[:1])
    store.close()


def test_the_bucket_takes_letters_and_gives_them_back(aws):
    given = {"BucketName": f"letters-{uuid.uuid4().hex[:8]}", "Prefix": PREFIX}
    stack = deployed(aws, "bucket", **given)
    name = stack.outputs["BucketName"]
    (encryption,) = aws.s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert stack.passed_over == PASSED_OVER
    as_the_judge_has_them(aws, stack, "bucket", given)

    sink = S3Sink(Bucket(aws.account, name), PREFIX.rstrip("/"), "tag-sync")
    sink.check()
    letters = [event_letter(1), event_letter(2)]
    sink.write(letters)
    store = S3Store(Bucket(aws.persons, name), PREFIX.rstrip("/"), "tag-sync")
    found = list(store.scan())
    store.mark([(found[0], a_mark(letters[0]))])
    assert len(list(store.marks())) == 1
    store.remove(found)
    store.close()


@pytest.mark.parametrize(("name", "named"), [("queue", "QueueName"), ("bucket", "BucketName")])
def test_a_key_of_ones_own_comes_with_its_policy(name, named, aws):
    key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    given = {named: f"letters-{uuid.uuid4().hex[:8]}", "KmsKeyArn": key}
    stack = deployed(aws, name, **given)
    assert key_of(aws, stack) == key
    as_the_judge_has_them(aws, stack, name, given)
    (statement,) = document_of(aws, stack.outputs["KeyPolicyArn"])["Statement"]
    assert (statement["Action"], statement["Resource"]) == (["kms:Decrypt", "kms:GenerateDataKey"], key)
    assert "KeyPolicyArn" not in deployed(aws, name, **{named: f"letters-{uuid.uuid4().hex[:8]}"}).outputs


def key_of(aws, stack):
    """What a queue's or a bucket's content is encrypted with, as it was made."""
    if "QueueUrl" in stack.outputs:
        made = aws.sqs.get_queue_attributes(QueueUrl=stack.outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
        return made["KmsMasterKeyId"]
    found = aws.s3.get_bucket_encryption(Bucket=stack.outputs["BucketName"])["ServerSideEncryptionConfiguration"]
    (rule,) = found["Rules"]
    return rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]


def test_what_the_emulator_leaves_out_of_a_bucket_stands_in_the_template():
    """It makes the bucket and its encryption; these it ignores."""
    template, _ = decode(INFRA / "dead-letters" / "bucket.yaml")
    bucket = template["Resources"]["Bucket"]["Properties"]
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", {"Ref": "RetentionDays"})


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_plain_connections_are_refused(template):
    resources = decode(template)[0]["Resources"]
    (statement,) = resources["OnlyEncryptedConnections"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_what_is_in_them_outlives_the_stack():
    for template in TEMPLATES:
        text = Path(template).read_text()
        assert text.count("DeletionPolicy: Retain") == text.count("UpdateReplacePolicy: Retain") == 1
