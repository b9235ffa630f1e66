"""What a letter's message says in its headers, and what is made of a message again: without a broker."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.deadletter.found import NotALetter, found
from datahub_poller.deadletter.kafka_headers import LEDGER, LETTER, headers_of, is_ledger, letter_header, line_of
from datahub_poller.deadletter.letter import Past, to_document, to_line
from datahub_poller.deadletter.store import Stored
from datahub_poller.model import Failure, Record, TopicPartition
from support.letters import event_letter, record, undecodable_letter

OWN = (("trace", b"abc"), ("trace", None), ("bin", b"\xff\n"))


def sent(letter, dialect="datahub-poller", *, short=False):
    """The record that a letter's message is in its topic."""
    headers = headers_of(letter, dialect, short=short)
    place = TopicPartition("letters", 3)
    return Record(place, 11, 1_800_000_000_000, "CREATE_TIME", letter.record.key, letter.record.value, headers)


def read(message):
    return found(Stored(line_of(message), str(message)), "tag-sync")


def without(document, *keys):
    return {key: value for key, value in document.items() if key not in keys}


# -- the letter


def test_the_records_own_headers_come_first_as_they_were():
    assert headers_of(event_letter(), "datahub-poller")[:3] == OWN
    assert [name for name, _ in headers_of(event_letter(), "datahub-poller")[3:]] == [LETTER]


def test_the_header_is_the_letters_document_without_what_the_message_is_itself():
    document = to_document(event_letter())
    told = json.loads(dict(headers_of(event_letter(), "datahub-poller"))[LETTER])
    assert without(told, "meta") == without(document, "meta")
    assert told["meta"] == {**without(document["meta"], "raw"), "headers": 3}


@pytest.mark.parametrize("dialect", ["datahub-poller", "spring", "connect"])
@pytest.mark.parametrize("letter", [event_letter(), undecodable_letter()], ids=["event", "undecodable"])
def test_a_message_gives_the_letter_back_whole(letter, dialect):
    assert json.loads(line_of(sent(letter, dialect))) == json.loads(to_line(letter))
    assert read(sent(letter, dialect)).record() == letter.record


NAMES = st.sampled_from([LETTER, LEDGER, "trace", "kafka_dlt-original-topic", ""])
BYTES = st.none() | st.binary(max_size=20)


@given(BYTES, BYTES, st.lists(st.tuples(NAMES, BYTES), max_size=5), st.booleans())
def test_whatever_a_record_holds_it_comes_back_byte_for_byte(key, value, headers, short):
    original = record()._replace(key=key, value=value, headers=tuple(headers))
    message = sent(replace(event_letter(), record=original), "spring", short=short)
    assert read(message).record() == original
    assert not is_ledger(message.headers)


def test_a_letter_whose_record_was_a_letter_in_a_topic_is_told_by_the_last_header():
    before = sent(undecodable_letter(4))
    again = replace(event_letter(), record=before)
    assert letter_header(sent(again).headers) == headers_of(again, "datahub-poller")[-1][1]
    assert read(sent(again)).id == again.id
    assert read(sent(again)).record() == before


def test_what_json_readers_stumble_over_is_kept():
    odd = replace(event_letter(), failure=Failure("handler", "E", "lone \ud800, and \x00"))
    assert json.loads(line_of(sent(odd))) == json.loads(to_line(odd))
    large = event_letter(event={"event_type": "t", "event": {"n": 10**40}})
    assert json.loads(line_of(sent(large)))["event"] == {"n": 10**40}


# -- short


def test_a_short_letter_says_what_was_left_out():
    failure = Failure("handler", "ValueError", "m" * 1000, "s" * 5000, "r" * 4000)
    past = Past(2, tuple({"at": f"2026-01-0{day}", "error": "x" * 300} for day in range(1, 8)))
    letter = replace(event_letter(), failure=failure, past=past, trials=())
    told = json.loads(line_of(sent(letter, short=True)))
    about = told["meta"]
    assert told["event"] is None
    assert told["event_type"] == letter.envelope["event_type"]
    assert {key: len(about["failure"][key]) for key in ("message", "stack", "response")} == {
        "message": 500,
        "stack": 500,
        "response": 500,
    }
    assert about["history"] == list(past.history[-3:])
    assert about["left_out"] == [
        "event",
        "failure.message",
        "failure.stack",
        "failure.response",
        "history",
        "kafka.key",
        "kafka.headers",
    ]
    full = to_document(letter)["meta"]
    changed = ("failure", "history", "left_out")
    assert without(about, *changed) == without(full, *changed)


def test_a_short_letter_with_little_to_leave_out_names_no_more_than_that():
    letter = replace(undecodable_letter(), record=record(key=b"k" * 900))
    assert json.loads(line_of(sent(letter, short=True)))["meta"]["left_out"] == ["kafka.key", "kafka.headers"]
    (_, told) = headers_of(letter, "datahub-poller", short=True)[-1]
    assert b"kkk" not in told


def test_the_dialects_stack_is_short_too():
    letter = replace(event_letter(), failure=Failure("handler", "E", "m", "s" * 5000))
    assert len(dict(headers_of(letter, "spring", short=True))["kafka_dlt-exception-stacktrace"]) == 500
    assert len(dict(headers_of(letter, "connect", short=True))["__connect.errors.exception.stacktrace"]) == 500


# -- dialects


def test_springs_headers():
    assert headers_of(event_letter(), "spring")[4:] == (
        ("kafka_dlt-original-topic", b"PlatformEvent_v1"),
        ("kafka_dlt-original-partition", b"\x00\x00\x00\x00"),
        ("kafka_dlt-original-offset", b"\x00\x00\x00\x00\x00\x00\x00\x07"),
        ("kafka_dlt-original-timestamp", b"\x00\x00\x01\x8b\xcf\xe5\x68\x7b"),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"tag-sync"),
        ("kafka_dlt-exception-fqcn", b"ValueError"),
        ("kafka_dlt-exception-cause-fqcn", b"ValueError"),
        ("kafka_dlt-exception-message", b"tag unknown"),
        ("kafka_dlt-exception-stacktrace", b"Traceback ...\n  line 2"),
    )


@pytest.mark.parametrize(
    ("kind", "word"), [("LOG_APPEND_TIME", b"LogAppendTime"), ("NOT_AVAILABLE", b"NoTimestampType")]
)
def test_springs_words_for_a_timestamps_type(kind, word):
    letter = replace(event_letter(), record=record()._replace(timestamp_type=kind, timestamp=-1))
    headers = dict(headers_of(letter, "spring"))
    assert headers["kafka_dlt-original-timestamp-type"] == word
    assert headers["kafka_dlt-original-timestamp"] == b"\xff" * 8


def test_connects_headers():
    assert headers_of(event_letter(), "connect")[4:] == (
        ("__connect.errors.topic", b"PlatformEvent_v1"),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", b"7"),
        ("__connect.errors.connector.name", b"tag-sync"),
        ("__connect.errors.task.id", b"0"),
        ("__connect.errors.stage", b"TASK_PUT"),
        ("__connect.errors.class.name", b"datahub_poller"),
        ("__connect.errors.exception.class.name", b"ValueError"),
        ("__connect.errors.exception.message", b"tag unknown"),
        ("__connect.errors.exception.stacktrace", b"Traceback ...\n  line 2"),
    )
    assert dict(headers_of(undecodable_letter(), "connect"))["__connect.errors.stage"] == b"VALUE_CONVERTER"


def test_text_that_is_no_utf_8_does_not_hold_a_letter_up():
    letter = replace(event_letter(), failure=Failure("handler", "E", "lone \ud800"))
    assert dict(headers_of(letter, "spring"))["kafka_dlt-exception-message"] == b"lone ?"


# -- what is no letter


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "neither our form"),
        ((("kafka_dlt-original-topic", b"t"),), "neither our form"),
        (((LETTER, None),), "neither our form"),
        (((LETTER, b"\xff{"),), "not JSON"),
        (((LETTER, b"[1]"),), "not a JSON object"),
        (((LETTER, b'{"meta": 3}'),), "neither our form"),
        (((LETTER, b'{"meta": {"format": "datahub-poller/dead-letter", "version": 1}}'),), "damaged"),
        (((LETTER, b'{"meta": {"format": "datahub-poller/dead-letter", "version": 2, "headers": 0}}'),), "version"),
    ],
)
def test_what_is_no_letter_is_refused_with_a_reason(headers, reason):
    message = record()._replace(headers=headers, value=b'{"event_type": "t", "event": {}}')
    with pytest.raises(NotALetter, match=reason):
        read(message)


def test_the_ledgers_lines_are_told_from_letters():
    assert is_ledger(((LEDGER, b"1"),))
    assert not is_ledger(())
    assert not is_ledger((("other", b"1"),))
    assert is_ledger(((LETTER, b"{}"), (LEDGER, b"1")))
    assert letter_header(((LETTER, b"{}"), (LEDGER, b"1"))) is None
