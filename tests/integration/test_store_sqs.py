"""Dead letters read back from SQS through boto3 and HTTP: looked at without being used up, deleted when done with."""

from __future__ import annotations

import json
import re
import threading

import pytest

from datahub_poller.deadletter import aws_places
from datahub_poller.deadletter.account import letters as letters_in
from datahub_poller.deadletter.letter import to_line
from datahub_poller.deadletter.sqs import SqsSink
from datahub_poller.deadletter.sqs_store import SqsStore
from datahub_poller.deadletter.store import Mark
from datahub_poller.errors import CannotStart, Transient
from support.brokers import eventually
from support.handlers import envelope
from support.letters import event_letter, undecodable_letter


@pytest.fixture
def opened(aws):
    """Makes stores that look once, renew nothing by themselves and are closed in the end."""
    stores = []

    def open_store(url, overflow=None, **more):
        made = SqsStore(aws_places.queue(aws.persons, url), overflow, **{"wait": 0, "empties": 2, "beat": 0, **more})
        stores.append(made)
        return made

    yield open_store
    aws.proxy.heal()
    for store in stores:
        store.close()


class Clock:
    """Monotonic, by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def fill(aws, url, letters, overflow=None):
    SqsSink(aws_places.queue(aws.account, url), overflow).write(letters)


def of(stored, done="delivered"):
    return stored, Mark("tag-sync", "x", 0, done, 0.0, "me", "r1")


def lines(store):
    return sorted(stored.line for stored in store.scan())


def large(number):
    return event_letter(number, {**envelope(number), "event": {"text": "x" * 300_000}})


def numbered(count):
    return [event_letter(number) for number in range(count)]


def test_letters_come_back_byte_for_byte(aws, opened):
    url, letters = aws.queue(), [event_letter(1), undecodable_letter(2)]
    fill(aws, url, letters)
    assert lines(opened(url)) == sorted(map(to_line, letters))


def test_a_look_uses_nothing_up(aws, opened):
    url, letters = aws.queue(), numbered(23)
    fill(aws, url, letters)
    first = opened(url)
    assert len(list(first.scan())) == 23
    assert aws.waiting(url) == (0, 23)
    first.close()
    assert aws.waiting(url) == (23, 0)
    assert lines(opened(url)) == sorted(map(to_line, letters))


def test_the_messages_id_is_where_a_letter_lies(aws, opened):
    url = aws.queue()
    fill(aws, url, [event_letter(1)])
    first = opened(url)
    (stored,) = first.scan()
    first.close()
    assert stored.where == f"message {aws.messages(url)[0]['MessageId']}"


@pytest.mark.parametrize("done", ["delivered", "failed_again", "written", "produced", "dropped"])
def test_what_was_dealt_with_is_deleted_whatever_was_done_and_the_others_stay(aws, opened, done):
    url = aws.queue()
    fill(aws, url, numbered(15))
    first = opened(url)
    stored = list(first.scan())
    first.mark([of(each, done) for each in stored[:12]])
    first.close()
    assert aws.waiting(url) == (3, 0)
    assert lines(opened(url)) == sorted(each.line for each in stored[12:])
    assert list(first.marks()) == []


def test_what_is_removed_is_deleted_and_counted_after_it_was_marked_too(aws, opened):
    url = aws.queue()
    fill(aws, url, numbered(3))
    first = opened(url)
    one, two, _ = first.scan()
    first.mark([of(one, "dropped")])
    assert first.remove([one, two]) == 2
    first.close()
    assert aws.waiting(url) == (1, 0)


def test_a_letter_named_twice_is_deleted_once(aws, opened):
    url = aws.queue()
    fill(aws, url, [event_letter(1)])
    first = opened(url)
    (stored,) = first.scan()
    first.mark([of(stored), of(stored)])
    first.mark([])
    assert aws.waiting(url) == (0, 0)


def test_a_fifo_queue_gives_the_next_of_a_group_when_the_first_are_done_with(aws, opened):
    url = aws.queue(fifo=True)
    fill(aws, url, numbered(25))
    first, seen = opened(url), []
    for stored in first.scan():
        seen.append(stored.line)
        first.mark([of(stored)])
    assert seen == [to_line(letter) for letter in numbered(25)]
    assert aws.waiting(url) == (0, 0)


def test_a_look_ends_at_its_limit(aws, opened):
    url = aws.queue()
    fill(aws, url, numbered(23))
    assert len(list(opened(url, limit=10).scan())) == 10


def test_what_is_no_letter_is_handed_out_all_the_same(aws, opened):
    url = aws.queue()
    aws.sqs.send_message(QueueUrl=url, MessageBody="hello\n")
    found = letters_in(opened(url), "tag-sync")
    assert list(found) == []
    assert found.rejected == 1


# -- Letters too large for a message


@pytest.fixture
def large_one(aws):
    """A queue with a large letter in it, its overflow, and the bucket that has its line."""
    url, bucket = aws.queue(MaximumMessageSize="262144"), aws.bucket()
    overflow = aws_places.overflow(aws.account, f"s3://{bucket.name}/large")
    fill(aws, url, [large(1)], overflow)
    return url, aws_places.overflow(aws.persons, f"s3://{bucket.name}/large"), bucket


def test_a_pointer_is_followed_and_its_object_deleted_with_it(aws, opened, large_one):
    url, overflow, bucket = large_one
    first = opened(url, overflow)
    (stored,) = first.scan()
    assert stored.line == to_line(large(1))
    assert len(aws.keys(bucket)) == 1
    first.mark([of(stored)])
    assert aws.keys(bucket) == []
    assert aws.waiting(url) == (0, 0)


def test_an_object_is_not_deleted_before_its_message_is(aws, opened, large_one):
    url, overflow, bucket = large_one
    first = opened(url, overflow)
    (stored,) = first.scan()
    aws.proxy.fault("error", "sqs:DeleteMessageBatch")
    with pytest.raises(Transient):
        first.mark([of(stored)])
    assert len(aws.keys(bucket)) == 1


def test_an_object_that_cannot_be_deleted_does_not_stop_anything(aws, opened, large_one):
    url, overflow, bucket = large_one
    first = opened(url, overflow)
    (stored,) = first.scan()
    aws.proxy.fault("refuse", "s3:DeleteObject", code="AccessDenied")
    first.mark([of(stored)])
    assert aws.waiting(url) == (0, 0)
    assert len(aws.keys(bucket)) == 1


def tampered(aws, bucket):
    (key,) = aws.keys(bucket)
    aws.s3.put_object(Bucket=bucket.name, Key=key, Body=to_line(large(2)))


def lost(aws, bucket):
    aws.s3.delete_object(Bucket=bucket.name, Key=aws.keys(bucket)[0])


def refused(aws, bucket):
    aws.proxy.fault("refuse", "s3:GetObject", code="AccessDenied")


@pytest.mark.parametrize(
    ("happened", "words"),
    [(tampered, "is not what was put there"), (lost, "is not there"), (refused, "AccessDenied: .*s3:GetObject")],
)
def test_a_pointer_that_cannot_be_followed_is_shown_itself_with_the_reason(aws, opened, large_one, happened, words):
    url, overflow, bucket = large_one
    happened(aws, bucket)
    (stored,) = opened(url, overflow).scan()
    pointer = json.loads(stored.line)
    assert pointer["format"] == "datahub-poller/pointer"
    assert re.match(rf"message \S+ \(s3://{bucket.name}/large/.*{words}", stored.where)


def test_a_pointer_without_an_overflow_to_follow_it_to_is_shown_itself(aws, opened, large_one):
    (stored,) = opened(large_one[0]).scan()
    assert "dead_letter.config.overflow is not set" in stored.where


def test_a_pointer_out_of_the_overflow_is_neither_followed_nor_deleted(aws, opened, large_one):
    url, overflow, bucket = large_one
    (message,) = aws.messages(url)
    aws.s3.put_object(Bucket=bucket.name, Key="large/secrets", Body=b"secret")
    other = aws.bucket()
    aws.s3.put_object(Bucket=other.name, Key="large/action=x/1", Body=b"secret")
    body = json.loads(message["Body"])
    for place in ({"bucket": other.name, "key": "large/action=x/1"}, {"bucket": bucket.name, "key": "large/secrets"}):
        forged = {**body, "s3": {**body["s3"], **place}}
        aws.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(forged))
    first = opened(url, overflow)
    stored = list(first.scan())
    assert all("is not in dead_letter.config.overflow" in each.where for each in stored)
    assert not any(b"secret\n" in each.line for each in stored)
    assert first.remove(stored) == 2
    assert aws.keys(other) == ["large/action=x/1"]
    assert "large/secrets" in aws.keys(bucket)
    assert aws.proxy.asked("s3:GetObject") == []


# -- What looking does, and how long it lasts


def test_looking_is_warned_of_with_what_the_queue_does_then(aws, opened):
    assert opened(aws.queue()).caution == (
        "Looking hides messages from other readers for up to 300 s and counts as a receive."
    )
    arn = aws.sqs.get_queue_attributes(QueueUrl=aws.queue(), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 4})
    assert "dead-letter queue after 4 receives" in opened(aws.queue(RedrivePolicy=policy)).caution
    assert "only the first messages of each group" in opened(aws.queue(fifo=True)).caution
    aws.proxy.fault("refuse", "sqs:GetQueueAttributes", code="AccessDenied")
    assert opened(aws.queue(fifo=True)).caution.startswith("Looking hides messages")


def test_what_is_held_is_renewed_when_half_its_time_is_over_and_not_before(aws, opened):
    url, clock = aws.queue(), Clock()
    fill(aws, url, numbered(12))
    first = opened(url, clock=clock)
    list(first.scan())
    for at, requests in ((149.0, 0), (151.0, 2), (152.0, 2), (302.0, 4)):
        clock.now = at
        first.hold()
        assert len(aws.proxy.asked("sqs:ChangeMessageVisibilityBatch")) == requests, at


def test_writing_down_what_was_done_renews_the_others(aws, opened):
    url, clock = aws.queue(), Clock()
    fill(aws, url, numbered(2))
    first = opened(url, clock=clock)
    one, _ = first.scan()
    clock.now = 200.0
    first.mark([of(one)])
    assert len(aws.proxy.asked("sqs:ChangeMessageVisibilityBatch")) == 1


@pytest.mark.parametrize("kind", ["throttle", "error", "cut"])
def test_what_cannot_be_renewed_now_is_renewed_the_next_time(aws, opened, kind):
    url, clock = aws.queue(), Clock()
    fill(aws, url, numbered(1))
    first = opened(url, clock=clock)
    list(first.scan())
    clock.now = 200.0
    aws.proxy.fault(kind, "sqs:ChangeMessageVisibilityBatch", times=1)
    first.hold()
    first.hold()
    first.hold()
    assert len(aws.proxy.asked("sqs:ChangeMessageVisibilityBatch")) == 2


def test_a_thread_renews_what_is_held_while_a_redrive_takes_long(aws, opened):
    url, clock = aws.queue(), Clock()
    fill(aws, url, numbered(3))
    first = opened(url, beat=0.1, clock=clock)
    (stored, *_) = first.scan()

    def renewals():
        return aws.proxy.asked("sqs:ChangeMessageVisibilityBatch")

    for at, times in ((151.0, 1), (302.0, 2)):
        clock.now = at
        eventually(lambda times=times: len(renewals()) == times, "nothing is renewed")
    hidden = {int(entry["VisibilityTimeout"]) for each in renewals() for entry in each.json()["Entries"]}
    assert hidden == {300}
    assert aws.waiting(url) == (0, 3)
    first.mark([of(stored)])
    first.close()
    assert aws.waiting(url) == (2, 0)
    assert "letters-held" not in {thread.name for thread in threading.enumerate()}


def test_a_letter_whose_time_was_over_is_not_lost_and_stops_nothing(aws, opened):
    url = aws.queue()
    fill(aws, url, numbered(2))
    first = opened(url)
    one, two = first.scan()
    aws.proxy.fault(
        "some_entries", "sqs:DeleteMessageBatch", times=1, entries=(0,), code="ReceiptHandleIsInvalid", status=400
    )
    first.mark([of(one), of(two)])
    assert first.remove([two]) == 1
    assert aws.waiting(url) == (0, 1)


def test_a_message_that_comes_again_within_a_look_is_handed_out_once_and_its_new_receipt_counts(aws, opened):
    url = aws.queue()
    fill(aws, url, [event_letter(1)])
    first = opened(url)
    scan = first.scan()
    stored = next(scan)
    aws.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=stored.handle.receipt, VisibilityTimeout=0)
    assert list(scan) == []
    assert len(aws.proxy.asked("sqs:ReceiveMessage")) == 3
    receipt = first._holding.receipts()[stored.handle.message]
    assert receipt != stored.handle.receipt
    first.mark([of(stored)])
    (request,) = aws.proxy.asked("sqs:DeleteMessageBatch")
    assert [entry["ReceiptHandle"] for entry in request.json()["Entries"]] == [receipt]
    assert aws.waiting(url) == (0, 0)


# -- What the queue does not do


def test_a_queue_that_cannot_be_read_is_named_with_the_right_that_is_missing(aws, opened):
    url = aws.queue()
    aws.proxy.fault("refuse", "sqs:ReceiveMessage", status=400, code="AccessDeniedException")
    with pytest.raises(CannotStart, match="AccessDeniedException: the role needs sqs:ReceiveMessage"):
        list(opened(url).scan())
    aws.proxy.heal()
    with pytest.raises(CannotStart, match="NonExistentQueue"):
        list(opened(url + "-not").scan())


@pytest.mark.parametrize("kind", ["throttle", "error", "cut", "cut_after"])
def test_what_cannot_be_deleted_now_can_be_later(aws, opened, kind):
    url = aws.queue()
    fill(aws, url, numbered(2))
    first = opened(url)
    one, two = first.scan()
    aws.proxy.fault(kind, "sqs:DeleteMessageBatch", times=1)
    with pytest.raises(Transient, match="cannot be deleted from"):
        first.mark([of(one), of(two)])
    first.mark([of(one), of(two)])
    assert aws.waiting(url) == (0, 0)


def test_what_was_deleted_in_part_is_said_and_the_rest_deleted_later(aws, opened):
    url = aws.queue()
    fill(aws, url, numbered(15))
    first = opened(url)
    stored = list(first.scan())
    aws.proxy.fault("delay", "sqs:DeleteMessageBatch", times=1)
    aws.proxy.fault("some_entries", "sqs:DeleteMessageBatch", times=1, entries=(1,), code="InternalError")
    with pytest.raises(Transient, match=r"^1 dead letters cannot be deleted.*InternalError"):
        first.mark([of(each) for each in stored])
    assert aws.waiting(url) == (0, 1)
    assert first._holding.receipts().keys() == {stored[11].handle.message}
    first.mark([of(each) for each in stored])
    assert aws.waiting(url) == (0, 0)


def test_the_missing_right_to_delete_is_named(aws, opened):
    url = aws.queue()
    fill(aws, url, [event_letter(1)])
    first = opened(url)
    stored = list(first.scan())
    aws.proxy.fault("refuse", "sqs:DeleteMessageBatch", status=400, code="AccessDeniedException")
    with pytest.raises(Transient, match="the role needs sqs:DeleteMessage on"):
        first.remove(stored)


def test_a_close_that_nobody_answers_is_a_close(aws, opened):
    url = aws.queue()
    fill(aws, url, [event_letter(1)])
    first = opened(url)
    list(first.scan())
    aws.proxy.fault("cut", "sqs:*")
    first.close()
    first.close()
    assert len(aws.proxy.asked("sqs:ChangeMessageVisibilityBatch")) == 1
