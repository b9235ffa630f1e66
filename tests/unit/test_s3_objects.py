"""How letters lie in a bucket: keys and their order, bodies and their size, the ledger's lines."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller import letterbox
from datahub_poller.deadletter.ledger_lines import marks_in, written
from datahub_poller.deadletter.s3 import bodies
from datahub_poller.deadletter.s3_bucket import Encryption
from datahub_poller.deadletter.s3_keys import (
    check_key,
    holds_letters,
    ledger_key,
    ledger_of,
    letter_key,
    letters_of,
    rewritten,
)
from datahub_poller.deadletter.s3_store import S3Store, _lines
from datahub_poller.deadletter.store import Mark
from support.action_files import action_of

MOMENTS = st.floats(0, 4e9, allow_nan=False)
TEXTS = st.text(st.characters(), max_size=20)


def test_a_key_says_action_day_time_and_content():
    key = letter_key("a/b", "tag_sync", 1_700_000_000.9999, b"x", "beef")
    assert key == "a/b/action=tag_sync/date=2023-11-14/20231114T221320.999Z-2d711642b726b044-beef.jsonl"


@given(MOMENTS, MOMENTS, st.binary(), st.binary())
def test_keys_sort_by_time_to_the_millisecond(one, other, first, second):
    if int(one * 1000) != int(other * 1000) and abs(one - other) > 0.0011:
        keys = letter_key("p", "a", one, first, "0000"), letter_key("p", "a", other, second, "0000")
        assert (keys[0] < keys[1]) == (one < other)


@given(MOMENTS, MOMENTS, st.binary(), st.binary())
def test_what_is_left_of_an_object_keeps_its_place_among_those_of_other_times(one, other, rest, more):
    key, beside = letter_key("p", "a", one, b"all", "0000"), letter_key("p", "a", other, b"x", "0000")
    if key.split("-2")[0] != beside.split("-2")[0] and abs(one - other) > 0.0011:
        moved = rewritten(rewritten(key, rest, "1111"), more, "2222")
        assert (moved < beside) == (key < beside)
        assert len(moved) == len(key)
        assert moved != key


@pytest.mark.parametrize(
    ("key", "letters"),
    [
        (letter_key("p", "a", 1.0, b"x", "0"), True),
        (letter_key("", "a", 1.0, b"x", "0"), True),
        ("p/action=a/put/here/by/hand.txt", True),
        (ledger_key("p", "a", 1.0, "0"), False),
        (ledger_key("", "a", 1.0, "0"), False),
        (check_key("p"), False),
        ("p/action=a/date=2024-01-01/", False),
    ],
)
def test_which_objects_are_read(key, letters):
    assert holds_letters(key) is letters


def test_the_ledger_lies_below_the_action():
    assert ledger_key("p", "a", 1.0, "0").startswith(ledger_of("p", "a"))
    assert ledger_of("p", "a").startswith(letters_of("p", "a"))


LINES = st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"") + b"\n"), max_size=30)


@given(LINES, st.integers(1, 60))
def test_all_lines_are_put_together_in_order_within_the_limit(lines, limit):
    found = list(bodies(lines, limit))
    assert b"".join(found) == b"".join(lines)
    assert all(found)
    for body in found:
        assert len(body) <= limit or body.count(b"\n") == 1
    for one, two in itertools.pairwise(found):
        assert len(one) + len(_lines(two)[0]) > limit


@given(LINES, st.binary(max_size=5).filter(lambda text: b"\n" not in text))
def test_a_body_is_its_lines_whatever_ends_it(lines, last):
    found = _lines(b"".join(lines) + last)
    assert found == [*lines, *([last] if last else [])]


def test_what_is_said_of_encryption():
    assert Encryption().parameters() == {}
    assert Encryption("AES256").parameters() == {"ServerSideEncryption": "AES256"}
    assert Encryption("aws:kms").parameters() == {"ServerSideEncryption": "aws:kms"}
    assert Encryption("aws:kms", "k").parameters() == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}


MARKS = st.builds(
    Mark,
    action=TEXTS,
    letter=TEXTS,
    redrives=st.integers(0, 9),
    done=st.sampled_from(["delivered", "failed_again", "written", "produced", "dropped"]),
    at=MOMENTS,
    who=TEXTS,
    run=TEXTS,
    to=TEXTS,
    error=TEXTS,
)


@given(st.lists(MARKS))
def test_marks_come_back_from_their_lines(marks):
    assert list(marks_in(written(marks))) == marks


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"1",
        b'"x"',
        b"\xff",
        b'{"done": "delivered"}',
        b'{"done": ["x"], "letter": "x", "redrives": 0}',
        b'{"done": "read aloud", "letter": "x", "redrives": 0, "action": "a", "at": 1, "who": "", "run": ""}',
        b'{"done": "delivered", "letter": "x", "redrives": "0", "action": "a", "at": 1, "who": "", "run": ""}',
    ],
)
def test_a_line_of_the_ledger_that_is_none_hides_no_other(line):
    mark = Mark("a", "x", 0, "dropped", 1.0, "me", "r")
    assert list(marks_in(written([mark]) + line + b"\n\n" + written([mark]))) == [mark, mark]


def test_a_later_versions_mark_is_read_as_far_as_it_is_known():
    line = json.dumps({**Mark("a", "x", 0, "dropped", 1.0, "me", "r")._asdict(), "more": 1}).encode()
    assert list(marks_in(line)) == [Mark("a", "x", 0, "dropped", 1.0, "me", "r")]


def test_the_settings_make_a_sink_and_a_store_of_one_place():
    action = action_of({"dead_letter": {"type": "s3", "config": {"bucket": "letters", "prefix": "p"}}})
    store = letterbox.store(action, {})
    assert isinstance(store, S3Store)
    assert store.place == letterbox.sink(action, {}).place == "s3://letters/p/action=tag-sync"
