"""What failure does, row "a record is given up, THROW": no letter, nothing new starts, and who commits what."""

from __future__ import annotations

import pytest

from support.failure_rows import QUICK, handler, lane
from support.recorded import Place, all_accounted_for, first_hand_outs_in_order
from support.running import Stage

THROW = {"options/failure_mode": "THROW", "retry": QUICK}
ONCE = {**QUICK, "attempts": 1}
HALTED = "halted: a record was given up and failure_mode is THROW"
GARBAGE = b"\xff\xfeno event at all"
BUSY, BAD, IDLE = 0, 1, 2


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(3, "pe")
        yield stage


BUSY_HOLDS = f"""
    import time


    def handle(event, context):
        partitions = {{each["meta"]["kafka"]["partition"] for each in event["events"]}}
        if {BUSY} in partitions:
            (recording_handler.HERE / "busy").touch()
            while not (recording_handler.HERE / "go").exists():
                time.sleep(0.01)
        return recording_handler.handle(event, context)
"""


def given_up(stage, kind):
    """Records 0 to 9 of the bad partition, of which 7 is given up."""
    if kind == "failed":
        return stage.send("pe", BAD, 10, poison=[7])[7]
    stage.send("pe", BAD, 7)
    bad = stage.send_raw("pe", BAD, GARBAGE)
    stage.send("pe", BAD, 2)
    return bad


def halted_amid_work(stage, kind, deadline):
    """A poller that has halted while a call of another partition runs; the record that was given up."""
    changes = {**THROW, **handler(stage, BUSY_HOLDS), "batch": {"size": 5, "window": "500ms", "concurrency": 3}}
    poller = stage.start(stage.action({**changes, "shutdown/deadline": deadline}))
    stage.send("pe", BUSY, 5)
    poller.until((stage.directory / "busy").exists, "no call of the busy partition")
    stage.send("pe", BUSY, 5)
    idle = set(stage.send("pe", IDLE, 10))
    poller.until(lambda: idle <= stage.recorded().done, "the idle partition is not delivered")
    record = given_up(stage, kind)
    line = poller.wait_for(HALTED)
    assert (line["topic"], line["partition"], line["offset"]) == record
    assert record.offset == 7
    return poller, record


def goes_on(stage, kind, record):
    """Another poller, which gives nothing up, goes on from what was committed."""
    before = stage.committed()
    first = len(stage.recorded().calls)
    again = stage.start(stage.action({"handler/config/function": "mine:handle", "retry": QUICK}))
    stage.release("go")
    if kind == "undecodable":
        stage.produced.add(record)
    again.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    assert stage.lettered() == [record]
    calls = stage.recorded().calls[first:]
    for partition in (BUSY, BAD, IDLE):
        tp = stage.tp("pe", partition)
        handed = [place.offset for call in calls for place in call.places if place.tp == tp]
        assert min(handed, default=10) >= before[tp]
    all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
    first_hand_outs_in_order(stage.recorded())
    assert again.stop() == 0


@pytest.mark.parametrize("kind", ["failed", "undecodable"])
def test_under_throw_nothing_new_starts_running_calls_finish_and_every_lane_commits_its_contiguous_prefix(stage, kind):
    poller, record = halted_amid_work(stage, kind, "50s")
    calls = len(stage.recorded().calls)
    status = poller.status_when(lambda status: status["state"] == "halted", "the status does not say so")
    assert any(str(record) in reason for reason in status["reasons"])
    assert lane(status, record.tp)["state"] == "halted"
    more = set(stage.send("pe", IDLE, 5))
    assert poller.exit_code is None  # it waits for the call that runs
    stage.release("go")
    assert poller.wait() == 1
    recorded = stage.recorded()
    busy = [Place(*stage.tp("pe", BUSY), offset) for offset in range(5)]
    assert [call.places for call in recorded.calls[calls:]] == [busy]  # a call is written down when it may go on
    assert not more & recorded.begun
    assert stage.committed() == {
        stage.tp("pe", BUSY): 5,
        record.tp: record.offset,
        stage.tp("pe", IDLE): 10,
    }
    assert stage.letters() == []
    goes_on(stage, kind, record)


def test_under_throw_what_waits_for_its_turn_when_the_record_is_given_up_is_not_begun(stage):
    """One call at a time: the partition that waits has its events read and could go out in the same turn."""
    changes = {**THROW, **handler(stage, BUSY_HOLDS), "retry": ONCE, "batch": {"size": 5, "window": "50ms"}}
    stage.send("pe", BUSY, 1, poison=[0])
    poller = stage.start(stage.action(changes))
    poller.until((stage.directory / "busy").exists, "no call of the busy partition")
    waiting = set(stage.send("pe", IDLE, 5))
    tp = stage.tp("pe", IDLE)
    poller.status_when(lambda status: lane(status, tp).get("records") == 5, "the others are not read")
    stage.release("go")
    assert poller.wait() == 1
    assert [line["partition"] for line in poller.lines(HALTED)] == [BUSY]
    assert not waiting & stage.recorded().begun
    assert stage.committed() == {stage.tp("pe", partition): 0 for partition in (BUSY, BAD, IDLE)}
    assert stage.letters() == []


@pytest.mark.parametrize("kind", ["failed", "undecodable"])
def test_under_throw_a_call_that_does_not_finish_by_the_deadline_is_abandoned_and_its_events_come_again(stage, kind):
    poller, record = halted_amid_work(stage, kind, "1s")
    assert poller.wait() == 1
    assert poller.lines("running calls are abandoned: their records will come again")
    assert stage.committed() == {stage.tp("pe", BUSY): 0, record.tp: 7, stage.tp("pe", IDLE): 10}
    assert stage.letters() == []
    goes_on(stage, kind, record)


@pytest.mark.parametrize("order", ["failed_only", "strict"])
def test_under_throw_nothing_at_or_past_a_record_that_the_handler_names_is_committed(stage, order):
    """What stands behind it in its batch is done, and comes again."""
    tp = stage.tp("pe", BAD)
    stage.plan(named=True)
    stage.send("pe", BAD, 8, poison=[3, 6])
    changes = {**THROW, "batch": {"size": 8, "window": "2s", "order": order}}
    for _ in range(2):
        poller = stage.start(stage.action(changes))
        assert poller.wait() == 1
        assert [line["offset"] for line in poller.lines(HALTED)] == [3]
        assert stage.committed()[tp] == 3
        assert stage.letters() == []
    calls = stage.recorded().of(tp)
    of_second = [call for call in calls if call.pid == calls[-1].pid]
    assert [place.offset for place in of_second[0].places] == [3, 4, 5, 6, 7]
    assert Place(*tp, 3) not in stage.recorded().done


def test_under_throw_of_several_records_that_are_given_up_at_a_time_the_earliest_counts_and_none_has_a_letter(stage):
    sent = stage.send("pe", BAD, 8, poison=range(8))
    poller = stage.start(stage.action({**THROW, "batch/size": 8, "retry": {**QUICK, "bisect": False}}))
    assert poller.wait() == 1
    assert [line["offset"] for line in poller.lines(HALTED)] == [sent[0].offset]
    assert stage.committed()[sent[0].tp] == 0
    assert stage.letters() == []


def test_under_throw_infrastructure_that_is_away_halts_nothing(stage):
    stage.registry.stop()
    stage.send("pe", BAD, 5)
    poller = stage.start(stage.action(THROW))
    poller.status_when(lambda status: lane(status, stage.tp("pe", BAD)).get("state") == "waiting_schema", "no wait")
    assert poller.exit_code is None
    stage.registry.start()
    poller.until(stage.all_committed, "not committed")
    assert poller.stop() == 0
