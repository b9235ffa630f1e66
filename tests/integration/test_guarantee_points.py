"""A poller dies at every named point, and another one in its place delivers everything; so does the group's account.

On a real broker: what a crash inside of a rebalance leaves behind is the broker's doing.
"""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from guarantees import launch, points, recording
from support.recorded import Place
from support.running import Running, Stage
from support.traffic import QUICK_GROUP

pytestmark = pytest.mark.deep

LAUNCH = str(Path(launch.__file__))
PARTITIONS = 2
EVENTS = 60
POISON = 7
EAGER = {"partition_assignment_strategy": "range,roundrobin"}


@pytest.fixture
def stage(kafka, tmp_path, unique):
    with Stage(kafka, tmp_path, unique) as stage:
        shutil.copy(recording.__file__, tmp_path)
        yield stage


@pytest.fixture
def launched(stage):
    """Starts pollers through the launcher; they are killed with the test at the latest."""
    pollers = []

    def start(client, **environ):
        own = {"POLLER_ID": client, **environ}
        log = stage.directory / f"{client}.log"
        pollers.append(Running(stage.directory / "action.json", log, own, (), (LAUNCH,)))
        return pollers[-1]

    yield start
    for poller in pollers:
        if poller.exit_code is None:
            poller.kill()


def prepare(stage):
    """Topics, a file, and events of which one in each partition is poison."""
    stage.create(PARTITIONS, "pe")
    handler = {"type": "python", "config": {"function": "recording:handle", "path": "."}}
    stage.action({"handler": handler}, **EAGER, **QUICK_GROUP)
    send(stage)


def send(stage):
    for partition in range(PARTITIONS):
        stage.send("pe", partition, EVENTS, poison=[POISON])


def done(stage):
    """What the journal says was delivered: by the calls that ended well."""
    return {place for call in calls(stage) if call["ok"] for place in call["places"]}


def calls(stage):
    found = {}
    journal = stage.directory / "calls.jsonl"
    for line in journal.read_text().splitlines() if journal.exists() else ():
        said = json.loads(line)
        key = said["c"], said["i"], said["a"]
        if said["w"] == "b":
            places = [Place(topic, number, offset) for topic, number, offsets in said["e"] for offset in offsets]
            found[key] = {"places": places, "ok": None}
        else:
            found[key]["ok"] = said["ok"]
    return list(found.values())


def dies(poller, point):
    assert poller.wait() == -signal.SIGKILL
    assert [line["point"] for line in poller.lines("dies")] == [point]


def everything_arrives(stage, last):
    """The poller that is left delivers what is left, and commits it."""
    last.until(stage.all_committed, "not drained")
    assert last.stop() == 0
    assert done(stage) == stage.produced - stage.poison
    assert set(stage.lettered()) == stage.poison


# Points that a poller by itself comes to, and what the broker and the disk show after the crash there.
ALONE = ["after-invocation", "after-dead-letter", "before-commit", "after-commit", "in-assigned", "after-assigned"]


@pytest.mark.parametrize("point", ALONE)
def test_a_poller_dies_at_the_point_and_another_delivers_everything(stage, launched, point):
    prepare(stage)
    dies(launched("first", DIE_AT=f"{point}:1"), point)
    ended, letters, committed = done(stage), stage.lettered(), stage.committed()
    match point:
        case "after-invocation":
            assert ended
            assert not any(committed.values())
        case "after-dead-letter":
            assert letters
            assert all(place.offset >= committed.get(place.tp, 0) for place in letters)
        case "before-commit":
            assert committed == {}
        case "after-commit":
            assert committed
        case _:
            assert not ended
            assert committed == {}
    everything_arrives(stage, launched("second"))


def test_a_later_passage_is_the_one_that_counts(stage, launched):
    prepare(stage)
    dies(launched("first", DIE_AT="after-invocation:4"), "after-invocation")
    assert sum(call["ok"] is True for call in calls(stage)) == 4
    everything_arrives(stage, launched("second"))


@pytest.mark.parametrize("point", ["in-revoked", "in-revoked-committed"])
def test_a_poller_dies_when_another_joins(stage, launched, point):
    prepare(stage)
    stage.plan(sleep=[0.05, 0.05])
    first = launched("first", DIE_AT=f"{point}:1")
    first.until(lambda: done(stage), "nothing is delivered")
    second = launched("second")
    dies(first, point)
    everything_arrives(stage, second)


@pytest.mark.parametrize("point", ["winding-down", "before-leaving"])
def test_a_poller_dies_while_it_stops(stage, launched, point):
    prepare(stage)
    stage.plan(sleep=[0.05, 0.05])
    first = launched("first", DIE_AT=f"{point}:1")
    first.until(lambda: done(stage), "nothing is delivered")
    first.signal(signal.SIGTERM)
    dies(first, point)
    if point == "before-leaving":
        committed = stage.committed()
        assert all(place.offset < committed[place.tp] for place in done(stage))
    everything_arrives(stage, launched("second"))


def test_a_poller_dies_when_it_hears_that_its_partitions_are_lost(stage, launched):
    prepare(stage)
    first = launched("first", DIE_AT="in-lost:1")
    first.until(stage.all_committed, "not drained")
    # Frozen for longer than its session: the group goes on without it.
    first.signal(signal.SIGSTOP)
    second = launched("second")
    second.wait_for("partition assigned", PARTITIONS)
    send(stage)
    first.signal(signal.SIGCONT)
    dies(first, "in-lost")
    everything_arrives(stage, second)


def test_every_point_is_tried_here():
    elsewhere = {"in-revoked", "in-revoked-committed", "winding-down", "before-leaving", "in-lost"}
    assert set(points.POINTS) == {*ALONE, *elsewhere}
