"""Dead letters to S3 through boto3 and HTTP: what lies there afterwards, and what every refusal does."""

from __future__ import annotations

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from datahub_poller.aws import Account
from datahub_poller.deadletter.letter import to_line
from datahub_poller.deadletter.s3 import S3Sink
from datahub_poller.deadletter.s3_bucket import Bucket, Encryption
from datahub_poller.errors import CannotStart, Transient
from support.letters import event_letter, offsets, parsed, record_of, undecodable_letter
from support.moto_server import REGION
from support.on_aws import KMS

AT = 1_700_000_000.1234
KEY = re.compile(r"dl/action=tag_sync/date=2023-11-14/20231114T221320\.123Z-([0-9a-f]{16})-([0-9a-f]{4})\.jsonl")


def sink(bucket, **more):
    return S3Sink(bucket, "dl", "Tag Sync", wall=lambda: AT, **more)


def everything(aws, bucket):
    return b"".join(aws.content(bucket, key) for key in aws.keys(bucket, "dl/action=tag_sync/"))


def test_a_write_is_one_object_of_lines_under_the_action_and_the_day(aws):
    bucket = aws.bucket()
    letters = [event_letter(1), undecodable_letter(2)]
    sink(bucket).write(letters)
    (key,) = aws.keys(bucket)
    body = b"".join(map(to_line, letters))
    assert KEY.fullmatch(key)[1] == hashlib.sha256(body).hexdigest()[:16]
    found = aws.s3.get_object(Bucket=bucket.name, Key=key)
    assert found["Body"].read() == body
    assert found["ContentType"] == "application/x-ndjson"


def test_the_place_is_what_the_keys_begin_with(aws):
    bucket = aws.bucket()
    sink(bucket).write([event_letter()])
    (key,) = aws.keys(bucket)
    assert f"s3://{bucket.name}/{key}".startswith(sink(bucket).place + "/")


def test_an_empty_prefix_leaves_no_slash_in_front(aws):
    bucket = aws.bucket()
    empty = S3Sink(bucket, "", "a")
    empty.check()
    empty.write([event_letter()])
    check, key = aws.keys(bucket)
    assert check == ".check"
    assert key.startswith("action=a/date=")


def test_the_content_goes_with_its_checksum(aws):
    bucket = aws.bucket()
    sink(bucket).write([event_letter()])
    (request,) = aws.proxy.asked("s3:PutObject")
    digest = base64.b64encode(hashlib.sha256(to_line(event_letter())).digest()).decode()
    assert request.headers["x-amz-checksum-sha256"] == digest
    assert request.headers["x-amz-sdk-checksum-algorithm"] == "SHA256"


@pytest.mark.parametrize(
    ("encryption", "algorithm", "key"),
    [(Encryption(), None, None), (Encryption("AES256"), "AES256", None), (KMS, "aws:kms", "alias/letters")],
)
def test_the_encryption_asked_for_is_in_the_request_and_on_the_object(aws, encryption, algorithm, key):
    bucket = aws.bucket(encryption=encryption)
    sink(bucket).check()
    sink(bucket).write([event_letter()])
    for request in aws.proxy.asked("s3:PutObject"):
        assert request.headers.get("x-amz-server-side-encryption") == algorithm
        assert request.headers.get("x-amz-server-side-encryption-aws-kms-key-id") == key
    for each in aws.keys(bucket):
        found = aws.s3.head_object(Bucket=bucket.name, Key=each)
        assert found.get("SSEKMSKeyId") == key
        if algorithm:
            assert found["ServerSideEncryption"] == algorithm


def test_what_is_too_much_for_an_object_goes_to_several_that_lie_in_order(aws):
    bucket = aws.bucket()
    letters = [event_letter(number) for number in range(7)]
    sink(bucket, limit=2 * len(to_line(letters[0])) + 10).write(letters)
    assert len(aws.keys(bucket)) == 4
    assert offsets(everything(aws, bucket)) == list(range(7))


def test_nothing_to_write_is_no_object(aws):
    bucket = aws.bucket()
    sink(bucket).write([])
    assert aws.proxy.requests == []


def test_a_check_leaves_one_empty_object_however_often_and_needs_nothing_but_putting(aws):
    bucket = aws.bucket()
    sink(bucket).check()
    sink(bucket).check()
    assert aws.keys(bucket) == ["dl/.check"]
    assert aws.content(bucket, "dl/.check") == b""
    assert {request.operation for request in aws.proxy.requests} == {"s3:PutObject"}


def test_a_bucket_that_is_not_there_is_named_with_its_setting(aws):
    with pytest.raises(CannotStart, match=r"s3://nobodys/dl \(NoSuchBucket: .*correct dead_letter\.config\.bucket"):
        sink(Bucket(aws.account, "nobodys")).check()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", r"s3:PutObject on arn:aws:s3:::letters-\w+/dl/"),
        (301, "PermanentRedirect", r"dead_letter\.config\.region"),
        (400, "KMS.NotFoundException", r"dead_letter\.config\.kms_key"),
        (400, "KMS.DisabledException", r"dead_letter\.config\.kms_key"),
        (403, "InvalidAccessKeyId", "credentials"),
        (403, "SignatureDoesNotMatch", "credentials"),
        (400, "ExpiredToken", "credentials"),
        (403, "RequestTimeTooSkewed", "clock"),
        (503, "SlowDown", "slow down"),
        (500, "InternalError", "ordered by the test"),
        (400, "SomethingNew", "ordered by the test"),
    ],
)
def test_a_refusal_says_its_code_and_what_to_do_at_the_start_and_when_writing(aws, status, code, words):
    bucket = aws.bucket()
    aws.proxy.fault("refuse", "s3:PutObject", status=status, code=code)
    with pytest.raises(CannotStart, match=f"{code}.*{words}"):
        sink(bucket).check()
    with pytest.raises(Transient, match=f"{code}.*{words}"):
        sink(bucket).write([event_letter()])


def test_an_address_where_nobody_listens_is_said_at_the_start_and_waited_for_later(aws):
    bucket = Bucket(Account(REGION, "http://127.0.0.1:9", None, 1.0), "letters")
    with pytest.raises(CannotStart, match=r"EndpointConnectionError.*dead_letter\.config\.endpoint"):
        sink(bucket).check()
    with pytest.raises(Transient, match="EndpointConnectionError"):
        sink(bucket).write([event_letter()])


def test_a_profile_that_is_not_there_is_a_matter_of_credentials(aws):
    bucket = Bucket(Account(REGION, aws.proxy.url, "nobodys", 1.0), "letters")
    with pytest.raises(CannotStart, match=r"ProfileNotFound.*credentials.*\.profile"):
        sink(bucket).check()


def test_no_credentials_at_all_are_said(aws, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(CannotStart, match=r"NoCredentialsError.*see the AWS credentials"):
        sink(Bucket(aws.account, "letters")).check()


@pytest.mark.parametrize("kind", ["throttle", "error", "cut", "cut_after"])
def test_whatever_happens_to_a_write_it_is_tried_once_and_nothing_is_missing_after_the_next(aws, kind):
    bucket = aws.bucket()
    tried = sink(bucket)
    aws.proxy.fault(kind, "s3:PutObject", times=1)
    letters = [event_letter(1), undecodable_letter(2)]
    with pytest.raises(Transient, match=re.escape(tried.place)):
        tried.write(letters)
    assert len(aws.proxy.requests) == 1
    tried.write(letters)
    expected = [1, 2, 1, 2] if kind == "cut_after" else [1, 2]
    assert offsets(everything(aws, bucket)) == expected


def test_an_answer_that_comes_too_late_is_no_answer(aws):
    slow = Bucket(aws.account._replace(timeout=0.2), aws.bucket().name)
    aws.proxy.fault("delay", "s3:PutObject", seconds=30)
    with pytest.raises(Transient, match=r"ReadTimeoutError.*dead_letter\.config\.timeout"):
        sink(slow).write([event_letter()])


def test_an_error_after_the_first_of_several_objects_is_an_error(aws):
    bucket = aws.bucket()
    letters = [event_letter(1), event_letter(2)]
    aws.proxy.fault("delay", "s3:PutObject", times=1)
    aws.proxy.fault("throttle", "s3:PutObject")
    with pytest.raises(Transient):
        sink(bucket, limit=1).write(letters)
    assert offsets(everything(aws, bucket)) == [1]


def test_many_threads_write_at_once_with_one_client(aws):
    bucket = aws.bucket()
    shared = sink(bucket)
    with ThreadPoolExecutor(25) as pool:
        list(pool.map(lambda number: shared.write([event_letter(number)]), range(25)))
    assert sorted(offsets(everything(aws, bucket))) == list(range(25))


def test_like_bodies_of_one_moment_do_not_overwrite_each_other(aws):
    bucket = aws.bucket()
    for _ in range(3):
        sink(bucket).write([event_letter(1)])
    assert len(aws.keys(bucket)) == 3


def test_nothing_is_imported_or_connected_to_before_it_is_needed(aws):
    sink(Bucket(Account(REGION, aws.proxy.url, "nobodys"), "letters")).close()
    assert aws.proxy.requests == []


def test_a_letter_of_any_characters_comes_back_byte_for_byte(aws):
    bucket = aws.bucket()
    odd = event_letter(1, {"event_type": "x\x00\x1f\ud800\ufffe\uffff\U0010ffff\u2028\r", "event": {}, "meta": {}})
    sink(bucket).write([odd])
    assert everything(aws, bucket) == to_line(odd)


def test_undecodable_bytes_come_back(aws):
    bucket = aws.bucket()
    letter = undecodable_letter(2)
    sink(bucket).write([letter])
    assert record_of(parsed(everything(aws, bucket))[0]) == letter.record
