"""What the demo shows, in a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from datahub_poller.demo.follow import GivenUp, Invocation
from datahub_poller.demo.view import Lines, Picture, Scene, view_for

TOPICS = {("MetadataChangeLog_Versioned_v1", n): 10 for n in range(3)} | {("PlatformEvent_v1", n): 20 for n in range(3)}
BRACKETS = "[bold]brackets[/bold] are text"


def scene(committed=5, status=None):
    counts = {"produced": 90, "delivered": 40}
    return Scene(TOPICS, dict.fromkeys(TOPICS, committed), counts, status)


def batch(number, error=None):
    events = (
        ("MetadataChangeLog_Versioned_v1", 0, 1),
        ("MetadataChangeLog_Versioned_v1", 2, 1),
        ("PlatformEvent_v1", 1, 9),
    )
    return Invocation(number, 1, events, () if error else (BRACKETS, "more"), error)


def played(view):
    with view:
        for number in range(1, 60):
            view.invoked(batch(number))
        view.invoked(batch(60, f"Broken: {BRACKETS}"))
        view.given_up(GivenUp(("PlatformEvent_v1", 1, 9), f"Broken: {BRACKETS}", undecodable=False))
        view.given_up(GivenUp(("PlatformEvent_v1", 1, 10), "EOF", undecodable=True))
        view.scene(scene())
        status = {
            "state": "waiting",
            "reasons": ["registry away"],
            "partitions": [{"topic": "PlatformEvent_v1", "partition": 1, "state": "backing_off"}],
        }
        view.scene(scene(7, status))


def test_lines_tell_batches_letters_and_commits_and_take_brackets_for_text():
    out = io.StringIO()
    played(Lines(Console(file=out, width=80)))
    lines = out.getvalue().splitlines()
    assert len(lines) == 60 + 2 + 2
    assert lines[0].split() == f"batch 1 3 events PlatformEvent 1, Versioned 2 ok: {BRACKETS}, ...".split()
    assert lines[59].endswith(f"failed: Broken: {BRACKETS}")
    assert lines[60] == f"dead letter  PlatformEvent_v1-1@9  Broken: {BRACKETS}"
    assert lines[61] == "undecodable  PlatformEvent_v1-1@10  EOF"
    assert "Versioned-0 5/10" in lines[62]
    assert "PlatformEvent-2 7/20" in lines[63]


@pytest.mark.parametrize("height", [10, 24, 60])
def test_the_picture_holds_the_newest_batch_letters_offsets_and_the_pollers_word(height):
    out = io.StringIO()
    played(Picture(Console(file=out, width=130, height=height, force_terminal=True, color_system=None)))
    last = out.getvalue()[out.getvalue().rindex("batches, as") :]
    newest = next(line for line in last.splitlines() if line.strip().startswith("60 "))
    assert newest.split()[:5] == ["60", "3", "PlatformEvent", "1,", "Versioned"]
    assert "failed: Broken: [bold]" in newest
    for shown in ("dead letter", "undecodable", "PlatformEvent_v1-1", "backing off", "registry away", "delivered 40"):
        assert shown in last
    assert len(last.splitlines()) <= max(height, 3 + 6 + 2 + 8)


def test_a_terminal_gets_the_picture_and_a_pipe_or_a_dumb_terminal_lines():
    assert isinstance(view_for(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})), Picture)
    assert isinstance(view_for(Console(file=io.StringIO())), Lines)
    assert isinstance(view_for(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})), Lines)
