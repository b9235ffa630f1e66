"""What failure does, row "breaker": halt before the letters, one probe after the pause, and recovery."""

from __future__ import annotations

from datetime import datetime

import pytest

from support.brokers import Sent
from support.failure_rows import QUICK, lane
from support.recorded import Place, first_hand_outs_in_order
from support.running import Stage

PAUSE = 4.0
EARLY = 2.5
"""What a line may be logged after the moment that it tells of, on a busy machine."""
ROW = {"dead_letter/breaker": {"in_a_row": 5, "pause": f"{PAUSE}s"}, "retry": {**QUICK, "attempts": 1}}
BAD, GOOD = 0, 1
GARBAGE = b"\xff\xfeno event at all"


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(2, "pe")
        yield stage


def at(line):
    """When a line was logged, in seconds."""
    return datetime.fromisoformat(line["at"]).timestamp()


def held(stage, poller, letters, times=1):
    """The breaker is open, red, after so many letters; nothing is committed past them. When it opened last."""
    tp = stage.tp("pe", BAD)
    line = poller.wait_for("breaker opened", count=times)
    status = poller.status_when(lambda status: status["breaker"]["state"] == "open", "it is not open")
    assert status["red"]
    assert any(reason.startswith("breaker open") for reason in status["reasons"])
    assert lane(status, tp)["state"] == "breaker"
    assert stage.lettered() == [Place(*tp, offset) for offset in range(letters)]
    poller.until(lambda: stage.committed()[tp] == letters, "what has its letter is not committed")
    return at(line)


def probed_by_the_other(stage, poller, opened, probes=1):
    """One good event of the other partition: it is the next probe, not before the pause is over, and closes it."""
    (good,) = stage.send("pe", GOOD, 1)
    line = poller.wait_for("breaker probes", count=probes)
    assert line["partitions"] == [str(good.tp)]
    assert at(line) - opened >= PAUSE - EARLY
    poller.wait_for("breaker closed", count=probes)
    poller.until(lambda: good in stage.recorded().done, "the probe is not delivered")


def test_failing_records_in_a_row_open_it_before_the_last_ones_letter_and_another_partitions_probe_closes_it(stage):
    tp = stage.tp("pe", BAD)
    sent = stage.send("pe", BAD, 8, poison=range(8))
    poller = stage.start(stage.action({**ROW, "batch/size": 1}))
    opened = held(stage, poller, letters=4)
    assert len(stage.recorded().of(tp)) == 5
    probed_by_the_other(stage, poller, opened)
    poller.until(lambda: stage.drained() and stage.all_committed(), "what was held is not gone on with")
    assert stage.lettered() == sent
    assert len(poller.lines("breaker opened")) == 1
    poller.status_when(lambda status: not status["red"] and status["breaker"]["state"] == "closed", "it stays red")
    assert len(poller.lines("breaker probes")) == 1
    first_hand_outs_in_order(stage.recorded())
    assert poller.stop() == 0


def test_undecodable_records_in_a_row_open_it_and_the_lane_waits_until_another_has_something_to_probe_with(stage):
    stage.bed.produce_all([Sent(stage.topics["pe"], BAD, GARBAGE)] * 12)
    poller = stage.start(stage.action(ROW))
    for number, letters in ((1, 4), (2, 9)):  # the record that opened it was counted then, and is not again
        opened = held(stage, poller, letters, times=number)
        assert len(poller.lines("breaker probes")) == number - 1  # with nothing that could be handed out
        probed_by_the_other(stage, poller, opened, probes=number)
    poller.until(lambda: stage.committed()[stage.tp("pe", BAD)] == 12, "not committed")
    assert stage.lettered() == [Place(*stage.tp("pe", BAD), offset) for offset in range(12)]
    assert len(poller.lines("breaker opened")) == 2
    assert poller.stop() == 0


@pytest.mark.parametrize("repaired", [True, False])
def test_a_batch_of_which_nothing_succeeds_when_split_opens_it_without_a_letter(stage, repaired):
    """Handed out anew after the probe: to a handler that was repaired meanwhile, or they are the records' fault."""
    tp = stage.tp("pe", BAD)
    stage.plan(fail_partitions=[list(tp)])
    sent = stage.send("pe", BAD, 4)
    many = {"in_a_row": 100, "pause": f"{PAUSE}s"}
    poller = stage.start(stage.action({**ROW, "dead_letter/breaker": many, "batch": {"size": 4, "window": "2s"}}))
    opened = held(stage, poller, letters=0)
    calls = [[place.offset for place in call.places] for call in stage.recorded().of(tp)]
    assert calls == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3], [2], [3]]
    if repaired:
        stage.plan()
    probed_by_the_other(stage, poller, opened)
    poller.until(lambda: stage.drained() and stage.all_committed(), "what was held is not gone on with")
    assert stage.lettered() == ([] if repaired else sent)
    again = [place.offset for place in stage.recorded().of(tp)[len(calls)].places]
    assert again == [0, 1, 2, 3]
    poller.status_when(lambda status: not status["red"], "it stays red")
    assert poller.stop() == 0


def test_while_it_is_open_one_probe_goes_out_after_each_pause_and_nothing_else_is_handed_out(stage):
    tp = stage.tp("pe", BAD)
    stage.plan(fail=True)
    stage.send("pe", BAD, 30)
    stage.send("pe", GOOD, 30)
    poller = stage.start(stage.action({**ROW, "batch": {"size": 1, "concurrency": 2}}))
    opened = at(poller.wait_for("breaker opened"))
    poller.wait_for("breaker stays open", count=3)
    probes = [at(line) for line in poller.lines("breaker probes")[:3]]
    for before, probe in zip([opened, *probes], probes, strict=False):
        assert probe - before >= PAUSE - EARLY
    ids = [call.batch_id for call in stage.recorded().calls]
    probing = {line["batch_id"] for line in poller.lines("breaker probes")}
    first = next(number for number, batch_id in enumerate(ids) if batch_id in probing)
    assert set(ids[first:]) <= probing
    assert len(set(ids[first:])) == len(ids[first:])
    assert len(stage.letters()) <= 4
    assert stage.committed()[tp] <= 4
    stage.plan()
    poller.wait_for("breaker closed")
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    assert len(stage.letters()) <= 4
    assert poller.stop() == 0


def test_its_row_is_not_kept_over_restarts(stage):
    for life in range(3):
        sent = stage.send("pe", BAD, 3, poison=range(3))
        poller = stage.start(stage.action({**ROW, "batch/size": 1}))
        poller.until(lambda sent=sent: set(sent) <= set(stage.lettered()), "no letters")
        poller.status_when(lambda status: status["breaker"]["in_a_row"] == 3, f"it counts otherwise in life {life}")
        assert poller.lines("breaker opened") == []
        assert poller.stop() == 0
