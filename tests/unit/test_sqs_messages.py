"""Letters as messages: legal, bounded, ordered and told apart; put together to requests within their limits."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datahub_poller import letterbox
from datahub_poller.aws import Account
from datahub_poller.deadletter import aws_places
from datahub_poller.deadletter.letter import Past, to_line
from datahub_poller.deadletter.sqs_batches import OLD_BYTES, REQUEST_BYTES, batches, request_limit
from datahub_poller.deadletter.sqs_held import Holding
from datahub_poller.deadletter.sqs_message import (
    Message,
    attribute,
    group,
    legal,
    message,
    pointer_body,
    pointer_in,
    pointer_to,
)
from datahub_poller.deadletter.sqs_store import SqsStore
from datahub_poller.model import TopicPartition
from support.action_files import action_of
from support.letters import event_letter

LEGAL = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
GROUP = re.compile(r"[a-zA-Z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
ODD = '\x00\x1f\ud800\udfff\ufffe\uffff\\"\x7f'
ANY = st.lists(st.sampled_from([*ODD]) | st.characters(), max_size=12).map("".join)


@given(ANY)
@example("\\\ufffe\uffff")
@example(ODD)
def test_a_body_is_legal_and_says_what_the_line_says(text):
    line = to_line(event_letter(1, {"event_type": text, "event": {text: [text]}, "meta": {}}))
    body = legal(line)
    assert LEGAL.fullmatch(body)
    assert json.loads(body) == json.loads(line)


def test_a_body_is_the_line_itself_where_that_is_legal():
    line = to_line(event_letter(1, {"event_type": "ü\u2028\U0010ffff\x7f\n", "event": {}, "meta": {}}))
    assert legal(line).encode() + b"\n" == line


@given(ANY | st.text(max_size=1000))
def test_an_attribute_is_legal_short_and_never_empty(text):
    assert 1 <= len(attribute(text)) <= 256
    assert LEGAL.fullmatch(attribute(text))


@given(ANY | st.text("ab\x00", min_size=100, max_size=300), st.integers(0, 10_000))
def test_a_group_is_legal_and_of_one_partition(topic, partition):
    found = group(TopicPartition(topic, partition))
    assert GROUP.fullmatch(found)
    assert found != group(TopicPartition(topic, partition + 1))
    assert found == group(TopicPartition(topic, partition))


def test_a_groups_name_is_the_partitions_where_it_can_be():
    assert group(TopicPartition("PlatformEvent_v1", 3)) == "PlatformEvent_v1-3"
    assert group(TopicPartition("a" * 126, 0)) == "a" * 126 + "-0"
    assert group(TopicPartition("a" * 127, 0)) != "a" * 127 + "-0"


def test_a_letter_is_told_apart_by_action_id_and_redrives_and_nothing_else():
    letter = event_letter(1)
    names = [letter, event_letter(2), replace(letter, action="other"), replace(letter, past=Past(1))]
    found = [message(each).deduplication for each in names]
    assert len(set(found)) == 4
    assert message(replace(letter, at=9.0, attempts=7)).deduplication == found[0]
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in found)


def test_a_size_counts_what_sqs_counts():
    made = Message(("a", "l", 0), "bodyü", {"name": "valü"}, "", "")
    assert made.size == len(b"body") + 2 + len(b"name") + len(b"String") + len(b"val") + 2


def sized(size, group="g"):
    return Message(("a", "l", 0), "x" * size, {}, group, "")


MESSAGES = st.lists(st.builds(sized, st.integers(1, 300), st.sampled_from(["", "p-0", "p-1", "p-2"])), max_size=60)


@given(MESSAGES, st.integers(300, 1200), st.booleans())
def test_all_messages_are_in_requests_within_both_limits_in_their_order(messages, limit, fifo):
    found = list(batches(messages, limit, fifo=fifo))
    assert [each for batch in found for each in batch] == messages
    for batch in found:
        assert 1 <= len(batch) <= 10
        assert sum(each.size for each in batch) <= limit or len(batch) == 1
        if fifo:
            assert len({each.group for each in batch}) == len(batch)
    for one, two in itertools.pairwise(found):
        ahead = fifo and two[0].group in {each.group for each in one}
        assert len(one) == 10 or ahead or sum(each.size for each in one) + two[0].size > limit


def test_a_request_is_made_when_it_is_full_and_not_after_all_messages():
    made = []

    def making():
        for number in range(30):
            made.append(number)
            yield sized(1)

    next(batches(making(), 1000, fifo=False))
    assert len(made) == 11


def test_a_request_holds_a_mebibyte_where_the_queue_knows_that():
    assert request_limit(REQUEST_BYTES) == REQUEST_BYTES
    assert request_limit(OLD_BYTES) == OLD_BYTES
    assert request_limit(1024) == OLD_BYTES


POINTER = pointer_to("b", "k/ü", b"content")


def test_a_pointer_comes_back_from_its_body_and_knows_its_content():
    assert pointer_in(pointer_body(POINTER)) == POINTER
    assert POINTER.matches(b"content")
    assert not POINTER.matches(b"Content")
    assert not POINTER._replace(size=8).matches(b"content")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "x",
        "[]",
        "{}",
        to_line(event_letter()).decode(),
        '{"format": "datahub-poller/pointer", "version": 2, "s3": {"bucket":"b","key":"k","sha256":"s","bytes":1}}',
        '{"format": "datahub-poller/pointer", "version": 1}',
        '{"format": "datahub-poller/pointer", "version": 1, "s3": {"bucket":"b","key":1,"sha256":"s","bytes":1}}',
    ],
)
def test_what_is_no_pointer_is_none(body):
    assert pointer_in(body) is None


class Answering:
    """A service that answers what it is told."""

    def __init__(self, answer):
        self._answer = answer

    def ask(self, question):
        return self._answer


def test_a_message_that_the_answer_does_not_mention_was_not_taken(monkeypatch):
    queue = aws_places.queue(Account("r"), "http://localhost/q")
    refused = {"Id": "2", "Code": "InternalError", "Message": "m", "SenderFault": False}
    monkeypatch.setattr(queue, "_service", Answering({"Successful": [{"Id": "1"}], "Failed": [refused]}))
    failed = queue.send([message(event_letter(number)) for number in range(3)], fifo=False)
    assert [(each.number, each.code) for each in failed] == [(0, "Unmentioned"), (2, "InternalError")]


def test_messages_are_held_until_they_are_let_go_or_deleted():
    now = [0.0]
    holding = Holding(100, lambda: now[0])
    assert holding.take("a", "r1", 0.0)
    assert holding.take("b", "r2", 40.0)
    assert not holding.take("a", "r3", 0.0)
    now[0] = 51.0
    assert holding.due() == {"a": "r3"}
    holding.renewed(["a", "never held"], 51.0)
    assert holding.due() == {}
    assert holding.receipts() == {"a": "r3", "b": "r2"}
    holding.deleted(["a"])
    holding.let_go(["b"])
    assert holding.receipts() == {}
    assert holding.is_gone("a")
    assert not holding.is_gone("b")


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/q", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "cn-north-1"),
        ("https://vpce-1-2.sqs.us-east-2.vpce.amazonaws.com/123456789012/q", "us-east-2"),
        ("https://queue.amazonaws.com/123456789012/q", None),
        ("https://sqs.amazonaws.com/123456789012/q", None),
        ("http://localhost:4566/000000000000/q", None),
        ("https://sqs.example.org/q", None),
    ],
)
def test_a_queues_url_names_its_region(url, region):
    assert aws_places.region_in(url) == region


@pytest.mark.parametrize(
    ("endpoint", "kept"),
    [
        (None, None),
        ("http://localhost:4566", "http://localhost:4566"),
        ("https://vpce-1-2.sqs.us-east-2.vpce.amazonaws.com", None),
    ],
)
def test_an_endpoint_of_sqs_is_not_asked_for_s3(endpoint, kept):
    found = aws_places.overflow(Account("r", endpoint), "s3://bucket/a/b")
    assert found.bucket._service._account.endpoint == kept
    assert (found.bucket.name, found.prefix) == ("bucket", "a/b")
    assert aws_places.overflow(Account(), "s3://bucket").prefix == ""
    assert aws_places.overflow(Account(), None) is None


def test_the_settings_make_a_sink_and_a_store_of_one_queue():
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
    action = action_of({"dead_letter": {"type": "sqs", "config": {"queue": url, "overflow": "s3://bucket/p"}}})
    store = letterbox.store(action, {})
    assert isinstance(store, SqsStore)
    assert store.place == letterbox.sink(action, {}).place == url
