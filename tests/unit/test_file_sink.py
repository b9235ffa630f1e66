import errno
import fcntl
import os
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.deadletter import file as file_module
from datahub_poller.deadletter import file_log
from datahub_poller.deadletter.file import FileSink
from datahub_poller.deadletter.file_names import normalised
from datahub_poller.errors import CannotStart, Transient
from support.letters import event_letter, offsets, parsed, undecodable_letter

TESTS = Path(__file__).parents[1]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "letters" / "tag-sync"


@pytest.fixture
def sink(tmp_path):
    made = FileSink(tmp_path / "letters", "tag-sync")
    made.check()
    yield made
    made.close()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("tag-sync", "tag-sync"),
        ("Tag Sync.v2", "tag_sync_v2"),
        ("a/b\\c", "a_b_c"),
        ("..", "__"),
        ("../../etc", "______etc"),
        ("Größe_1", "größe_1"),
        ("line\nbreak\0", "line_break_"),
    ],
)
def test_a_name_becomes_a_directory_by_the_rule_of_datahub_actions(name, directory):
    assert normalised(name) == directory


@given(st.text())
def test_no_name_leaves_the_directory(name):
    assert "/" not in normalised(name)
    assert normalised(name) not in {".", ".."}


def test_events_and_undecodable_records_go_to_files_of_their_own_in_order(sink, place):
    sink.write([event_letter(1), undecodable_letter(2), event_letter(3)])
    sink.write([event_letter(4)])
    assert offsets((place / "failed_events.log").read_bytes()) == [1, 3, 4]
    assert offsets((place / "undecodable.log").read_bytes()) == [2]


def test_a_file_comes_into_being_with_its_first_letter(sink, place):
    assert list(place.iterdir()) == []
    sink.write([])
    assert list(place.iterdir()) == []
    sink.write([undecodable_letter(2)])
    assert [path.name for path in place.iterdir()] == ["undecodable.log"]


def test_what_is_created_is_for_its_user_alone_and_what_was_there_stays_as_it_is(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    before = os.umask(0)
    try:
        FileSink(shared / "a" / "b", "x").write([event_letter()])
    finally:
        os.umask(before)
    assert mode(shared) == 0o755
    assert [mode(shared / "a"), mode(shared / "a/b"), mode(shared / "a/b/x")] == [0o700] * 3
    log = shared / "a/b/x/failed_events.log"
    assert mode(log) == 0o600
    log.chmod(0o640)
    FileSink(shared / "a" / "b", "x").write([event_letter()])
    assert mode(log) == 0o640


def test_a_write_goes_behind_what_is_there(sink, place):
    (place / "failed_events.log").write_text('{"event_type": "X", "event": {}, "meta": {}}\n')
    sink.write([event_letter(1)])
    lines = parsed((place / "failed_events.log").read_bytes())
    assert [line["event_type"] for line in lines] == ["X", "EntityChangeEvent_v1"]


def test_a_line_torn_by_a_crash_is_ended_first(sink, place):
    (place / "failed_events.log").write_bytes(b'{"event_type": "Ent')
    sink.write([event_letter(1)])
    torn, rest = (place / "failed_events.log").read_bytes().split(b"\n", 1)
    assert torn == b'{"event_type": "Ent'
    assert offsets(rest) == [1]


def test_a_file_that_was_rotated_is_begun_anew(sink, place):
    log = place / "failed_events.log"
    sink.write([event_letter(1)])
    log.rename(place / "failed_events.log.1")
    sink.write([event_letter(2)])
    log.write_bytes(b"")  # emptied in place
    sink.write([event_letter(3)])
    assert offsets((place / "failed_events.log.1").read_bytes()) == [1]
    assert offsets(log.read_bytes()) == [3]


def test_a_file_rotated_while_a_write_waits_for_its_lock_does_not_get_the_letter(sink, place):
    log = place / "failed_events.log"
    sink.write([event_letter(1)])
    with log.open("rb") as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        writing = pool.submit(sink.write, [event_letter(2)])
        log.rename(place / "failed_events.log.1")
        fcntl.flock(held, fcntl.LOCK_UN)
        writing.result(20)
    assert offsets((place / "failed_events.log.1").read_bytes()) == [1]
    assert offsets(log.read_bytes()) == [2]


def test_a_directory_that_was_removed_is_made_again(sink, place):
    sink.write([event_letter(1)])
    (place / "failed_events.log").unlink()
    place.rmdir()
    place.parent.rmdir()
    sink.write([event_letter(2)])
    assert offsets((place / "failed_events.log").read_bytes()) == [2]


def test_a_full_device_is_transient_with_path_and_reason_and_room_heals_it(sink, place):
    log = place / "failed_events.log"
    log.symlink_to("/dev/full")
    for _ in range(2):
        with pytest.raises(Transient) as raised:
            sink.write([event_letter(1)])
        assert str(log) in str(raised.value)
        assert "No space left on device" in str(raised.value)
    log.unlink()
    sink.write([event_letter(1)])
    assert offsets(log.read_bytes()) == [1]


def test_where_one_file_fails_the_other_gets_nothing_either(sink, place):
    sink.write([event_letter(1)])
    (place / "undecodable.log").symlink_to("/dev/full")
    with pytest.raises(Transient):
        sink.write([event_letter(2), undecodable_letter(3)])
    assert offsets((place / "failed_events.log").read_bytes()) == [1]
    (place / "undecodable.log").unlink()
    sink.write([event_letter(2), undecodable_letter(3)])
    assert offsets((place / "failed_events.log").read_bytes()) == [1, 2]
    assert offsets((place / "undecodable.log").read_bytes()) == [3]


LIMITED = """
import resource, sys
from pathlib import Path
from datahub_poller.deadletter.file import FileSink
from datahub_poller.errors import Transient
from support.letters import event_letter
sink = FileSink(Path(sys.argv[1]), "tag-sync")
sink.write([event_letter(1)])
log = Path(sys.argv[1]) / "tag-sync" / "failed_events.log"
whole = log.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 100, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        sink.write([event_letter(2)])
        print("written?")
    except Transient as error:
        print(log.stat().st_size - whole, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.write([event_letter(2)])
"""


def test_a_write_that_stops_in_the_middle_of_a_line_is_taken_back(tmp_path, place):
    environ = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path / "letters")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("0 ") and "File too large" in line for line in lines)
    assert offsets((place / "failed_events.log").read_bytes()) == [1, 2]


def test_what_another_process_added_without_the_lock_is_never_cut(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    with file_log.opened(path) as log:
        log.append([b"ours\n"])
        with path.open("ab") as other:
            other.write(b"theirs\n")
        log.restore(OSError)
    assert path.read_bytes() == b"one\nours\ntheirs\n"
    with file_log.opened(path) as log:
        log.append([b"more\n"])
        log.restore(OSError)
    assert path.read_bytes() == b"one\nours\ntheirs\n"


@pytest.mark.parametrize("special", ["directory", "fifo", "null"])
def test_what_is_no_regular_file_takes_no_letter(special, sink, place):
    log = place / "failed_events.log"
    match special:
        case "directory":
            log.mkdir()
        case "fifo":
            os.mkfifo(log)
        case _:
            log.symlink_to("/dev/null")
    with pytest.raises(Transient, match=r"failed_events\.log"):
        sink.write([event_letter(1)])
    with pytest.raises(CannotStart, match=r"failed_events\.log: it is no regular file"):
        sink.check()


def test_a_lock_that_another_holds_is_waited_for_and_then_is_transient(sink, place, monkeypatch):
    monkeypatch.setattr(file_log, "_LOCK_PATIENCE", 0.05)
    sink.write([event_letter(1)])
    with (place / "failed_events.log").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Transient, match="other processes have kept it locked"):
            sink.write([event_letter(2)])
    sink.write([event_letter(3)])
    assert offsets((place / "failed_events.log").read_bytes()) == [1, 3]


def test_writes_from_many_threads_lose_and_mix_nothing(sink, place):
    start = threading.Barrier(4)

    def work(number):
        start.wait(20)
        for step in range(10):
            sink.write([event_letter(number * 100 + step), undecodable_letter(number * 100 + step)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    for name in ("failed_events.log", "undecodable.log"):
        seen = offsets((place / name).read_bytes())
        assert sorted(seen) == [number * 100 + step for number in range(4) for step in range(10)]
        for number in range(4):
            assert [offset for offset in seen if offset // 100 == number] == sorted(
                offset for offset in seen if offset // 100 == number
            )


def test_no_file_stays_open_after_a_write_or_a_failed_one(sink, place):
    before = len(list(Path("/proc/self/fd").iterdir()))
    sink.write([event_letter(1), undecodable_letter(2)])
    (place / "undecodable.log").unlink()
    (place / "undecodable.log").symlink_to("/dev/full")
    with pytest.raises(Transient):
        sink.write([event_letter(1), undecodable_letter(2)])
    with pytest.raises(CannotStart):
        sink.check()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# check


def test_a_check_makes_the_directory_and_leaves_nothing_in_it(tmp_path, place):
    FileSink(tmp_path / "letters", "tag-sync").check()
    assert list(place.iterdir()) == []


def test_a_check_leaves_the_letters_that_are_there_alone(sink, place):
    sink.write([event_letter(1)])
    sink.check()
    assert offsets((place / "failed_events.log").read_bytes()) == [1]
    assert len(list(place.iterdir())) == 1


def refusal(directory, name="tag-sync"):
    with pytest.raises(CannotStart) as raised:
        FileSink(directory, name).check()
    message = str(raised.value)
    assert "options.failed_events_dir" in message
    assert "dead_letter.config.directory" in message
    return message


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "letters").write_text("")
    message = refusal(tmp_path / "letters")
    assert str(tmp_path / "letters") in message
    assert "stands in the way" in message


def test_a_dangling_link_in_the_way_is_named(tmp_path):
    (tmp_path / "letters").symlink_to(tmp_path / "nowhere")
    assert str(tmp_path / "letters") in refusal(tmp_path / "letters")


def test_a_name_too_long_for_a_directory_is_said(tmp_path):
    assert "shorter name" in refusal(tmp_path, "x" * 300)


def test_a_place_where_nothing_can_be_made_is_named_with_its_reason():
    message = refusal(Path("/proc/letters"))
    assert "/proc/letters" in message
    assert "No such file or directory" in message


def test_the_key_that_the_user_wrote_can_be_named(tmp_path):
    (tmp_path / "letters").write_text("")
    with pytest.raises(CannotStart, match=r"or set dead_letter\.config\.directory to"):
        FileSink(tmp_path / "letters", "x", setting="dead_letter.config.directory").check()


def test_every_cause_has_a_remedy():
    for number in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EIO):
        assert file_module._remedy(OSError(number, os.strerror(number)))


# What the disk says to fsync cannot be had from a real disk that is well: here it is put in its mouth.


def test_a_write_counts_only_when_the_disk_has_it(sink, place, monkeypatch):
    sink.write([event_letter(1)])
    real = os.fsync

    def failing(fd):
        if stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(Transient, match=r"failed_events\.log: Input/output error"):
            sink.write([event_letter(2)])
        with pytest.raises(CannotStart, match="Input/output error"):
            sink.check()
    assert [path.name for path in place.iterdir()] == ["failed_events.log"]
    sink.write([event_letter(3)])
    assert offsets((place / "failed_events.log").read_bytes()) == [1, 3]


def test_new_files_and_directories_are_made_durable_too(tmp_path, place, monkeypatch):
    real, synced = os.fsync, set()

    def noting(fd):
        synced.add(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", noting)
    FileSink(tmp_path / "letters", "tag-sync").write([event_letter(1)])
    wanted = (tmp_path, place.parent, place, place / "failed_events.log")
    assert synced == {path.stat().st_ino for path in wanted}


def test_a_file_that_is_removed_while_it_is_written_does_not_count(sink, place, monkeypatch):
    log = place / "failed_events.log"
    sink.write([event_letter(1)])
    real = os.fsync

    def removing(fd):
        log.unlink(missing_ok=True)
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", removing)
        with pytest.raises(Transient, match="removed while it was written"):
            sink.write([event_letter(2)])
    sink.write([event_letter(2)])
    assert offsets(log.read_bytes()) == [2]
