"""Dead letters to SQS through boto3 and HTTP: what lies in the queue afterwards, and what every refusal does."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from datahub_poller.deadletter import aws_places
from datahub_poller.deadletter.letter import Past, to_line
from datahub_poller.deadletter.s3_bucket import BUCKETS_OWN, Encryption
from datahub_poller.deadletter.sqs import SqsSink
from datahub_poller.deadletter.sqs_message import message
from datahub_poller.errors import CannotStart, Transient
from datahub_poller.model import TopicPartition
from support.handlers import envelope
from support.letters import event_letter, record_of, undecodable_letter

LEGAL = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def sink(aws, url, overflow=None, **more):
    more.setdefault("sleep", lambda _: None)
    return SqsSink(aws_places.queue(aws.account, url), overflow, **more)


def large(number, size=300_000):
    made = envelope(number)
    return event_letter(number, {**made, "event": {"text": "x" * size}})


def on_partition(letter, partition):
    return replace(letter, record=letter.record._replace(tp=TopicPartition("PlatformEvent_v1", partition)))


def bodies(aws, url):
    return [json.loads(message["Body"]) for message in aws.messages(url)]


def offsets(aws, url):
    return [record_of(body).offset for body in bodies(aws, url)]


def test_a_letter_is_a_message_with_its_line_and_what_it_is_about(aws):
    url = aws.queue()
    letters = [event_letter(1), undecodable_letter(2)]
    sink(aws, url).write(letters)
    for taken, letter in zip(aws.messages(url), letters, strict=True):
        assert taken["Body"].encode() + b"\n" == to_line(letter)
        about = {name: value["StringValue"] for name, value in taken["MessageAttributes"].items()}
        failure = letter.failure
        assert about == {"action": "tag-sync", "stage": failure.stage, "kind": failure.kind, "letter": letter.id}


def test_any_number_of_letters_goes_in_requests_of_ten(aws):
    url = aws.queue()
    sink(aws, url).write([event_letter(number) for number in range(23)])
    assert [len(request.json()["Entries"]) for request in aws.proxy.asked("sqs:SendMessageBatch")] == [10, 10, 3]
    assert sorted(offsets(aws, url)) == list(range(23))


def test_a_request_is_no_larger_than_the_queue_takes(aws):
    url = aws.queue(MaximumMessageSize="262144")
    letters = [large(number, 60_000) for number in range(5)]
    sink(aws, url).write(letters)
    assert [len(request.json()["Entries"]) for request in aws.proxy.asked("sqs:SendMessageBatch")] == [4, 1]
    assert sorted(offsets(aws, url)) == list(range(5))


def test_a_queue_that_takes_a_mebibyte_gets_it(aws):
    url = aws.queue(MaximumMessageSize="1048576")
    letter = large(1, 400_000)
    sink(aws, url).write([letter])
    (taken,) = aws.messages(url)
    assert taken["Body"].encode() + b"\n" == to_line(letter)


def test_characters_that_the_queue_refuses_are_escaped_and_nothing_else_is_changed(aws):
    url = aws.queue()
    text = "nul \x00 low \ud800 \ufffe \uffff \\\ufffe \U0010ffff \x7f \u2028 ü"
    whole, lone = (event_letter(number, {"event_type": each, "event": {}, "meta": {}})
                   for number, each in enumerate((text.replace("\ud800", ""), text)))  # fmt: skip
    sink(aws, url).write([whole, lone])
    for request in aws.proxy.asked("sqs:SendMessageBatch"):
        for entry in request.json()["Entries"]:
            assert LEGAL.fullmatch(entry["MessageBody"])
    found = {record_of(body).offset: body["event_type"] for body in bodies(aws, url)}
    assert found == {0: text.replace("\ud800", ""), 1: text}


def test_an_action_and_an_error_of_any_name_are_legal_attributes(aws):
    url = aws.queue()
    letter = event_letter(1)
    failure = replace(letter.failure, kind="")
    sink(aws, url).write([replace(letter, action="\x00" + "ä" * 300, failure=failure)])
    (taken,) = aws.messages(url)
    assert taken["MessageAttributes"]["action"]["StringValue"] == "?" + "ä" * 255
    assert taken["MessageAttributes"]["kind"]["StringValue"] == "-"


# -- FIFO


def test_a_fifo_queue_gives_the_letters_of_each_partition_in_their_order(aws):
    url = aws.queue(fifo=True)
    letters = [on_partition(event_letter(number), number % 3) for number in range(30)]
    sink(aws, url).write(letters)
    found = aws.messages(url)
    for partition in range(3):
        of = [each for each in found if each["Attributes"]["MessageGroupId"] == f"PlatformEvent_v1-{partition}"]
        assert [record_of(json.loads(each["Body"])).offset for each in of] == list(range(partition, 30, 3))
    for request in aws.proxy.asked("sqs:SendMessageBatch"):
        groups = [entry["MessageGroupId"] for entry in request.json()["Entries"]]
        assert len(set(groups)) == len(groups) == 3


def test_a_letter_that_is_written_again_is_once_in_a_fifo_queue_and_one_that_failed_again_is_another(aws):
    url = aws.queue(fifo=True)
    letter = event_letter(1)
    for at in (1.0, 2.0):
        sink(aws, url).write([replace(letter, at=at)])
    sink(aws, url).write([replace(letter, past=Past(1))])
    assert [body["meta"]["redrives"] for body in bodies(aws, url)] == [0, 1]


@pytest.mark.parametrize("kind", ["some_entries", "throttle", "error", "cut", "cut_after"])
def test_nothing_of_a_partition_goes_before_what_failed(aws, kind):
    url = aws.queue(fifo=True)
    letters = [on_partition(event_letter(number), number % 2) for number in range(12)]
    written = sink(aws, url, pauses=())
    written.check()
    aws.proxy.fault("delay", "sqs:SendMessageBatch", times=2)
    aws.proxy.fault(kind, "sqs:SendMessageBatch", times=1)
    with pytest.raises(Transient):
        written.write(letters)
    written.write(letters)
    found = aws.messages(url)
    for partition in range(2):
        of = [each for each in found if each["Attributes"]["MessageGroupId"].endswith(f"-{partition}")]
        assert [record_of(json.loads(each["Body"])).offset for each in of] == list(range(partition, 12, 2))


# -- What the queue does not take


def test_what_the_queue_does_not_take_is_sent_again_at_once_and_alone(aws):
    url = aws.queue()
    slept = []
    written = sink(aws, url, sleep=slept.append, pauses=(0.5, 1.0))
    aws.proxy.fault("some_entries", "sqs:SendMessageBatch", times=1, entries=(1, 3), code="InternalError")
    aws.proxy.fault("some_entries", "sqs:SendMessageBatch", times=1, entries=(1,), code="InternalError")
    written.write([event_letter(number) for number in range(5)])
    assert [len(request.json()["Entries"]) for request in aws.proxy.asked("sqs:SendMessageBatch")] == [5, 2, 1]
    assert sorted(offsets(aws, url)) == list(range(5))
    assert slept == [0.5, 1.0]


def test_what_the_queue_never_takes_is_an_error_that_counts_it(aws):
    url = aws.queue()
    aws.proxy.fault("some_entries", "sqs:SendMessageBatch", entries=(0, 1), code="InternalError")
    with pytest.raises(Transient, match=r"^2 of 5 dead letters cannot be written to .*InternalError: ordered"):
        sink(aws, url, pauses=(0, 0)).write([event_letter(number) for number in range(5)])
    assert sorted(offsets(aws, url)) == [2, 3, 4]


def test_what_is_said_to_be_our_fault_is_not_sent_again(aws):
    url = aws.queue()
    aws.proxy.fault("some_entries", "sqs:SendMessageBatch", entries=(0,), code="InvalidMessageContents", status=400)
    with pytest.raises(Transient, match=r"1 of 2 .*InvalidMessageContents"):
        sink(aws, url).write([event_letter(1), event_letter(2)])
    assert len(aws.proxy.asked("sqs:SendMessageBatch")) == 1


@pytest.mark.parametrize("kind", ["throttle", "error"])
def test_a_busy_service_is_asked_again_a_few_times(aws, kind):
    url = aws.queue()
    slept = []
    written = sink(aws, url, sleep=slept.append, pauses=(0.5, 1.0))
    aws.proxy.fault(kind, "sqs:SendMessageBatch", times=2)
    written.write([event_letter(1)])
    assert slept == [0.5, 1.0]
    assert offsets(aws, url) == [1]
    aws.proxy.heal()
    aws.proxy.fault(kind, "sqs:SendMessageBatch")
    with pytest.raises(Transient):
        written.write([event_letter(1)])
    assert len(aws.proxy.asked("sqs:SendMessageBatch")) == 6


@pytest.mark.parametrize(("kind", "expected"), [("cut", [1, 2]), ("cut_after", [1, 1, 2, 2])])
def test_a_connection_that_is_cut_loses_nothing_and_may_double(aws, kind, expected):
    url = aws.queue()
    written = sink(aws, url)
    aws.proxy.fault(kind, "sqs:SendMessageBatch", times=1)
    letters = [event_letter(1), undecodable_letter(2)]
    with pytest.raises(Transient, match="ConnectionClosedError"):
        written.write(letters)
    written.write(letters)
    found = bodies(aws, url)
    assert sorted(record_of(body).offset for body in found) == expected
    assert {body["meta"]["id"] for body in found} == {letter.id for letter in letters}


def test_an_answer_that_comes_too_late_is_no_answer(aws):
    url = aws.queue()
    slow = SqsSink(aws_places.queue(aws.account._replace(timeout=3.0), url))
    slow.check()
    aws.proxy.fault("delay", "sqs:SendMessageBatch", seconds=30)
    with pytest.raises(Transient, match=r"ReadTimeoutError.*dead_letter\.config\.timeout"):
        slow.write([event_letter()])


def test_many_threads_write_at_once_with_one_client(aws):
    url = aws.queue()
    shared = sink(aws, url)
    together = threading.Barrier(25)

    def write(number):
        together.wait(60)
        shared.write([event_letter(number)])

    with ThreadPoolExecutor(25) as pool:
        list(pool.map(write, range(25)))
    assert sorted(offsets(aws, url)) == list(range(25))


# -- Letters too large for a message


def overflow(aws, bucket, encryption=BUCKETS_OWN):
    return aws_places.overflow(aws.account, f"s3://{bucket.name}/large", encryption)


@pytest.mark.parametrize("fifo", [False, True])
def test_a_letter_too_large_for_a_message_goes_to_s3_and_the_message_points_to_it(aws, fifo):
    url, bucket, letter = aws.queue(fifo=fifo, MaximumMessageSize="262144"), aws.bucket(), large(2)
    written = sink(aws, url, overflow(aws, bucket, Encryption("AES256")))
    written.write([event_letter(1), letter, event_letter(3)])
    found = aws.messages(url)
    pointer = json.loads(found[1]["Body"])
    (key,) = aws.keys(bucket, "large/action=tag-sync/date=")
    place = {
        "bucket": bucket.name,
        "key": key,
        "sha256": hashlib.sha256(to_line(letter)).hexdigest(),
        "bytes": len(to_line(letter)),
    }
    assert pointer == {"format": "datahub-poller/pointer", "version": 1, "s3": place}
    assert found[1]["MessageAttributes"]["letter"]["StringValue"] == letter.id
    assert aws.content(bucket, key) == to_line(letter)
    (request,) = aws.proxy.asked("s3:PutObject")
    assert request.headers["x-amz-server-side-encryption"] == "AES256"
    assert [found[index]["Body"].encode() + b"\n" for index in (0, 2)] == [
        to_line(event_letter(1)),
        to_line(event_letter(3)),
    ]


def test_without_an_overflow_a_letter_too_large_is_waited_for_and_nothing_is_sent(aws):
    url = aws.queue(MaximumMessageSize="262144")
    with pytest.raises(Transient, match=r"takes 262144: name an S3 bucket .* in dead_letter\.config\.overflow"):
        sink(aws, url).write([event_letter(1), large(2)])
    assert offsets(aws, url) == []


def test_a_message_of_just_the_queues_limit_is_sent_and_one_byte_more_overflows(aws):
    url, bucket = aws.queue(MaximumMessageSize="262144"), aws.bucket()
    written = sink(aws, url, overflow(aws, bucket))
    missing = 262_144 - message(large(1, 0)).size
    written.write([large(1, missing)])
    assert aws.keys(bucket) == []
    written.write([large(1, missing + 1)])
    assert len(aws.keys(bucket)) == 1


def test_while_the_queue_refuses_a_letter_is_put_into_the_bucket_once(aws):
    url, bucket = aws.queue(MaximumMessageSize="262144"), aws.bucket()
    written = sink(aws, url, overflow(aws, bucket), pauses=())
    aws.proxy.fault("throttle", "sqs:SendMessageBatch")
    for at in range(3):
        with pytest.raises(Transient):
            written.write([replace(large(1), at=float(at))])
    aws.proxy.heal()
    written.write([large(1)])
    assert len(aws.keys(bucket)) == 1
    written.write([large(1)])
    assert len(aws.keys(bucket)) == 2


@pytest.mark.parametrize("kind", ["error", "cut_after"])
def test_two_messages_never_share_an_object(aws, kind):
    url, bucket = aws.queue(MaximumMessageSize="262144"), aws.bucket()
    written = sink(aws, url, overflow(aws, bucket))
    aws.proxy.fault(kind, "sqs:SendMessageBatch", times=1)
    with pytest.raises(Transient):
        written.write([large(1)])
    written.write([large(1)])
    keys = [body["s3"]["key"] for body in bodies(aws, url)]
    assert len(set(keys)) == len(keys)
    assert len(aws.keys(bucket)) == 2


def test_a_bucket_that_refuses_is_named_and_no_message_points_to_nothing(aws):
    url, bucket = aws.queue(MaximumMessageSize="262144"), aws.bucket()
    aws.proxy.fault("refuse", "s3:PutObject", code="AccessDenied")
    with pytest.raises(Transient, match=rf"s3://{bucket.name}/large \(AccessDenied: .*s3:PutObject"):
        sink(aws, url, overflow(aws, bucket)).write([large(1)])
    assert bodies(aws, url) == []


# -- At the start


def test_a_check_leaves_no_message(aws):
    url, bucket = aws.queue(), aws.bucket()
    checked = sink(aws, url, overflow(aws, bucket))
    checked.check()
    assert aws.messages(url) == []
    assert aws.keys(bucket) == ["large/.check"]
    assert checked.place == url


def test_a_queue_that_is_not_there_is_named_with_its_setting(aws):
    with pytest.raises(CannotStart, match=r"nobodys \(.*NonExistentQueue: .*correct dead_letter\.config\.queue"):
        sink(aws, f"{aws.proxy.url}/123456789012/nobodys").check()


def test_an_overflow_that_is_not_there_is_named_with_its_setting(aws):
    nowhere = aws_places.overflow(aws.account, "s3://nobodys/large")
    with pytest.raises(CannotStart, match=r"s3://nobodys/large \(NoSuchBucket: .*dead_letter\.config\.overflow"):
        sink(aws, aws.queue(), nowhere).check()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "AccessDeniedException", "sqs:(GetQueueAttributes|SendMessage) on http"),
        (403, "AccessDenied", "sqs:(GetQueueAttributes|SendMessage) on http"),
        (400, "QueueDoesNotExist", r"dead_letter\.config\.queue"),
        (403, "InvalidClientTokenId", "credentials"),
        (400, "KmsAccessDenied", "KMS key"),
        (400, "RequestThrottled", "slow down"),
        (400, "SomethingNew", "ordered by the test"),
    ],
)
def test_a_refusal_says_its_code_and_what_to_do_at_the_start_and_when_writing(aws, status, code, words):
    url = aws.queue()
    refused = sink(aws, url)
    aws.proxy.fault("refuse", "sqs:GetQueueAttributes", status=status, code=code)
    with pytest.raises(CannotStart, match=f"{code}.*{words}"):
        refused.check()
    with pytest.raises(Transient, match=f"{code}.*{words}"):
        refused.write([event_letter()])
    aws.proxy.heal()
    refused.check()
    aws.proxy.fault("refuse", "sqs:SendMessageBatch", status=status, code=code)
    with pytest.raises(Transient, match=f"{code}.*{words}"):
        refused.write([event_letter()])


@pytest.mark.parametrize("kind", ["refuse", "some_entries"])
def test_a_limit_that_was_lowered_is_seen_after_the_queue_has_refused(aws, kind):
    url = aws.queue(MaximumMessageSize="1048576")
    bucket = aws.bucket()
    written = sink(aws, url, overflow(aws, bucket))
    written.check()
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "262144"})
    aws.proxy.fault(kind, "sqs:SendMessageBatch", times=1, status=400, code="BatchRequestTooLong")
    with pytest.raises(Transient, match="BatchRequestTooLong"):
        written.write([large(1)])
    written.write([large(1)])
    assert bodies(aws, url)[0]["format"] == "datahub-poller/pointer"
