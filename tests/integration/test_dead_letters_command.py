"""`dead-letters` as it is typed, on files that the poller's own sink has written."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from datahub_poller.deadletter.file import FileSink
from support.action_files import with_keys, written
from support.commands import POLLER, Ran, environment, ran
from support.letter_stores import ACTIONS_LINE, a_letter

WHY = ("--yes", "--why", "gone for good")


@pytest.fixture
def directory(tmp_path) -> Path:
    return tmp_path / "letters"


@pytest.fixture
def action(tmp_path, directory) -> str:
    return str(written(tmp_path, with_keys({"dead_letter.config.directory": str(directory)})))


def keep(directory: Path, *letters: Any, name: str = "tag-sync") -> None:
    FileSink(directory, name).write(letters)


def run(command: str, action: str, *arguments: str, **environ: str) -> Ran:
    done = ran("dead-letters", command, "-c", action, *arguments, cwd=Path(action).parent, environ=environ)
    assert "Traceback" not in done.err
    return done


def offsets(done: Ran) -> list[str]:
    return [line.split()[1].split("/")[2] for line in done.out.splitlines()]


def on_terminal(action: str, *arguments: str, stream: str = "stdout", **environ: str) -> tuple[bytes, int]:
    """What one stream of the command writes to a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*POLLER, "dead-letters", arguments[0], "-c", action, *arguments[1:]],
        env=environment({"TERM": "xterm", **environ}),
        stdin=subprocess.DEVNULL,
        **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs},
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    finally:
        os.close(ours)
    return said, done.wait(timeout=30)


def test_letters_of_the_poller_and_of_datahub_actions_are_listed(directory, action):
    keep(directory, a_letter(2), a_letter(1, event=None, stage="decode", kind="not_avro", message="\x1b[2J\nx"))
    with (directory / "tag-sync" / "failed_events.log").open("ab") as file:
        file.write(ACTIONS_LINE)
    done = run("list", action)
    assert done.code == 0
    foreign, undecodable, event = done.out.splitlines()
    assert foreign.startswith("- datahub-actions/")
    assert undecodable.endswith("decode not_avro: \\x1b[2J\\nx")
    assert event.endswith("handler ValueError: tag unknown urn:li:dataset:2")
    assert done.err.startswith("datahub-poller: 3 letters in ")
    documents = [json.loads(line) for line in run("list", action, "--json").out.splitlines()]
    assert len(documents) == 3
    assert all(str(directory) in each["where"][0] for each in documents)


def test_a_place_that_holds_nothing_yet_is_empty(action):
    done = run("list", action)
    assert (done.code, done.out) == (0, "")
    assert "0 letters" in done.err


def test_an_id_from_the_list_can_be_shown_and_its_bytes_kept(directory, action, tmp_path):
    keep(directory, a_letter(17, event=None, value=b"\x00\x01raw"), a_letter(1))
    letter_id = run("list", action).out.splitlines()[1].split()[1]
    done = run("show", action, letter_id, "--raw", "value.bin")
    assert done.code == 0
    assert "000000  00 01 72 61 77" in done.out
    assert (tmp_path / "value.bin").read_bytes() == b"\x00\x01raw"
    assert run("show", action, "PlatformEvent_v1-0@1", "--raw", "value.bin").code == 2
    assert json.loads(run("show", action, "PlatformEvent_v1-0@17", "--json").out)["id"] == letter_id


def test_stats_count_by_error(directory, action):
    keep(directory, *(a_letter(number, kind="KeyError" if number % 3 else "TypeError") for number in range(9)))
    done = run("stats", action)
    assert done.code == 0
    assert done.out.startswith("9 letters (9 waiting); by stage: handler 9\n")
    assert "KeyError   handler        6" in done.out
    assert json.loads(run("stats", action, "--json").out)["letters"] == 9


def test_dropped_letters_are_gone_and_all_others_stay(directory, action):
    keep(directory, *(a_letter(number, kind="KeyError" if number % 2 else "TypeError") for number in range(6)))
    keep(directory, a_letter(1, event=None, kind="KeyError"), a_letter(3, kind="KeyError", action="Tag-Sync"))
    dry = run("drop", action, "--error", "KeyError")
    assert dry.code == 0
    assert "nothing was done" in dry.err
    assert len(run("list", action).out.splitlines()) == 6
    done = run("drop", action, "--error", "KeyError", *WHY)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 3
    left = b"".join(path.read_bytes() for path in (directory / "tag-sync").glob("*.log"))
    assert left.count(b'"kind":"TypeError"') == 3
    assert left.count(b'"kind":"KeyError"') == 1
    assert b'"action":"Tag-Sync"' in left
    keep(directory, a_letter(8, kind="KeyError"))
    assert offsets(run("list", action)) == ["0", "2", "4", "8"]


def test_a_record_that_is_given_up_once_more_after_it_was_dropped_is_waiting_again(directory, action):
    keep(directory, a_letter(1), a_letter(2))
    assert run("drop", action, "--id", "PlatformEvent_v1-0@1", *WHY).code == 0
    keep(directory, a_letter(1))  # from before: written twice, or restored from a backup
    assert offsets(run("list", action)) == ["2"]
    keep(directory, a_letter(1, at=time.time() + 1))
    assert offsets(run("list", action)) == ["2", "1"]
    *_, last = run("show", action, "PlatformEvent_v1-0@1", "--json").out.splitlines()
    assert json.loads(last)["state"] == "waiting"
    assert [(mark["done"], mark["why"]) for mark in json.loads(last)["ledger"]] == [("dropped", "gone for good")]


def test_what_stands_in_the_way_is_said(directory, action):
    directory.mkdir()
    (directory / "tag-sync").write_text("no directory")
    for command in (["list"], ["stats"], ["show", "x"], ["drop", "--all", *WHY]):
        done = run(command[0], action, *command[1:])
        assert (done.code, done.out) == (1, ""), command
        assert str(directory / "tag-sync") in done.err
        assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["stats", "--by", "hour"]])
def test_a_reader_that_has_seen_enough_ends_it_quietly(directory, action, arguments):
    keep(directory, *(a_letter(number, kind=f"Error{number}") for number in range(2_000)))
    limit = "--limit 2000" if arguments == ["list"] else ""
    command = f"{' '.join(POLLER)} dead-letters {' '.join(arguments)} -c {action} {limit} 2>err | head -1 >out"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        cwd=Path(action).parent,
        env=environment({}),
        check=True,
        timeout=30,
    )
    assert done.stdout == "0\n"
    assert "Traceback" not in Path(action).with_name("err").read_text()
    assert "Broken" not in Path(action).with_name("err").read_text()


def test_output_that_is_no_utf8_gets_escapes_and_plain_bars(directory, action):
    keep(directory, a_letter(1, message="grün ▁"))
    listed = run("list", action, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "gr\\xfcn \\u2581" in listed.out
    counted = run("stats", action, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert counted.code == 0
    assert "2026-01-31T08:00  ######" in counted.out


@pytest.mark.parametrize("no_color", ["", "1"])
@pytest.mark.parametrize("command", [["list"], ["show", "PlatformEvent_v1-0@1"], ["stats"]])
def test_on_a_terminal_there_are_colours_unless_they_are_not_wanted(directory, action, command, no_color):
    keep(directory, a_letter(1, message="\x1b[2J"))
    said, code = on_terminal(action, *command, NO_COLOR=no_color)
    assert code == 0
    assert (b"\x1b[" in said) == (no_color == "")
    assert b"\x1b[2J" not in said


def test_a_bar_tells_how_far_it_is_where_lines_go_elsewhere(directory, action):
    keep(directory, *(a_letter(number) for number in range(3_000)))
    said, code = on_terminal(action, "drop", "--all", *WHY, stream="stderr")
    assert code == 0
    assert b"letters dropped" in said
    assert b"3,000 letters dropped" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "-c", "none.yaml"],
        ["list", "-c", "broken.yaml"],
        ["list", "-c", "action.yaml", "--unknown"],
        ["show", "-c", "action.yaml"],
        ["show", "-c", "action.yaml", ""],
        ["show", "-c", "action.yaml", "nothing"],
        ["drop", "-c", "action.yaml"],
        ["drop", "-c", "action.yaml", "--all", "--yes"],
        ["frobnicate"],
    ],
)
def test_wrong_use_ends_with_two_and_says_why(action, arguments):
    Path(action).with_name("broken.yaml").write_text("name: [")
    done = ran("dead-letters", *arguments, cwd=Path(action).parent)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "Traceback" not in done.err
