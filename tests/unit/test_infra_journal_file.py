"""infra/ec2/journal_file.py: what becomes of the journal's entries. With a real journal: `test_infra_unit_lines.py`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "infra" / "ec2" / "journal_file.py"
_spec = importlib.util.spec_from_file_location("journal_file", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
journal_file = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(journal_file)


def entry(message, cursor="s=1;i=1"):
    return json.dumps({"__CURSOR": cursor, "MESSAGE": message}).encode() + b"\n"


def copied(directory, entries, most=1000):
    file, cursor = directory / "tag-sync.log", directory / "tag-sync.log.cursor"
    journal_file.copy(entries, file, cursor, most)
    return file


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ('{"_aws":{}}', b'{"_aws":{}}'),
        ("größe", "größe".encode()),
        (list(b"\xff\xfe no text"), b"\xff\xfe no text"),
        ("  indented", b"  indented"),
        ("", b""),
        (None, b"null"),
        (["one", "two"], b'["one", "two"]'),
    ],
)
def test_a_message_becomes_a_line_as_it_was_written(tmp_path, message, line):
    assert copied(tmp_path, [entry(message)]).read_bytes() == line + b"\n"


def test_an_entry_without_a_message_is_no_trouble(tmp_path):
    assert copied(tmp_path, [b'{"__CURSOR": "c"}\n', entry("next")]).read_bytes() == b"null\nnext\n"


def test_the_disk_is_bounded_and_the_newest_lines_are_there(tmp_path):
    lines = [f"line {number:06}" for number in range(500)]
    file = copied(tmp_path, map(entry, lines), most=1000)
    before = tmp_path / "tag-sync.log.1"
    assert {each.name for each in tmp_path.iterdir()} <= {file.name, before.name, f"{file.name}.cursor"}
    assert before.stat().st_size <= 1000 + len(lines[0])
    kept = (before.read_text() + (file.read_text() if file.exists() else "")).splitlines()
    assert kept == lines[-len(kept) :]
    assert len(kept) >= 1000 // (len(lines[0]) + 1)


def test_whoever_reads_the_file_that_is_renamed_misses_no_line(tmp_path):
    file = copied(tmp_path, [entry("before")])
    with file.open("rb") as reader:
        copied(tmp_path, map(entry, ["x" * 1000, "in the new file"]))
        assert reader.read() == b"before\n" + b"x" * 1000 + b"\n"
    assert file.read_text() == "in the new file\n"


def test_it_goes_on_after_the_last_line_that_it_wrote(tmp_path):
    cursor = tmp_path / "tag-sync.log.cursor"
    assert journal_file.reader("a.service", cursor)[-1] == "--boot"
    copied(tmp_path, [entry("one", "s=1;i=1"), entry("two", "s=1;i=2")])
    assert journal_file.reader("a.service", cursor)[-1] == "--after-cursor=s=1;i=2"


def test_a_line_is_written_before_its_cursor_is(tmp_path):
    """What is cut off in between comes twice, and is not missing."""

    def entries():
        yield entry("one", "s=1;i=1")
        yield entry("two", "s=1;i=2")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(tmp_path, entries())
    assert (tmp_path / "tag-sync.log").read_text() == "one\ntwo\n"
    (tmp_path / "tag-sync.log.cursor.draft").mkdir()  # no cursor can be written
    with pytest.raises(IsADirectoryError):
        copied(tmp_path, [entry("three", "s=1;i=3")])
    assert (tmp_path / "tag-sync.log").read_text() == "one\ntwo\nthree\n"
    assert (tmp_path / "tag-sync.log.cursor").read_text() == "s=1;i=2"


@pytest.mark.parametrize("code", [0, 1])
def test_a_reader_that_ends_is_a_failure_so_that_it_is_started_again(tmp_path, code):
    """With a stand-in for journalctl, which says what it was asked."""
    stand_in = tmp_path / "journalctl"
    stand_in.write_text(f'#!/bin/sh\nprintf \'{{"__CURSOR":"c","MESSAGE":"%s"}}\\n\' "$*"\nexit {code}\n')
    stand_in.chmod(0o755)
    file = tmp_path / "tag-sync.log"
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, "datahub-poller@tag-sync.service", file],
        env={"PATH": f"{tmp_path}{os.pathsep}/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert file.read_text().startswith("--unit=datahub-poller@tag-sync.service --follow --no-tail --all ")
