"""Files of letters that are full: what they are called from then on, and what bounds them all."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.deadletter import file as file_module
from datahub_poller.deadletter.file import FileSink
from datahub_poller.deadletter.file_names import FAILED_EVENTS, UNDECODABLE, holds_letters, oldest_first, rotated
from datahub_poller.deadletter.letter import to_line
from datahub_poller.errors import Transient
from support.letters import event_letter, offsets, undecodable_letter

AT = 1_795_000_000.25
NOW = "20261118T110640.250Z"
LINE = len(to_line(event_letter(1)))
NAMES = st.builds(
    lambda name, at: name if at is None else rotated(name, at, ()),
    st.sampled_from([FAILED_EVENTS, UNDECODABLE]),
    st.none() | st.floats(1e9, 4e9),
)


def sink_in(tmp_path, **bounds):
    return FileSink(tmp_path, "tag-sync", wall=lambda: AT, **bounds)


def held(tmp_path, name=FAILED_EVENTS):
    return offsets((tmp_path / "tag-sync" / name).read_bytes())


def files(tmp_path):
    return oldest_first(path.name for path in (tmp_path / "tag-sync").iterdir())


def test_a_file_that_would_be_too_large_gets_a_name_with_its_time_and_a_new_one_begins(tmp_path):
    sink = sink_in(tmp_path, rotate=2 * LINE)
    for offset in (1, 2, 3):
        sink.write([event_letter(offset)])
    assert files(tmp_path) == [f"failed_events-{NOW}.log", FAILED_EVENTS]
    assert held(tmp_path, f"failed_events-{NOW}.log") == [1, 2]
    assert held(tmp_path) == [3]


def test_each_of_the_two_files_is_rotated_by_itself(tmp_path):
    sink = sink_in(tmp_path, rotate=LINE)
    sink.write([event_letter(1), undecodable_letter(2)])
    sink.write([undecodable_letter(3)])
    assert files(tmp_path) == [f"undecodable-{NOW}.log", FAILED_EVENTS, UNDECODABLE]
    assert held(tmp_path, UNDECODABLE) == [3]


def test_a_clock_that_stands_still_makes_the_next_millisecond(tmp_path):
    sink = sink_in(tmp_path, rotate=LINE)
    for offset in range(1, 5):
        sink.write([event_letter(offset)])
    names = [f"failed_events-20261118T110640.{each}Z.log" for each in (250, 251, 252)]
    assert files(tmp_path) == [*names, FAILED_EVENTS]
    assert [held(tmp_path, name) for name in files(tmp_path)] == [[1], [2], [3], [4]]


def test_letters_that_are_larger_than_a_file_may_be_are_one_file(tmp_path):
    sink = sink_in(tmp_path, rotate=10)
    sink.write([event_letter(1), event_letter(2)])
    assert files(tmp_path) == [FAILED_EVENTS]
    sink.write([event_letter(3)])
    assert [held(tmp_path, name) for name in files(tmp_path)] == [[1, 2], [3]]


def test_what_is_rotated_stays_for_its_user_alone(tmp_path):
    sink = sink_in(tmp_path, rotate=LINE)
    sink.write([event_letter(1)])
    sink.write([event_letter(2)])
    assert {(tmp_path / "tag-sync" / name).stat().st_mode & 0o777 for name in files(tmp_path)} == {0o600}


def test_a_disk_that_is_full_after_a_rotation_leaves_what_was_there(tmp_path, monkeypatch):
    sink = sink_in(tmp_path, rotate=LINE)
    sink.write([event_letter(1)])

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(Transient, match="No space left"):
            sink.write([event_letter(2)])
    assert [held(tmp_path, name) for name in files(tmp_path)] == [[1], []]
    sink.write([event_letter(2)])
    assert [held(tmp_path, name) for name in files(tmp_path)] == [[1], [2]]


def test_a_crash_between_a_rotation_and_the_new_file_costs_nothing(tmp_path, monkeypatch):
    sink = sink_in(tmp_path, rotate=LINE)
    sink.write([event_letter(1)])

    class Crash(BaseException):
        pass

    def crash(_):
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(file_module, "sync_directory", crash)
        with pytest.raises(Crash):
            sink.write([event_letter(2)])
    assert files(tmp_path) == [f"failed_events-{NOW}.log"]
    sink.write([event_letter(2)])
    assert [held(tmp_path, name) for name in files(tmp_path)] == [[1], [2]]


def test_beyond_the_limit_nothing_is_written_until_there_is_room(tmp_path):
    sink = sink_in(tmp_path, rotate=LINE, limit=3 * LINE)
    for offset in (1, 2, 3):
        sink.write([event_letter(offset)])
    with pytest.raises(Transient, match=r"dead letters fill .*tag-sync: \d+ bytes.*dead_letter.config.limit") as full:
        sink.write([event_letter(4)])
    assert "dead-letters drop" in str(full.value)
    assert sum(map(len, [held(tmp_path, name) for name in files(tmp_path)])) == 3
    (tmp_path / "tag-sync" / files(tmp_path)[0]).unlink()
    sink.write([event_letter(4)])
    assert [held(tmp_path, name) for name in files(tmp_path)] == [[2], [3], [4]]


def test_the_limit_counts_both_files_of_one_write_and_leaves_nothing_of_it(tmp_path):
    sink = sink_in(tmp_path, limit=LINE + 10)
    with pytest.raises(Transient, match=r"dead_letter\.config\.limit"):
        sink.write([event_letter(1), undecodable_letter(2)])
    assert held(tmp_path) == []
    assert (tmp_path / "tag-sync" / UNDECODABLE).read_bytes() == b""


def test_other_files_beside_the_letters_do_not_count(tmp_path):
    sink = sink_in(tmp_path, limit=2 * LINE)
    sink.write([event_letter(1)])
    (tmp_path / "tag-sync" / "redrive.log").write_bytes(b"x" * 10 * LINE)
    sink.write([event_letter(2)])
    assert held(tmp_path) == [1, 2]


@given(st.lists(st.tuples(st.sampled_from([FAILED_EVENTS, UNDECODABLE]), st.floats(1e9, 4e9)), min_size=1, max_size=20))
def test_a_name_is_new_and_the_latest_whatever_the_clock_says(turns):
    names = []
    for name, at in turns:
        made = rotated(name, at, names)
        assert holds_letters(made)
        names.append(made)
    times = [name.partition("-")[2] for name in names]
    assert times == sorted(set(times))


@given(st.lists(NAMES, unique=True))
def test_the_files_that_are_added_to_are_the_newest(names):
    ordered = oldest_first([*names, "redrive.log", ".probe-1", ".failed_events.log.new", "failed_events.log.1"])
    assert sorted(ordered) == sorted(names)
    times = [name.partition("-")[2] for name in ordered]
    full = [each for each in times if each]
    assert times == [*sorted(full), *[""] * (len(times) - len(full))]
