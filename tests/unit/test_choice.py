"""Which letters a choice means."""

from __future__ import annotations

import pytest

from datahub_poller.deadletter.choice import Choice, is_named, matches, place_of
from support.letter_stores import ACTIONS_LINE, a_letter, as_found

LETTER = as_found(a_letter(17, kind="ReadTimeout", message="no answer\nfrom it", key=b"urn:li:key", redrives=2))
FOREIGN = as_found(ACTIONS_LINE)
AT = 1_769_846_417.0


def test_a_choice_of_nothing_means_all_that_are_waiting():
    assert matches(Choice(), LETTER, "waiting")
    assert not matches(Choice(), LETTER, "redriven")
    assert not matches(Choice(), LETTER, "dropped")
    assert matches(Choice(states=frozenset()), LETTER, "dropped")


@pytest.mark.parametrize(
    ("choice", "met"),
    [
        (Choice(errors=("*Timeout",)), True),
        (Choice(errors=("*timeout",)), False),
        (Choice(errors=("Timeout",)), False),
        (Choice(errors=("ReadTimeout: no*it",)), True),
        (Choice(errors=("no answer*",)), False),
        (Choice(errors=("KeyError", "Read*")), True),
        (Choice(stages=("decode", "handler")), True),
        (Choice(stages=("decode",)), False),
        (Choice(topics=("Platform*",)), True),
        (Choice(topics=("Metadata*",)), False),
        (Choice(partitions=(1, 0)), True),
        (Choice(partitions=(1,)), False),
        (Choice(keys=("urn:li:*",)), True),
        (Choice(keys=("urn:li",)), False),
        (Choice(urns=("*:17",)), True),
        (Choice(urns=("*:7",)), False),
        (Choice(aspects=("TAG",)), True),
        (Choice(aspects=("OWNER",)), False),
        (Choice(since=AT), True),
        (Choice(since=AT + 0.001), False),
        (Choice(until=AT), False),
        (Choice(until=AT + 0.001), True),
        (Choice(redrives_below=3), True),
        (Choice(redrives_below=2), False),
        (Choice(errors=("*Timeout",), stages=("decode",)), False),
    ],
)
def test_a_letter_must_meet_every_part_and_one_value_of_it(choice, met):
    assert matches(choice, LETTER, "waiting") is met


@pytest.mark.parametrize("choice", [Choice(since=0.0), Choice(until=9e9), Choice(keys=("*",))])
def test_what_a_letter_does_not_hold_is_never_met(choice):
    assert not matches(choice, FOREIGN, "waiting")


def test_letters_of_datahub_actions_are_chosen_by_what_they_hold():
    assert matches(Choice(urns=("*:old",), topics=("PlatformEvent_v1",), partitions=(1,)), FOREIGN, "waiting")
    placeless = as_found(b'{"event_type": "E", "event": {}}')
    assert matches(Choice(), placeless, "waiting")
    assert not matches(Choice(partitions=(0,)), placeless, "waiting")
    assert not matches(Choice(urns=("*",)), placeless, "waiting")


def test_a_key_that_is_no_text_is_met_by_no_glob():
    assert not matches(Choice(keys=("*",)), as_found(a_letter(key=b"\xff")), "waiting")


def test_a_letter_has_its_id_its_beginnings_and_its_place_for_a_name():
    digest = LETTER.id.rpartition("/")[2]
    head = "PlatformEvent_v1/0/17"
    assert place_of(LETTER) == "PlatformEvent_v1-0@17"
    for name in (LETTER.id, head, f"{head}/", f"{head}/{digest[:4]}", "PlatformEvent_v1", place_of(LETTER)):
        assert is_named(LETTER, name), name
        assert matches(Choice(ids=("other", name)), LETTER, "waiting")


@pytest.mark.parametrize(
    "name", ["", "PlatformEvent_v1/0/1", "PlatformEvent", "Platform*", "PlatformEvent_v1-0@1", "/0/17", "x"]
)
def test_a_beginning_does_not_end_within_an_offset_or_a_topic(name):
    assert not is_named(LETTER, name)


def test_a_beginning_longer_than_the_id_is_not_its_name():
    assert not is_named(LETTER, LETTER.id + "0")


def test_a_letter_of_datahub_actions_has_a_name_as_well():
    assert is_named(FOREIGN, FOREIGN.id[:20])
    assert is_named(FOREIGN, "PlatformEvent_v1-1@5")


def test_a_choice_is_narrow_when_it_asks_for_more_than_a_state():
    assert not Choice().is_narrow
    assert not Choice(states=frozenset({"redriven"})).is_narrow
    assert Choice(redrives_below=1).is_narrow
    assert Choice(since=0.0).is_narrow
