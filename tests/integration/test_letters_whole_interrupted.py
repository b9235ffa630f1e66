"""A redrive that is interrupted in the middle, politely or not, in each kind of place: the next one goes on there."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from support.brokers import eventually
from support.letter_peeks import QueuePeek
from support.letters_scene import KINDS, LettersScene, peek_of
from support.running import Stage

pytestmark = [pytest.mark.timeout(120), pytest.mark.deep]

PARTITIONS = 3
EVENTS = 40
POISON = range(0, EVENTS, 2)
SMALL = ("--batch-size", "4")
SLOW = [0.3, 0.3]
"""Seconds of a call: longer than the command waits for one before it looks whether it is to stop."""
STOPPED = 130
ON_KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)


@pytest.fixture(params=[ON_KAFKA if kind == "kafka" else kind for kind in KINDS])
def scene(request, tmp_path, unique):
    """Letters of a poller that ran, one for every second event; the handler is mended, and slow."""
    bed = request.getfixturevalue("kafka" if request.param == "kafka" else "mock_bed")
    with Stage(bed, tmp_path, unique) as stage, peek_of(request.param, stage, unique, request) as peek:
        scene = LettersScene(stage, peek, PARTITIONS)
        stage.plan(named=True)
        for partition in range(PARTITIONS):
            stage.send("pe", partition, EVENTS, poison=POISON)
        poller = stage.start(scene.action, **peek.place.environ)
        poller.until(stage.all_committed, "not drained")
        assert poller.stop() == 0
        assert scene.ids().keys() == stage.poison
        scene.mend(sleep=SLOW)
        yield scene


def until_called(scene, process, times):
    """Wait for so many calls; gives how many there are."""
    end = time.monotonic() + 40
    while (calls := len(scene.handed().calls)) < times:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{calls} calls"
        time.sleep(0.01)


def in_order(calls):
    """Within one run, of each partition."""
    last = {}
    for place in (place for call in calls for place in call.places):
        assert place.offset > last.get(place.tp, -1), f"{place} after {last[place.tp]}"
        last[place.tp] = place.offset


def went_through(scene):
    """A last run takes what is left; the one after it finds nothing. Gives what the handler was given by then."""
    before = scene.handed().calls
    scene.stage.plan(mended=True, keep=True)
    done = scene.redrive(*SMALL)
    assert done.code == 0, done.all
    handed = scene.handed()
    in_order(handed.calls[len(before) :])
    assert handed.done == scene.stage.poison
    assert all(each["meta"]["redrive"]["count"] == 1 for each in handed.envelopes.values())
    done = scene.redrive(*SMALL)
    assert (done.code, "nothing to redrive" in done.err) == (0, True), done.all
    assert len(scene.handed().calls) == len(handed.calls)
    if isinstance(scene.peek, QueuePeek):
        assert scene.peek.waiting() == (0, 0)
    return handed


def test_a_redrive_that_is_asked_to_stop_twice_over_delivers_everything_once(scene):
    delivered = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        calls = len(scene.handed().calls)
        with scene.redriving(*SMALL) as process:
            until_called(scene, process, calls + 2)
            process.send_signal(number)
            out, err = process.communicate(timeout=40)
        assert process.returncode == STOPPED, err
        assert "waiting as before" in err
        handed = scene.handed()
        in_order(handed.calls[calls:])
        delivered += out.count(" delivered ")
        assert delivered == handed.times_done.total()
        assert all(call.ended is not None for call in handed.calls)
    assert 0 < delivered < len(scene.stage.poison)
    assert went_through(scene).times_done == Counter(scene.stage.poison)


def test_after_kill_9_in_a_redrive_only_what_the_last_call_held_comes_again(scene):
    with scene.redriving(*SMALL) as process:
        until_called(scene, process, 4)
        process.kill()
        process.communicate()
    handed = scene.handed()
    in_order(handed.calls)
    assert 0 < len(handed.done) < len(scene.stage.poison)
    in_flight = set(handed.calls[-1].places)
    if isinstance(scene.peek, QueuePeek):
        # What the dead one held shows itself when its time is over.
        eventually(lambda: scene.peek.waiting()[1] == 0, "messages stay hidden")
        scene.peek.let_go()
    times = Counter(place for call in went_through(scene).calls for place in call.places)
    assert times.keys() == scene.stage.poison
    assert {place for place, count in times.items() if count > 1} <= in_flight
    assert max(times.values()) <= 2
