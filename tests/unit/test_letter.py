import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from datahub_poller import deadletter
from datahub_poller.deadletter.letter import HISTORY_LIMIT, Letter, Past, to_line
from datahub_poller.model import Failure, Record, TopicPartition
from support.handlers import envelope
from support.letters import event_letter, parsed, record, record_of, undecodable_letter

SCHEMA = json.loads((Path(deadletter.__file__).parent / "dead-letter.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def only(letter):
    (line,) = parsed(to_line(letter))
    return line


def test_an_events_line_has_what_datahub_actions_writes_and_more_under_meta():
    line = only(event_letter())
    assert list(line) == ["event_type", "event", "meta"]
    assert line["event_type"] == "EntityChangeEvent_v1"
    assert line["event"] == envelope(7)["event"]
    meta = line["meta"]
    assert meta["kafka"] == {
        "cluster": "c1",
        "topic": "PlatformEvent_v1",
        "partition": 0,
        "offset": 7,
        "timestamp": 1_700_000_000_123,
        "timestamp_type": "CREATE_TIME",
        "key": "urn:li:x",
        "headers": [["trace", "abc"], ["trace", None], ["bin", None]],
        "id": "c1/PlatformEvent_v1/0/7",
    }
    assert meta["failure"] == {
        "stage": "handler",
        "kind": "ValueError",
        "message": "tag unknown",
        "stack": "Traceback ...\n  line 2",
        "response": None,
    }
    assert meta["schema"] == {"registry": "confluent", "id": 0}
    assert meta["history"] == [
        {
            "at": "2023-11-14T22:13:20.250+00:00",
            "batch_id": "b0",
            "attempt": 2,
            "events": 5,
            "error": "ValueError: tag unknown",
        }
    ]
    assert meta["redrives"] == 0
    assert (meta["attempts"], meta["batch_id"], meta["action"]) == (3, "b1", "tag-sync")
    assert datetime.fromisoformat(meta["at"]).timestamp() == 1_700_000_001.5
    assert meta["poller"]["version"]


def test_an_undecodable_records_letter_has_the_same_form_without_an_event():
    line, event = only(undecodable_letter()), only(event_letter())
    assert list(line) == list(event)
    assert (line["event_type"], line["event"]) == (None, None)
    assert list(line["meta"]) == list(event["meta"])
    assert line["meta"]["failure"]["kind"] == "not_framed"
    assert (line["meta"]["attempts"], line["meta"]["batch_id"], line["meta"]["schema"]) == (0, None, None)
    assert line["meta"]["kafka"] == event["meta"]["kafka"]


def test_what_is_behind_a_record_that_was_a_letter_before_comes_before_what_it_has_met_since():
    before = [{"error": f"error {number}"} for number in range(HISTORY_LIMIT)]
    letter = replace(event_letter(), past=Past(2, tuple(before)))
    meta = only(letter)["meta"]
    assert meta["redrives"] == 2
    assert meta["id"] == event_letter().id
    assert [each["error"] for each in meta["history"]] == [
        *(each["error"] for each in before[1:]),
        "ValueError: tag unknown",
    ]


@pytest.mark.parametrize("make", [event_letter, undecodable_letter])
def test_a_letter_is_what_its_schema_says(make):
    VALIDATOR.validate(only(make()))
    VALIDATOR.validate(only(replace(make(), past=Past(1, (only(event_letter())["meta"]["history"][0],)))))


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.pop("event_type"),
        lambda line: line["meta"].pop("id"),
        lambda line: line["meta"].update(version=2),
        lambda line: line["meta"].update(more=1),
        lambda line: line["meta"]["failure"].update(stage="elsewhere"),
        lambda line: line["meta"]["raw"].update(value="not base64!"),
        lambda line: line["meta"]["history"][0].pop("at"),
        lambda line: line.update(event=None),
    ],
)
def test_the_schema_refuses_what_is_no_letter(damage):
    line = only(event_letter())
    damage(line)
    assert not VALIDATOR.is_valid(line)


@pytest.mark.parametrize("make", [event_letter, undecodable_letter])
def test_the_record_can_be_had_back_exactly(make):
    assert record_of(only(make())) == record()


def test_the_id_is_the_records_own_whatever_became_of_it():
    ids = {only(letter)["meta"]["id"] for letter in (event_letter(), replace(undecodable_letter(), record=record()))}
    assert ids == {event_letter().id}
    assert event_letter(8).id != event_letter(7).id


@pytest.mark.parametrize(
    "other",
    [
        record()._replace(timestamp=5),
        record(key=None),
        record(key=b""),
        record(value=None),
        record(value=b""),
        record(key=b"urn:li:x\x00", value=b"bytes"),
        record()._replace(tp=TopicPartition("PlatformEvent_v1", 1)),
    ],
)
def test_the_id_tells_records_apart_even_at_one_offset_of_a_topic_made_anew(other):
    letter = event_letter()
    assert Letter(other, letter.failure, 1, None, None, "a", 0.0).id != letter.id


class Odd:
    def __repr__(self):
        raise RuntimeError("no repr")


CYCLE = []
CYCLE += [CYCLE, CYCLE]
DEEP = {}
for _ in range(5_000):
    DEEP = {"in": DEEP}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**70, 2**70),
        (-(2**64), -(2**64)),
        ("\ud800 alone", "\ud800 alone"),
        (float("nan"), None),
        ([float("inf"), 2**70], [None, 2**70]),
        (b"\xff", "/w=="),
        ({1}, [1]),
        ({"\udfff": 2**65}, {"\udfff": 2**65}),
        ("line\nbreaks\r\u2028\x85", "line\nbreaks\r\u2028\x85"),
    ],
)
def test_values_that_json_hardly_knows_come_as_near_as_they_can(value, kept):
    assert only(event_letter(event={**envelope(7), "event": {"v": value}}))["event"] == {"v": kept}


@pytest.mark.parametrize(
    "value",
    [CYCLE, DEEP, Odd(), object(), {Odd(): 1}, {1: 2, None: 3}, 10**10_000, -(10**10_000), 1j, {"a": [Odd()]}],
    ids=["cycle", "deep", "odd", "object", "odd key", "keys", "long int", "negative", "complex", "nested odd"],
)
def test_nothing_in_an_envelope_keeps_a_letter_from_being_written(value):
    line = only(event_letter(event={**envelope(7), "event": {"v": value, "w": 1}}))
    assert line["event"]["w"] == 1
    assert record_of(line) == record()


def test_an_envelope_that_a_handler_has_emptied_is_a_letter_all_the_same():
    assert record_of(only(event_letter(event={}))) == record()


def test_what_lies_two_hundred_levels_deep_is_kept():
    value = 2**70
    for _ in range(190):
        value = [value]
    assert only(event_letter(event={**envelope(7), "event": {"v": value}}))["event"] == {"v": value}


TEXT = st.text(st.characters(), max_size=20)  # lone surrogates too
BYTES = st.none() | st.binary(max_size=30)
RECORDS = st.builds(
    Record,
    st.builds(TopicPartition, TEXT, st.integers(0, 2**31)),
    st.integers(0, 2**63 - 1),
    st.integers(-1, 2**63 - 1),
    st.sampled_from(["CREATE_TIME", "LOG_APPEND_TIME", "NOT_AVAILABLE"]),
    BYTES,
    BYTES,
    st.lists(st.tuples(TEXT, BYTES), max_size=3).map(tuple),
)
FAILURES = st.builds(Failure, st.sampled_from(["decode", "filter", "handler", "size"]), TEXT, TEXT, TEXT)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=5) | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(TEXT | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=10,
)
ENVELOPES = st.none() | st.fixed_dictionaries({"event_type": ANYTHING, "event": ANYTHING, "meta": ANYTHING})


@given(
    RECORDS, FAILURES, st.integers(0, 100), ENVELOPES, st.none() | TEXT, TEXT, st.floats(0, 4_000_000_000)
)  # fmt: skip
def test_any_letter_is_exactly_one_line_of_json_that_gives_the_record_back(
    given_record, failure, attempts, event, batch, action, at
):
    line = to_line(Letter(given_record, failure, attempts, event, batch, action, at))
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    (read,) = parsed(line)
    assert record_of(read) == given_record
    about = read["meta"]
    assert about["failure"]["message"] == failure.message
    assert about["action"] == action


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_an_event_of_plain_json_is_kept_to_the_letter(event):
    written = to_line(event_letter(event={**envelope(7), "event": event}))
    assert json.loads(written)["event"] == event
