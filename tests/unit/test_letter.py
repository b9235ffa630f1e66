import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.deadletter.letter import Letter, to_line
from datahub_poller.model import Failure, Record, TopicPartition
from support.handlers import envelope
from support.letters import event_letter, parsed, record, record_of, undecodable_letter


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
        "topic": "PlatformEvent_v1",
        "partition": 0,
        "offset": 7,
        "timestamp": 1_700_000_000_123,
        "timestamp_type": "CREATE_TIME",
        "key": "urn:li:x",
        "headers": [["trace", "abc"], ["trace", None], ["bin", None]],
    }
    assert meta["failure"] == {
        "stage": "handler",
        "kind": "ValueError",
        "message": "tag unknown",
        "stack": "Traceback ...\n  line 2",
    }
    assert (meta["attempts"], meta["batch_id"], meta["action"]) == (3, "b1", "tag-sync")
    assert datetime.fromisoformat(meta["at"]).timestamp() == 1_700_000_001.5
    assert meta["poller"]["version"]


def test_an_undecodable_records_line_says_its_form_and_has_the_same_particulars():
    line, event = only(undecodable_letter()), only(event_letter())
    assert (line["format"], line["version"]) == ("datahub-poller/undecodable", 1)
    assert "event" not in line
    assert line["failure"]["kind"] == "not_framed"
    assert line["attempts"] == 0
    assert line["batch_id"] is None
    assert set(line) - {"format", "version"} == set(event["meta"])
    assert line["kafka"] == event["meta"]["kafka"]


@pytest.mark.parametrize("make", [event_letter, undecodable_letter])
def test_the_record_can_be_had_back_exactly(make):
    assert record_of(only(make())) == record()


def test_the_id_is_the_records_own_whatever_became_of_it():
    assert only(event_letter())["meta"]["id"] == only(undecodable_letter())["id"] == event_letter().id
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
    about = read if event is None else read["meta"]
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
