"""The parts of a redrive by themselves: the user's transform, the signals, what was done and could not be marked."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from datahub_poller.errors import CannotStart
from datahub_poller.redrive.stopping import Stop
from datahub_poller.redrive.transform import Left, Repaired, judged, load
from support.handlers import handler_directory

REPAIRS = """
def mend(document):
    document["event"]["category"] = "mended"
    return {"event_type": document["event_type"], "event": document["event"]}

def leave(document):
    return None

def fail(document):
    raise KeyError("the password is hunter2")

def end(document):
    raise SystemExit(3)

class Mean(Exception):
    def __str__(self):
        raise RuntimeError

def mean(document):
    raise Mean

class group:
    @staticmethod
    def mend(document):
        return {"event_type": "E", "event": {}}

number = 7
"""
DOCUMENT = {"event_type": "EntityChangeEvent_v1", "event": {"category": "TAG"}, "meta": {}}


@pytest.fixture
def repairs(tmp_path):
    with handler_directory(tmp_path / "repairs-here") as directory:
        directory.write("our_repairs.py", REPAIRS)
        directory.write("our_broken_repairs.py", "import a_module_that_is_nowhere\n")
        yield directory.path


def test_a_transform_is_found_where_the_handler_is_and_works_on_a_copy(repairs):
    mend = load("our_repairs:mend", repairs)
    assert mend(DOCUMENT) == Repaired("EntityChangeEvent_v1", {"category": "mended"})
    assert DOCUMENT["event"] == {"category": "TAG"}
    assert load("our_repairs:group.mend", repairs)(DOCUMENT) == Repaired("E", {})
    assert str(repairs) in sys.path


def test_what_a_transform_raises_leaves_the_letter_and_is_said_without_secrets(repairs):
    scrub = lambda text: text.replace("hunter2", "***")
    assert load("our_repairs:fail", repairs, scrub)(DOCUMENT) == Left("--transform: KeyError: 'the password is ***'")
    assert load("our_repairs:end", repairs)(DOCUMENT) == Left("--transform: SystemExit: 3")
    assert load("our_repairs:mean", repairs)(DOCUMENT) == Left("--transform: Mean")
    assert load("our_repairs:leave", repairs)(DOCUMENT) == Left("--transform leaves it as it is")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "returned a list"),
        (True, "returned a bool"),
        ({}, "returned no event"),
        ({"event_type": "E"}, "returned no event"),
        ({"event_type": None, "event": {}}, "returned no event"),
        ({"event_type": "E", "event": {"a": object()}}, "is no JSON"),
    ],
)
def test_a_wrong_answer_leaves_the_letter_and_is_said(answer, words):
    left = judged(answer)
    assert isinstance(left, Left)
    assert words in left.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("our_repairs", "write it as module:function"),
        ("our_repairs:", "write it as module:function"),
        ("our_repairs:number", "is no function: it is of type int"),
        ("our_repairs:nothing", "cannot be loaded: AttributeError"),
        ("our_absent_repairs:mend", "cannot be loaded: ModuleNotFoundError"),
        ("our_broken_repairs:mend", "a_module_that_is_nowhere"),
    ],
)
def test_a_transform_that_cannot_be_loaded_says_so(repairs, name, words):
    with pytest.raises(CannotStart) as raised:
        load(name, repairs)
    assert words in str(raised.value)
    assert name in str(raised.value)


@pytest.fixture
def signals_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_time_and_a_second_one_takes_it_away(number, signals_as_before):
    said: list[str] = []
    stop = Stop(25.0, lambda: 100.0, said.append)
    stop.install()
    assert stop() is None
    os.kill(os.getpid(), number)
    assert stop() == 125.0
    began = time.monotonic()
    stop.pause(0.01)
    assert time.monotonic() - began >= 0.01
    os.kill(os.getpid(), number)
    assert stop() == 100.0
    (text,) = said
    assert "25 s" in text


def test_a_pause_ends_with_a_signal(signals_as_before):
    stop = Stop(25.0, time.monotonic, lambda _: None)
    stop.install()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    stop.pause(30.0)
    assert time.monotonic() - began < 10
