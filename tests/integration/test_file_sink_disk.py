"""The file sink on a real disk that is full, or read only."""

import os
import shutil
import subprocess

import pytest

from datahub_poller.deadletter.file import FileSink
from datahub_poller.errors import CannotStart, Transient
from support.letters import event_letter, offsets


def _mount(*arguments):
    command = shutil.which("mount")
    if os.geteuid() != 0 or command is None:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    _mount("-t", "tmpfs", "-o", "size=64k", "none", str(path))
    yield path
    subprocess.run(["umount", str(path)], check=True, capture_output=True)


def takes(sink, offset):
    try:
        sink.write([event_letter(offset), event_letter(offset + 1)])
    except Transient:
        return False
    return True


def test_a_full_disk_keeps_every_line_whole_and_writing_goes_on_when_there_is_room(disk):
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    sink = FileSink(disk, "tag-sync")
    sink.check()
    log = disk / "tag-sync" / "failed_events.log"
    written = 0
    while takes(sink, written):
        written += 2
    assert written > 0
    for _ in range(3):
        with pytest.raises(Transient, match=r"failed_events\.log: No space left on device"):
            sink.write([event_letter(written), event_letter(written + 1)])
    assert offsets(log.read_bytes()) == list(range(written))
    ballast.unlink()
    sink.write([event_letter(written), event_letter(written + 1)])
    assert offsets(log.read_bytes()) == list(range(written + 2))


def test_a_full_disk_at_the_start_is_said_with_the_remedy(disk):
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        assert ballast.write(b"x" * 100_000) < 100_000
    with pytest.raises(CannotStart, match=r"No space left on device\. Make room there"):
        FileSink(disk, "tag-sync").check()
    assert list((disk / "tag-sync").glob(".probe-*")) == []


def test_a_disk_that_turns_read_only_is_transient_and_at_the_start_is_refused(disk):
    sink = FileSink(disk, "tag-sync")
    sink.check()
    sink.write([event_letter(1)])
    _mount("-o", "remount,ro", str(disk))
    with pytest.raises(Transient, match="Read-only file system"):
        sink.write([event_letter(2)])
    with pytest.raises(CannotStart, match=r"Read-only file system\. Mount it writable"):
        FileSink(disk, "tag-sync").check()
    _mount("-o", "remount,rw", str(disk))
    sink.write([event_letter(2)])
    assert offsets((disk / "tag-sync" / "failed_events.log").read_bytes()) == [1, 2]
