"""A record is given up and there is to be no letter, or the letter cannot be written: nothing is committed past it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.recorded import Place, all_accounted_for

THROW = {"options/failure_mode": "THROW"}
GARBAGE = b"\xff\xfeno event at all"


def settled(stage, poller):
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")


def delivered_prefix(stage, tp):
    """The offset up to which everything of the partition was delivered."""
    done = {place.offset for place in stage.recorded().done if place.tp == tp}
    offset = 0
    while offset in done:
        offset += 1
    return offset


# -- failure_mode: THROW


def test_a_record_given_up_under_throw_ends_the_run_before_it_and_commits_what_is_done(stage):
    stage.create(3, "pe")
    stage.plan(sleep=[0.02, 0.2])
    for partition in (0, 1, 2):
        stage.send("pe", partition, 60, poison=[27] if partition == 1 else [])
    (poison,) = stage.poison
    poller = stage.start(stage.action({**THROW, "batch/concurrency": 3, "retry/attempts": 2}))
    assert poller.wait() == 1
    halted = poller.lines("halted: a record was given up and failure_mode is THROW")
    assert [(line["topic"], line["partition"], line["offset"]) for line in halted] == [tuple(poison)]
    committed = stage.committed()
    assert committed[poison.tp] == poison.offset
    for partition in (0, 1, 2):
        tp = stage.tp("pe", partition)
        assert committed[tp] == delivered_prefix(stage, tp)
    assert not stage.letters()

    again = stage.start()  # by an operator who let it be dead-lettered
    settled(stage, again)
    assert stage.lettered() == [poison]
    all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
    assert again.stop() == 0


def test_an_undecodable_record_under_throw_ends_the_run_before_it(stage):
    stage.create(2, "pe")
    first = stage.send("pe", 0, 25)
    bad = stage.send_raw("pe", 0, GARBAGE)
    rest = stage.send("pe", 0, 25)
    stage.send("pe", 1, 30)
    poller = stage.start(stage.action(THROW))
    assert poller.wait() == 1
    assert stage.committed()[bad.tp] == bad.offset == 25
    done = stage.recorded().done
    assert set(first) <= done
    assert not done & set(rest)
    other = stage.tp("pe", 1)
    assert stage.committed().get(other, 0) == delivered_prefix(stage, other)
    assert not stage.letters()
    once_more = stage.start(stage.action(THROW))
    assert once_more.wait() == 1  # and does so again
    assert stage.committed()[bad.tp] == bad.offset
    assert not stage.recorded().done & set(rest)


# -- a sink that cannot write


def full_disk(log: Path):
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    log.symlink_to("/dev/full")
    return log.unlink


def a_file_in_place_of_the_directory(log: Path):
    kept = log.parent.with_name("kept")
    log.parent.rename(kept)
    log.parent.touch()

    def repair():
        log.parent.unlink()
        kept.rename(log.parent)

    return repair


@pytest.mark.parametrize("harm", [full_disk, a_file_in_place_of_the_directory])
@pytest.mark.parametrize("kind", ["failed", "undecodable"])
def test_while_letters_cannot_be_written_the_partition_waits_and_nothing_is_committed_past_it(stage, harm, kind):
    stage.create(2, "pe")
    poller = stage.start()
    stage.send("pe", 0, 5)
    stage.send("pe", 1, 5)
    settled(stage, poller)
    directory = stage.letters_directory / stage.name
    repair = harm(directory / ("failed_events.log" if kind == "failed" else "undecodable.log"))

    before = stage.send("pe", 0, 10)
    bad = stage.send("pe", 0, 1, poison=[0])[0] if kind == "failed" else stage.send_raw("pe", 0, GARBAGE)
    after = stage.send("pe", 0, 10)
    status = poller.status_when(
        lambda status: [each for each in status["partitions"] if each["state"] == "waiting_sink"], "no lane waits"
    )
    (waiting,) = [each for each in status["partitions"] if each["state"] == "waiting_sink"]
    assert (waiting["topic"], waiting["partition"]) == bad.tp
    assert "cannot be written" in waiting["reason"]
    assert status["red"]
    others = set(stage.send("pe", 1, 20))
    poller.until(lambda: others <= stage.recorded().done, "the other partition does not go on")
    poller.status_when(
        lambda status: any(each["state"] == "waiting_sink" and each["next_try_in"] for each in status["partitions"]),
        "it does not try again",
    )
    assert set(before) <= stage.recorded().done
    assert stage.committed()[bad.tp] <= bad.offset

    repair()
    stage.produced.add(bad)
    settled(stage, poller)
    assert set(after) <= stage.recorded().done
    assert stage.lettered() == [bad]
    poller.status_when(lambda status: not status["red"], "it stays red")
    assert poller.stop() == 0


def test_a_poller_that_waits_for_its_sink_stops_in_order_and_the_letter_is_written_by_the_next(stage):
    stage.create(1, "pe")
    poller = stage.start()
    poller.wait_for("partition assigned")
    repair = full_disk(stage.letters_directory / stage.name / "failed_events.log")
    stage.send("pe", 0, 30, poison=[13])
    poller.status_when(
        lambda status: any(each["state"] == "waiting_sink" for each in status["partitions"]), "no lane waits"
    )
    assert poller.stop() == 0
    (poison,) = stage.poison
    assert isinstance(poison, Place)
    assert stage.committed()[poison.tp] <= poison.offset
    repair()
    again = stage.start()
    settled(stage, again)
    assert stage.lettered() == [poison]
    assert again.stop() == 0
