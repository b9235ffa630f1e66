"""kill -9 between a letter and its commit, in each kind of place: it may be there twice, never not at all.

The broker is a mock cluster but where letters go to a topic: what a crash leaves on a real one is in
`test_guarantee_points.py`.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from guarantees import launch
from support.letter_peeks import QueuePeek
from support.letters_scene import KINDS, LettersScene, peek_of
from support.running import Running, Stage

pytestmark = [pytest.mark.timeout(120), pytest.mark.deep]

LAUNCH = str(Path(launch.__file__))
PARTITIONS = 2
EVENTS = 60
POISON = (7, 8, 31)
ON_KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)


@pytest.fixture(params=[ON_KAFKA if kind == "kafka" else kind for kind in KINDS])
def scene(request, tmp_path, unique):
    bed = request.getfixturevalue("kafka" if request.param == "kafka" else "mock_bed")
    with Stage(bed, tmp_path, unique) as stage, peek_of(request.param, stage, unique, request) as peek:
        yield LettersScene(stage, peek, PARTITIONS)


@pytest.fixture
def launched(scene):
    """Starts pollers through the launcher; they are killed with the test at the latest."""
    pollers = []

    def start(log, **environ):
        own = {**scene.peek.place.environ, **environ}
        pollers.append(Running(scene.action, scene.stage.directory / log, own, (), (LAUNCH,)))
        return pollers[-1]

    yield start
    for poller in pollers:
        if poller.exit_code is None:
            poller.kill()


def test_a_letter_whose_poller_died_before_the_commit_is_there_listed_once_and_redriven_once(scene, launched):
    stage = scene.stage
    for partition in range(PARTITIONS):
        stage.send("pe", partition, EVENTS, poison=POISON)
    first = launched("first.log", DIE_AT="after-dead-letter:2")
    assert first.wait() == -signal.SIGKILL
    assert [line["point"] for line in first.lines("dies")] == ["after-dead-letter"]

    # what it died with is there, and nothing is committed past it
    committed, left = stage.committed(), scene.ids()
    again = {place for place in left if place.offset >= committed.get(place.tp, 0)}
    assert again
    settled = stage.recorded().done | set(left)
    assert all(place in settled for place in stage.produced if place.offset < committed.get(place.tp, 0))

    # another one goes on there, and writes the letter once more, of the same name
    second = launched("second.log")
    second.until(stage.all_committed, "not drained")
    assert second.stop() == 0
    assert stage.recorded().done == stage.produced - stage.poison
    ids = scene.ids()
    assert ids.keys() == stage.poison
    assert all(len(set(each)) == 1 for each in ids.values())
    twice = {place for place, each in ids.items() if len(each) > 1}
    assert twice  # what it died with
    assert twice <= again
    assert max(map(len, ids.values())) == 2
    if isinstance(scene.peek, QueuePeek) and scene.peek.place.url.endswith(".fifo"):
        assert scene.peek.waiting() == (len(stage.poison), 0)  # sent twice, and there once

    # for those who look, and for the handler, it is one
    once = Counter(each[0] for each in ids.values())
    assert scene.listed() == once
    scene.mend()
    done = scene.redrive()
    assert done.code == 0, done.all
    handed = scene.handed()
    assert handed.times_done == Counter(stage.poison)
    assert Counter(each["meta"]["redrive"]["letter"] for each in handed.envelopes.values()) == once
    assert scene.listed() == Counter()
    done = scene.redrive()
    assert (done.code, "nothing to redrive" in done.err) == (0, True), done.all
    assert len(scene.handed().calls) == len(handed.calls)
    if isinstance(scene.peek, QueuePeek):
        assert scene.peek.waiting() == (0, 0)  # both of them are gone
