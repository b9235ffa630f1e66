"""Letters read back from files, what is added to the ledger, and what is taken out."""

import os

import pytest

from datahub_poller.deadletter.file import FileSink
from datahub_poller.deadletter.file_store import FileStore
from datahub_poller.deadletter.letter import to_line
from datahub_poller.errors import CannotStart, Transient
from support.letter_stores import ACTIONS_LINE, a_letter, a_mark

LINE = len(to_line(a_letter(1)))


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path, "tag-sync")


@pytest.fixture
def sink(tmp_path):
    made = FileSink(tmp_path, "tag-sync", rotate=2 * LINE + 10)
    made.check()
    return made


def lines(store):
    return [stored.line for stored in store.scan()]


def test_where_nothing_was_ever_written_there_are_no_letters(store):
    assert lines(store) == []
    assert list(store.marks()) == []
    assert store.remove([]) == 0
    assert not store.directory.exists()
    store.close()
    store.close()


def test_all_files_are_read_the_oldest_first(store, sink):
    letters = [a_letter(offset) for offset in range(1, 8)]
    for letter in letters:
        sink.write([letter])
    sink.write([undecodable := a_letter(8, event=None)])
    assert len(list(store.directory.iterdir())) == 5
    assert lines(store) == [*map(to_line, letters), to_line(undecodable)]


def test_where_a_letter_lies_is_said_by_file_and_line(store, sink):
    sink.write([a_letter(1), a_letter(2)])
    path = store.directory / "failed_events.log"
    assert [stored.where for stored in store.scan()] == [f"{path}:1", f"{path}:2"]


def test_what_is_no_letter_is_handed_out_all_the_same_but_for_empty_lines(store):
    store.directory.mkdir()
    path = store.directory / "failed_events.log"
    path.write_bytes(b"\n" + ACTIONS_LINE + b"  \nhello\n\xff\xfe\n")
    assert lines(store) == [ACTIONS_LINE, b"hello\n", b"\xff\xfe\n"]


@pytest.mark.parametrize(
    ("end", "seen"), [(b'{"event_type": "Ent', 1), (to_line(a_letter(2)).rstrip(b"\n"), 2)], ids=["torn", "whole"]
)
def test_a_last_line_without_its_end_counts_where_it_may_be_whole(store, sink, end, seen):
    sink.write([a_letter(1)])
    with (store.directory / "failed_events.log").open("ab") as file:
        file.write(end)
    assert len(lines(store)) == seen


def test_a_torn_line_in_a_file_that_nobody_adds_to_is_told_of(store):
    store.directory.mkdir()
    (store.directory / "failed_events-20261118T110640.250Z.log").write_bytes(to_line(a_letter(1)) + b'{"torn')
    assert lines(store) == [to_line(a_letter(1)), b'{"torn']


def test_of_a_line_beyond_the_limit_its_beginning_is_handed_out_and_the_next_ones_come(tmp_path):
    store = FileStore(tmp_path, "tag-sync", line_limit=5_000)
    store.directory.mkdir()
    path = store.directory / "failed_events.log"
    path.write_bytes(b"x" * 20_001 + b"\n" + to_line(a_letter(2)) + b"y" * 5_000 + b"\n" + b"z" * 5_001)
    assert lines(store) == [b"x" * 1000 + b"\n", to_line(a_letter(2)), b"y" * 5_000 + b"\n", b"z" * 1000 + b"\n"]


def test_a_file_that_is_rotated_while_it_is_read_is_read_once(store, sink):
    for offset in range(1, 4):
        sink.write([a_letter(offset)])
    seen = store.scan()
    found = [next(seen).line]
    for offset in range(4, 8):  # two rotations more
        sink.write([a_letter(offset)])
    found += [stored.line for stored in seen]
    assert sorted(found) == sorted(to_line(a_letter(offset)) for offset in range(1, 8))


def test_a_fifo_or_a_directory_of_that_name_holds_nobody(store):
    store.directory.mkdir()
    os.mkfifo(store.directory / "failed_events.log")
    assert lines(store) == []


def test_what_cannot_be_read_names_the_place_and_the_remedy(store):
    store.directory.mkdir()
    (store.directory / "failed_events.log").mkdir()
    with pytest.raises(CannotStart, match=r"cannot be read from .*failed_events\.log: Is a directory\. Give the user"):
        lines(store)
    store.directory.joinpath("failed_events.log").rmdir()
    store.directory.rmdir()
    store.directory.write_text("")
    for look in (store.scan, store.marks):
        with pytest.raises(CannotStart, match="Not a directory"):
            list(look())


# -- the ledger


def test_marks_come_back_in_their_order_and_lie_beside_the_letters(store, sink):
    sink.write([letter := a_letter(1)])
    (stored,) = store.scan()
    marks = [a_mark(letter, "failed_again", error="ValueError: \ud800"), a_mark(letter, "delivered")]
    store.mark([(stored, marks[0])])
    store.mark([(stored, marks[1])])
    store.mark([])
    assert list(store.marks()) == marks
    path = store.directory / "redrive.log"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().count(b"\n") == 2
    assert lines(store) == [to_line(letter)]


def test_a_ledger_that_a_crash_has_torn_goes_on_in_a_line_of_its_own(store, sink):
    sink.write([letter := a_letter(1)])
    (stored,) = store.scan()
    store.mark([(stored, a_mark(letter))])
    with (store.directory / "redrive.log").open("ab") as file:
        file.write(b'{"action": "tag')
    store.mark([(stored, a_mark(letter, "dropped"))])
    assert [mark.done for mark in store.marks()] == ["delivered", "dropped"]


def test_a_ledger_that_cannot_be_written_is_tried_again(store, sink):
    sink.write([letter := a_letter(1)])
    (stored,) = store.scan()
    (store.directory / "redrive.log").mkdir()
    with pytest.raises(Transient, match=r"what was done cannot be written down in .*redrive\.log: Is a directory"):
        store.mark([(stored, a_mark(letter))])


# -- taking out


def test_what_is_removed_is_gone_and_the_rest_as_it_was(store, sink):
    letters = [a_letter(offset) for offset in range(1, 8)]
    for letter in letters:
        sink.write([letter])
    chosen = [stored for stored in store.scan() if stored.line in {to_line(letters[0]), to_line(letters[5])}]
    assert store.remove(chosen) == 2
    assert lines(store) == [to_line(letters[number]) for number in (1, 2, 3, 4, 6)]
    assert store.remove(chosen) == 0


def test_a_file_that_is_empty_then_goes_unless_letters_are_added_to_it(store, sink):
    for offset in range(1, 4):
        sink.write([a_letter(offset)])
    assert store.remove(list(store.scan())) == 3
    (path,) = store.directory.iterdir()
    assert (path.name, path.read_bytes()) == ("failed_events.log", b"")
    sink.write([a_letter(9)])
    assert lines(store) == [to_line(a_letter(9))]


def test_a_line_that_lies_there_twice_goes_as_often_as_it_is_named(store, sink):
    sink.write([a_letter(1)])
    sink.write([a_letter(1)])
    first, second = store.scan()
    assert store.remove([first]) == 1
    assert len(lines(store)) == 1
    assert store.remove([first, second]) == 1
    assert lines(store) == []


def test_a_file_that_was_rotated_since_it_was_looked_at_is_found(store, sink):
    sink.write([a_letter(1)])
    found = list(store.scan())
    for offset in (2, 3):
        sink.write([a_letter(offset)])
    assert len(list(store.directory.iterdir())) == 2
    assert store.remove(found) == 1
    assert lines(store) == [to_line(a_letter(2)), to_line(a_letter(3))]


def test_the_rights_of_a_file_that_is_written_anew_stay(store, sink):
    sink.write([a_letter(1), a_letter(2)])
    path = store.directory / "failed_events.log"
    path.chmod(0o640)
    store.remove([next(store.scan())])
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_a_crash_of_the_removal_has_left_is_no_letter_and_is_written_over(store, sink):
    sink.write([a_letter(1), a_letter(2)])
    left = store.directory / ".failed_events.log.new"
    left.write_bytes(to_line(a_letter(1)) * 5)
    assert len(lines(store)) == 2
    assert store.remove([next(store.scan())]) == 1
    assert lines(store) == [to_line(a_letter(2))]
    assert not left.exists()


def test_a_removal_that_fails_leaves_all_as_it_was(store, sink):
    sink.write([a_letter(1), a_letter(2)])
    (store.directory / ".failed_events.log.new").mkdir()
    with pytest.raises(Transient, match="cannot be removed from"):
        store.remove(list(store.scan()))
    assert len(lines(store)) == 2


def test_a_torn_last_line_survives_a_removal(store, sink):
    sink.write([a_letter(1)])
    path = store.directory / "failed_events.log"
    with path.open("ab") as file:
        file.write(b'{"torn')
    store.remove(list(store.scan()))
    assert path.read_bytes() == b'{"torn'
