"""`dead-letters redrive` as it is typed: on real files and on S3, stopped, killed, and refused."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from datahub_poller import letterbox
from datahub_poller.config import load
from support.action_files import with_keys, written
from support.commands import ran, started
from support.letter_stores import a_letter

pytestmark = pytest.mark.timeout(120)
TO_HANDLER = ("--to", "handler")
YES = ("--yes", "--why", "fixed")

HANDLER = """
import json, os, pathlib, time

HERE = pathlib.Path(__file__).parent

def handle(event, context):
    print("a handler prints")
    plan = json.loads((HERE / "plan.json").read_text())
    with (HERE / "calls.jsonl").open("a") as file:
        for each in event["events"]:
            file.write(json.dumps({"id": each["meta"]["redrive"]["letter"], **each}) + "\\n")
        file.flush()
        os.fsync(file.fileno())
    hold = plan.get("hold")
    begun = len((HERE / "calls.jsonl").read_text().splitlines())
    while hold is not None and begun > plan.get("from", 0) and not (HERE / hold).exists():
        time.sleep(0.01)
    bad = [each for each in event["events"] if each["meta"]["kafka"]["offset"] in plan.get("poison", ())]
    if bad:
        raise ValueError("still poison")
"""
REPAIRS = """
def mend(document):
    if document["meta"]["kafka"]["offset"] == 2:
        raise KeyError("no idea")
    return {"event_type": document["event_type"], "event": {**document["event"], "category": "mended"}}
"""


class Place:
    """An action file whose letters go to a new place, and the handler beside it."""

    def __init__(self, directory: Path, letters: dict) -> None:
        self.directory = directory
        retry = {"retry.attempts": 2, "retry.backoff": 0, "shutdown.deadline": "5s", "batch.size": 10}
        keys = {**letters, **retry, "handler.config.function": "redriving_handler:handle"}
        self.action = written(directory, with_keys(keys))
        (directory / "redriving_handler.py").write_text(HANDLER)
        (directory / "redriving_repairs.py").write_text(REPAIRS)
        self.environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        self.plan()

    def plan(self, **plan) -> None:
        draft = self.directory / "plan.draft"
        draft.write_text(json.dumps(plan))
        draft.replace(self.directory / "plan.json")

    def keep(self, *letters) -> None:
        letterbox.sink(load(self.action, os.environ), os.environ).write(letters)

    def stored(self) -> list[bytes]:
        """Every line that lies there."""
        store = letterbox.store(load(self.action, os.environ), os.environ)
        try:
            return [each.line.strip() for each in store.scan()]
        finally:
            store.close()

    def marks(self, done=None) -> list[tuple[str, int]]:
        store = letterbox.store(load(self.action, os.environ), os.environ)
        try:
            return [(mark.letter, mark.redrives) for mark in store.marks() if done in (None, mark.done)]
        finally:
            store.close()

    def run(self, *arguments: str):
        found = ran(
            "dead-letters", "redrive", "-c", str(self.action), *arguments, cwd=self.directory, environ=self.environ
        )
        assert "Traceback" not in found.err
        return found

    def start(self, *arguments: str):
        command = ("dead-letters", "redrive", "-c", str(self.action), *arguments)
        return started(*command, cwd=self.directory, environ=self.environ)

    def calls(self) -> list[dict]:
        path = self.directory / "calls.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be half written

    def until_called(self, times: int) -> None:
        end = time.monotonic() + 60
        while len(self.calls()) < times:
            assert time.monotonic() < end, self.calls()
            time.sleep(0.02)


def files(tmp_path, _):
    return {"dead_letter.config.directory": str(tmp_path / "letters")}


def s3(_, request):
    aws = request.getfixturevalue("aws")
    config = {"bucket": aws.bucket().name, "region": aws.account.region, "endpoint": aws.proxy.url}
    return {"dead_letter.type": "s3", "dead_letter.config": config}


@pytest.fixture(params=[files, s3], ids=["file", "s3"])
def both(request, tmp_path):
    return Place(tmp_path, request.param(tmp_path, request))


@pytest.fixture
def place(request, tmp_path):
    return Place(tmp_path, files(tmp_path, request))


def ids(offsets, **changes) -> set[tuple[str, int]]:
    return {(a_letter(offset, **changes).id, 0) for offset in offsets}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(both):
    both.keep(*(a_letter(offset, kind="KeyError" if offset % 2 else "TypeError") for offset in range(8)))
    both.keep(a_letter(9, redrives=3))
    before = both.stored()
    said = both.run(*TO_HANDLER, "--error", "KeyError", "--error", "ValueError")
    assert said.code == 0, said.all
    assert "4  KeyError" in said.out
    assert said.out.count("would redrive") == 4
    assert "4 letters would go to handler; nothing was done. --yes does it" in said.err
    assert "1 letter left out: redriven 3 times already" in said.err
    assert (both.stored(), both.marks(), both.calls()) == (before, [], [])


def test_a_run_that_is_killed_goes_on_where_it_was_and_nothing_is_lost(both):
    both.keep(*(a_letter(offset, partition=offset % 3) for offset in range(300)))
    both.keep(*(a_letter(offset, kind="KeyError") for offset in range(400, 410)))
    both.plan(hold="never", **{"from": 100})
    with both.start(*TO_HANDLER, "--error", "ValueError", *YES) as process:
        both.until_called(101)
        process.kill()
        process.communicate()
    marked = both.marks("delivered")
    assert 0 < len(marked) < 300
    both.plan()
    ended = both.run(*TO_HANDLER, "--error", "ValueError", *YES)
    assert ended.code == 0, ended.all
    wanted = {a_letter(offset, partition=offset % 3).id for offset in range(300)}
    called = [call["id"] for call in both.calls()]
    assert set(called) == wanted
    assert len(called) <= 300 + 10  # what was in flight
    assert {name for name, _ in both.marks("delivered")} == wanted
    for partition in range(3):
        first: dict[int, None] = {}
        for call in both.calls():
            if call["meta"]["kafka"]["partition"] == partition:
                first.setdefault(call["meta"]["kafka"]["offset"])
        assert list(first) == sorted(first)
    assert both.run(*TO_HANDLER, "--error", "ValueError", *YES).code == 0
    assert len(both.calls()) == len(called)


def test_what_fails_again_is_a_new_letter_and_the_command_says_so(place):
    place.keep(*(a_letter(offset) for offset in range(6)))
    place.plan(poison=[2, 4])
    ended = place.run(*TO_HANDLER, *YES)
    assert ended.code == 1, ended.all
    assert "4 delivered, 2 failed again" in ended.err
    assert ended.out.count(" delivered PlatformEvent_v1/0/") == 4
    assert ended.out.count(" failed again PlatformEvent_v1/0/") == 2
    assert "ValueError: still poison" in ended.out
    assert "a handler prints" not in ended.out
    assert "a handler prints" in ended.err
    assert set(place.marks("failed_again")) == ids([2, 4])
    place.plan()
    ended = place.run(*TO_HANDLER, *YES, "--json")
    assert ended.code == 0, ended.all
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [(line["done"], line["redrives"], line["to"], line["why"]) for line in lines] == [
        ("delivered", 1, "handler", "fixed")
    ] * 2
    assert place.calls()[-1]["meta"]["redrive"]["count"] == 2


def test_a_handler_that_is_still_broken_ends_it_and_leaves_all_waiting(place):
    place.keep(*(a_letter(offset) for offset in range(30)))
    place.plan(poison=list(range(30)))
    ended = place.run(*TO_HANDLER, *YES)
    assert ended.code == 1
    assert "still broken" in ended.err
    assert "30 letters not tried to the end" in ended.err
    assert place.marks() == []
    ended = place.run(*TO_HANDLER, *YES, "--keep-going")
    assert ended.code == 1
    assert "30 failed again" in ended.err
    assert len(place.stored()) == 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_call_that_runs_end_and_the_next_run_goes_on(place, number):
    place.keep(*(a_letter(offset) for offset in range(40)))
    place.plan(hold="go")
    with place.start(*TO_HANDLER, *YES) as process:
        place.until_called(10)
        process.send_signal(number)
        heard = next(line for line in process.stderr if "stopping" in line)
        (place.directory / "go").touch()
        out, rest = process.communicate(timeout=60)
        err = heard + rest
    assert process.returncode == 130, err
    assert "stopping" in err
    assert "waiting as before" in err
    marked = len(place.marks("delivered"))
    assert 10 <= marked < 40
    assert out.count(" delivered ") == marked == len(place.calls())
    place.plan()
    assert place.run(*TO_HANDLER, *YES).code == 0
    assert len(place.calls()) == 40


SETS_SIGNALS = """
import ctypes, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
ctypes.CDLL(None).signal(int(signal.SIGINT), ctypes.c_void_p(1))
sys.stderr = open("of-the-handler", "w")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_and_told_although_the_handler_sets_signals_and_replaces_standard_error(place, number):
    (place.directory / "redriving_handler.py").write_text(SETS_SIGNALS + HANDLER)
    place.keep(*(a_letter(offset) for offset in range(20)))
    place.plan(hold="go")
    with place.start(*TO_HANDLER, *YES) as process:
        place.until_called(10)
        process.send_signal(number)
        assert any("stopping" in line for line in process.stderr)
        (place.directory / "go").touch()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "waiting as before" in err


def test_a_second_signal_ends_it_at_once(place):
    place.keep(a_letter(1))
    place.plan(hold="never")
    with place.start(*TO_HANDLER, *YES) as process:
        place.until_called(1)
        process.send_signal(signal.SIGINT)
        assert any("stopping" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert place.marks() == []


def test_a_reader_of_the_lines_who_goes_does_not_end_the_run(place):
    place.keep(*(a_letter(offset) for offset in range(30)))
    with place.start(*TO_HANDLER, *YES) as process:
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(place.marks("delivered")) == 30


def test_events_go_to_a_file_that_is_never_overwritten(place):
    place.keep(*(a_letter(offset) for offset in range(3)), a_letter(7, event=None))
    ended = place.run("--to", "file", "events.jsonl", *YES)
    assert ended.code == 1
    assert "3 written" in ended.err
    assert "1 letter left out: it holds no event" in ended.err
    found = [json.loads(line) for line in (place.directory / "events.jsonl").read_text().splitlines()]
    assert [each["meta"]["kafka"]["offset"] for each in found] == [0, 1, 2]
    place.keep(a_letter(8))
    refused = place.run("--to", "file", "events.jsonl", *YES)
    assert (refused.code, "--append" in refused.err) == (2, True)
    assert place.run("--to", "file", "events.jsonl", "--append", "--id", "PlatformEvent_v1-0@8", *YES).code == 0
    assert len((place.directory / "events.jsonl").read_text().splitlines()) == 4


def test_a_transform_repairs_events_and_its_errors_leave_letters(place):
    place.keep(*(a_letter(offset) for offset in range(4)))
    ended = place.run(*TO_HANDLER, *YES, "--transform", "redriving_repairs:mend")
    assert ended.code == 1
    assert "1 letter left as before: --transform: KeyError: 'no idea'" in ended.err
    assert {call["event"]["category"] for call in place.calls()} == {"mended"}
    assert set(place.marks("delivered")) == ids([0, 1, 3])


def test_what_cannot_be_decoded_stays_and_the_command_says_so(place):
    place.keep(a_letter(1, event=None, value=b"\x07 no event"), a_letter(2))
    ended = place.run(*TO_HANDLER, *YES)
    assert ended.code == 1
    assert "1 letter left as before: still undecodable" in ended.err
    assert set(place.marks()) == ids([2])


def test_the_options_of_a_run_are_kept(place):
    place.keep(*(a_letter(offset) for offset in range(9)))
    ended = place.run(
        *TO_HANDLER, *YES, "--limit", "4", "--batch-size", "2", "--who", "me", "--rate", "1000/s", "--json"
    )
    assert ended.code == 0, ended.all
    assert {json.loads(line)["who"] for line in ended.out.splitlines()} == {"me"}
    assert [call["meta"]["kafka"]["offset"] for call in place.calls()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--to"),
        (("--to", "nowhere"), "nowhere"),
        (("--to", "handler", "name"), "takes no name"),
        (("--to", "file"), "say which"),
        (("--to", "topic"), "say which"),
        (("--to", "topic", "again", "--transform", "a:b"), "cannot be repaired|nothing here can repair"),
        (("--to", "handler", "--append"), "--append is for --to file"),
        (("--to", "file", "x", "--keep-going"), "--keep-going is for --to handler"),
        (("--to", "handler", "--rate", "soon"), "rate"),
        (("--to", "topic", "PlatformEvent_v1"), "every other consumer of it would see the events again"),
        (("--to", "topic", "MetadataChangeProposal_v1"), "DataHub's own"),
        (("--to", "topic", "custom"), "chosen letters came from it"),
        (("--to", "file", "."), "no regular file"),
        (("--to", "file", "no/where"), "there is no directory"),
    ],
)
def test_wrong_use_is_refused_with_what_to_do_instead(place, arguments, words):
    place.keep(a_letter(1), a_letter(1, topic="custom"))
    for more in ((), YES):
        ended = place.run(*arguments, *more)
        assert ended.code == 2, ended.all
        assert any(each in " ".join(ended.err.split()) for each in words.split("|")), ended.err
    assert place.marks() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "handler", "--transform", "nowhere:mend"), "cannot be loaded"),
        (("--to", "handler", "--transform", "mend"), "write it as module:function"),
    ],
)
def test_what_cannot_be_loaded_ends_it_before_anything_is_done(place, arguments, words):
    place.keep(a_letter(1))
    ended = place.run(*arguments, *YES)
    assert (ended.code, words in ended.err) == (3, True), ended.all


def test_a_handler_that_cannot_be_loaded_ends_it_before_anything_is_done(place):
    place.keep(a_letter(1))
    (place.directory / "redriving_handler.py").write_text("import nowhere_at_all\n")
    ended = place.run(*TO_HANDLER, *YES)
    assert (ended.code, "could not start: handler.config.function" in ended.err) == (3, True), ended.all
    assert place.marks() == []


def test_nothing_to_redrive_is_said_and_is_no_failure(place):
    for more in ((), YES):
        ended = place.run(*TO_HANDLER, *more)
        assert (ended.code, "nothing to redrive" in ended.err) == (0, True), ended.all
