"""Several pollers on one host that write to the same files, and are killed while they do."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datahub_poller.deadletter.file_names import oldest_first
from support.letters import record_of

TESTS = Path(__file__).parents[1]

# Acknowledges every offset on its standard output after the write has returned.
WRITER = """
import sys
from pathlib import Path
from datahub_poller.deadletter.file import FileSink
from support.letters import event_letter, undecodable_letter
sink = FileSink(Path(sys.argv[1]), "shared", rotate=int(sys.argv[4]))
sink.check()
offset = int(sys.argv[2])
for _ in range(int(sys.argv[3])):
    sink.write([event_letter(offset), undecodable_letter(offset), event_letter(offset + 1)])
    print(offset, flush=True)
    offset += 2
"""


# Takes out the letters whose offsets can be divided by 4, over and over, and says which are gone.
DROPPER = """
import json, sys
from pathlib import Path
from datahub_poller.deadletter.file_store import FileStore
from support.letters import record_of
store = FileStore(Path(sys.argv[1]), "shared")
while True:
    chosen = [each for each in store.scan() if record_of(json.loads(each.line)).offset % 4 == 0]
    assert store.remove(chosen) == len(chosen)
    print(len(chosen), flush=True)
"""


def start(directory, first, count, rotate=10**9):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), str(first), str(count), str(rotate)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def acknowledged(process):
    # A line that the kill has cut short acknowledges nothing.
    with process.stdout as lines:
        return [int(line) for line in lines.read().split(b"\n")[:-1]]


def written(path):
    """Offsets in the file, in order; a line that a kill has torn is no JSON, and is left out."""
    lines = []
    for line in path.read_bytes().split(b"\n"):
        try:
            lines.append(record_of(json.loads(line)).offset)
        except ValueError:
            continue
    return lines


def test_writers_side_by_side_keep_all_their_lines_whole_and_in_order(tmp_path):
    writers = [start(tmp_path, number * 10_000, 50) for number in range(3)]
    for writer in writers:
        assert len(acknowledged(writer)) == 50
        assert writer.wait(60) == 0
    raw = (tmp_path / "shared" / "failed_events.log").read_bytes()
    seen = written(tmp_path / "shared" / "failed_events.log")
    assert len(seen) == raw.count(b"\n") == 300
    for number in range(3):
        assert [offset for offset in seen if offset // 10_000 == number] == list(
            range(number * 10_000, number * 10_000 + 100)
        )
    assert len(written(tmp_path / "shared" / "undecodable.log")) == 150


def test_what_was_acknowledged_before_a_kill_is_in_the_files(tmp_path):
    chance = random.Random(7)
    kept = []
    for number in range(6):
        writer = start(tmp_path, number * 1_000_000, 1_000_000)
        ready = writer.stdout.readline()
        time.sleep(chance.random() * 0.1)
        writer.kill()
        kept += [int(ready), *acknowledged(writer)]
        writer.wait(60)
    events = set(written(tmp_path / "shared" / "failed_events.log"))
    undecodable = set(written(tmp_path / "shared" / "undecodable.log"))
    assert len(kept) >= 6
    assert {offset for first in kept for offset in (first, first + 1)} <= events
    assert set(kept) <= undecodable


def all_written(directory):
    """The offsets in all files of one kind, the oldest file first."""
    failed = [
        name for name in oldest_first(path.name for path in directory.iterdir()) if name.startswith("failed_events")
    ]
    return [offset for name in failed for offset in written(directory / name)]


def test_writers_side_by_side_rotate_their_files_and_lose_nothing(tmp_path):
    writers = [start(tmp_path, number * 10_000, 50, rotate=20_000) for number in range(3)]
    for writer in writers:
        assert len(acknowledged(writer)) == 50
        assert writer.wait(60) == 0
    assert len(list((tmp_path / "shared").iterdir())) > 10
    seen = all_written(tmp_path / "shared")
    assert len(seen) == 300
    for number in range(3):
        expected = list(range(number * 10_000, number * 10_000 + 100))
        assert [offset for offset in seen if offset // 10_000 == number] == expected


def test_letters_are_taken_out_and_the_taking_killed_while_others_write_and_nothing_else_goes(tmp_path):
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    writers = [start(tmp_path, number * 10_000, 500, rotate=50_000) for number in range(2)]
    for writer in writers:
        writer.stdout.readline()
    gone = kills = 0
    while kills < 3 or any(writer.poll() is None for writer in writers):
        dropper = subprocess.Popen(
            [sys.executable, "-c", DROPPER, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        gone += int(dropper.stdout.readline() or 0)
        time.sleep(chance.random() * 0.05)
        dropper.kill()
        kills += 1
        dropper.stdout.close()
        dropper.wait(60)
    for writer in writers:
        acknowledged(writer)
        assert writer.wait(60) == 0
    assert gone > 0
    seen = [offset for offset in all_written(tmp_path / "shared") if offset % 4]
    for number in range(2):
        expected = [offset for offset in range(number * 10_000, number * 10_000 + 1000) if offset % 4]
        assert [offset for offset in seen if offset // 10_000 == number] == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can put on another user's shoes")
def test_a_user_without_the_right_to_write_is_told_so_before_anything_starts(tmp_path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from datahub_poller.deadletter.file import FileSink\n"
        "from datahub_poller.errors import CannotStart\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n    FileSink(Path(sys.argv[1]), 'x').check()\n"
        "except CannotStart as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "letters")], capture_output=True, text=True, check=True
    )
    assert "Permission denied. Give the user that runs the poller the right to write there" in done.stdout
