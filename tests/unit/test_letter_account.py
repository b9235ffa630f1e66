"""What has become of letters, and which of a place's lines are an action's letters."""

from __future__ import annotations

import pytest

from datahub_poller.deadletter.account import EXAMPLES, Account, Chosen, letters
from datahub_poller.deadletter.choice import Choice
from datahub_poller.errors import CannotStart
from support.letter_stores import ACTIONS_LINE, MemoryStore, a_letter, a_mark, as_found


@pytest.mark.parametrize(
    ("done", "state"),
    [
        ((), "waiting"),
        (("delivered",), "redriven"),
        (("written",), "redriven"),
        (("produced",), "redriven"),
        (("failed_again",), "redriven"),
        (("dropped",), "dropped"),
        (("written", "dropped"), "dropped"),
        (("dropped", "delivered"), "dropped"),
    ],
)
def test_the_ledger_tells_the_state(done, state):
    letter = a_letter()
    marks = [a_mark(letter, each, run=str(number)) for number, each in enumerate(done)]
    account = Account(marks, "tag-sync")
    assert account.state_of(as_found(letter).name) == state
    assert account.marks_of(as_found(letter).name) == tuple(marks)


def test_marks_are_of_one_action_and_one_redrive():
    letter = a_letter()
    account = Account([a_mark(letter, action="other"), a_mark(letter, redrives=1)], "tag-sync")
    assert account.state_of(as_found(letter).name) == "waiting"
    assert account.state_of(as_found(a_letter(redrives=1)).name) == "redriven"


def test_a_mark_that_was_made_in_two_places_is_said_once():
    mark = a_mark(a_letter())
    assert Account([mark, mark], "tag-sync").marks_of(as_found(a_letter()).name) == (mark,)


def test_letters_come_in_order_with_their_state():
    one, two = a_letter(1), a_letter(2)
    seen = [(letter.offset, state) for letter, state in letters(MemoryStore([two, one], [a_mark(one)]), "tag-sync")]
    assert seen == [(2, "waiting"), (1, "redriven")]


def test_a_letter_that_lies_there_twice_is_handed_out_once_with_both_its_places():
    again = a_letter(1, at=1_769_900_000.0, message="once more")
    seen = letters(MemoryStore([a_letter(1), a_letter(2), again, a_letter(1, redrives=1)]), "tag-sync")
    first, second, third = [letter for letter, _ in seen]
    assert (first.message, second.offset, third.redrives) == ("tag unknown", 2, 1)
    assert [each.where for each in seen.places_of(first)] == ["memory:0", "memory:2"]
    assert [each.where for each in seen.places_of(third)] == ["memory:3"]
    assert seen.repeated == 1


def test_a_record_that_fails_once_more_after_its_letter_was_done_with_is_waiting_again():
    old, again, later = (a_letter(1, at=float(at)) for at in (100, 300, 400))
    store = MemoryStore([old, old, again, later], [a_mark(old, at=200.0)])
    seen = letters(store, "tag-sync")
    first, second = list(seen)
    assert (first[1], second[1], second[0].at) == ("redriven", "waiting", 300.0)
    assert [each.where for each in seen.places_of(first[0])] == ["memory:0", "memory:1"]
    assert [each.where for each in seen.places_of(second[0])] == ["memory:2", "memory:3"]
    store.ledger.append(a_mark(again, "dropped", at=400.0))
    assert [state for _, state in letters(store, "tag-sync")] == ["dropped"]


def test_a_copy_from_before_what_was_done_is_no_letter_again():
    copies = [a_letter(1, at=float(at)) for at in (100, 150, 200)]
    assert [state for _, state in letters(MemoryStore(copies, [a_mark(copies[0], at=200.0)]), "tag-sync")] == [
        "redriven"
    ]


def test_letters_of_other_actions_are_counted_and_left_alone():
    seen = letters(MemoryStore([a_letter(1, action="other"), a_letter(1)]), "tag-sync")
    assert [letter.action for letter, _ in seen] == ["tag-sync"]
    assert (seen.others, seen.repeated, seen.rejected) == (1, 0, 0)


def test_letters_of_datahub_actions_are_the_actions_own():
    ((letter, state),) = letters(MemoryStore([ACTIONS_LINE]), "tag-sync")
    assert (letter.foreign, letter.action, state) == (True, "tag-sync", "waiting")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b'{"meta": {"format": "datahub-poller/dead-letter", "version": 9}}', "its version is 9"),
        (b'{"meta": {"format": "datahub-poller/dead-letter", "version": 1}}', "it is damaged: KeyError"),
        (b"\xff\x00", "it is not JSON"),
        (b"", "it is not JSON"),
    ],
)
def test_what_is_no_letter_is_counted_with_its_reason_and_place(line, reason):
    seen = letters(MemoryStore([line, a_letter()]), "tag-sync")
    assert len(list(seen)) == 1
    ((where, why),) = seen.rejects
    assert where == "memory:0"
    assert why.startswith(reason)


def test_a_letter_whose_event_was_edited_into_something_else_hides_no_other():
    edited = bytes(MemoryStore([a_letter()]).lines[0]).replace(b'"event":{', b'"event":"x","was":{')
    seen = letters(MemoryStore([edited, a_letter(8)]), "tag-sync")
    assert [letter.offset for letter, _ in seen] == [8]
    assert seen.rejected == 1


def test_only_the_first_of_what_is_no_letter_are_kept():
    seen = letters(MemoryStore([b"x"] * 100), "tag-sync")
    assert list(seen) == []
    assert (seen.rejected, len(seen.rejects)) == (100, EXAMPLES)


def test_a_place_that_cannot_be_read_is_not_an_empty_one():
    store = MemoryStore()
    store.unreadable = "no right to read"
    with pytest.raises(CannotStart, match="no right to read"):
        letters(store, "tag-sync")


def test_chosen_letters_tell_how_many_are_left_out_for_their_state():
    one, two, three = a_letter(1), a_letter(2), a_letter(3, kind="KeyError")
    store = MemoryStore([one, two, three], [a_mark(two, "dropped"), a_mark(three)])
    seen = Chosen(letters(store, "tag-sync"), Choice(errors=("ValueError",)))
    assert [letter.offset for letter, _ in seen] == [1]
    assert seen.left_out == {"dropped": 1}
