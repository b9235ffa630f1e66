"""The comparison itself: its counting, its forms, and small runs of it, which keep its table true."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare_loss import command, report
from compare_loss.cases import CASES
from compare_loss.counting import Outcome, Seen, counted
from compare_loss.scene import Played, Size, Stand
from datahub_poller.model import TopicPartition
from support.brokers import KafkaBed
from support.recorded import Place

pytestmark = pytest.mark.deep

BY_NAME = {case.name: case for case in CASES}
SMALL = Size(events=40, restarts=1, outage=6.0)
THEIRS, OURS = "DataHub Actions", "datahub-poller"
TP = TopicPartition("t", 0)


def places(*offsets):
    return [Place("t", 0, offset) for offset in offsets]


def outcome(produced=5, acted=(), lettered=(), committed=None):
    offsets = {} if committed is None else {TP: committed}
    return counted(Seen(places(*range(produced)), places(*acted), places(*lettered), offsets), 0, False)


# -- the counting


def test_what_the_committed_offset_has_passed_without_a_trace_is_lost() -> None:
    found = outcome(acted=[0, 1, 3], committed=4)
    assert (found.delivered, found.lost, found.waiting, found.whole) == (3, 1, 1, False)


def test_the_committed_offset_itself_is_still_to_come() -> None:
    assert outcome(acted=[0, 1, 2], committed=3).lost == 0
    assert outcome(acted=[0, 1, 2], committed=4).lost == 1


def test_without_a_commit_nothing_is_lost() -> None:
    found = outcome(acted=[0, 0, 0])
    assert (found.lost, found.waiting, found.repeated, found.uncommitted) == (0, 4, 2, 1)


def test_a_dead_letter_is_kept_not_lost_and_a_delivered_record_is_no_dead_letter() -> None:
    found = outcome(acted=[0, 1, 3, 4], lettered=[2, 2, 3], committed=5)
    assert (found.dead_letters, found.lost, found.repeated, found.whole) == (1, 0, 0, True)


def test_a_record_of_somebody_else_is_no_result() -> None:
    with pytest.raises(ValueError, match=r"nobody produced, such as t-0@7"):
        outcome(acted=[7])
    with pytest.raises(ValueError, match=r"nobody produced"):
        outcome(lettered=[5])


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)), st.none() | st.integers(0, 10))
def test_every_record_is_counted_once(acted, lettered, committed) -> None:
    found = outcome(10, acted, lettered, committed)
    assert found.delivered + found.dead_letters + found.waiting + found.lost == found.produced == 10
    assert found.delivered + found.repeated == len(acted)
    kept = {*acted, *lettered}
    assert found.lost == len([offset for offset in range(committed or 0) if offset not in kept])


# -- the forms


GOOD = Outcome(200, 199, 1, 0, 0, 30, 0, 1, gave_up=False)
BAD = Outcome(200, 100, 0, 95, 5, 0, 3, 3, gave_up=True)


def reported(ours):
    sides = [Played(THEIRS, BAD, None), Played(OURS, ours, 12.3)]
    return report.Report({"confluent-kafka": "2.0"}, "Apache Kafka 4", 7, [report.Result("x", "a fault", sides)])


def test_the_readme_s_block_stands_between_its_marks() -> None:
    lines = report.markdown(reported(GOOD)).splitlines()
    assert (lines[0], lines[-1]) == (report.BEGIN, report.END)
    assert "| a fault | DataHub Actions | 200 | 100 | 0 | 95 | **5** | 0 | 3, then down | never |" in lines
    assert "|  | datahub-poller | 200 | 199 | 1 | 0 | **0** | 30 | 1 | 12 s |" in lines
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "`make compare-loss` makes this table; here with confluent-kafka 2.0, on Apache Kafka 4, seed 7." in lines


def test_json_and_table_tell_the_same() -> None:
    told = json.loads(report.as_json(reported(BAD)))
    assert told["lost_by_datahub_poller"] == 5
    assert told["results"][0]["products"][THEIRS] == {**BAD._asdict(), "seconds": None}
    (row,) = [line.split() for line in report.table(reported(GOOD)).splitlines() if line.strip().startswith(OURS + " ")]
    assert row == [OURS, "200", "199", "1", "0", "0", "30", "1", "12", "s"]


@pytest.mark.parametrize(("ours", "code"), [(GOOD, 0), (BAD, 1)])
def test_the_exit_code_says_whether_the_poller_lost_anything(ours, code, monkeypatch, capsys) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "nobody asks")
    monkeypatch.setattr(command, "_results", lambda *_: reported(ours).results)
    assert command.command(["--json"]) == code
    assert json.loads(capsys.readouterr().out)["results"]


def test_a_run_that_breaks_is_no_result(monkeypatch, capsys) -> None:
    def broken(*_):
        raise AssertionError("no broker")

    monkeypatch.setenv("KAFKA_BOOTSTRAP", "nobody asks")
    monkeypatch.setattr(command, "_results", broken)
    assert command.command([]) == 3
    assert "could not be run: AssertionError: no broker" in capsys.readouterr().err


# -- the real thing, small


def played(names, bootstrap, directory, unique):
    """The outcomes of these cases, run at the same time: they mostly wait."""

    def one(name):
        stand = Stand(KafkaBed(bootstrap), directory, unique, SMALL, 1, print, threading.Event())
        return {side.product: side.outcome for side in BY_NAME[name].play(stand)}

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


@pytest.mark.timeout(180)
def test_bad_records_and_a_registry_that_refuses(kafka, tmp_path, unique) -> None:
    found = played(["payload-not-json", "not-avro", "registry-401"], kafka.bootstrap, tmp_path, unique)
    whole = Outcome(40, 40, 0, 0, 0, 0, 0, 0, gave_up=False)
    one_letter = whole._replace(delivered=39, dead_letters=1)
    assert found["not-avro"] == {THEIRS: whole._replace(delivered=39, lost=1), OURS: one_letter}
    # What it does after the last restart is the same again: the record is met, and nothing behind it.
    assert found["payload-not-json"][OURS] == one_letter
    theirs = found["payload-not-json"][THEIRS]
    assert (theirs.delivered, theirs.dead_letters, theirs.waiting, theirs.lost) == (20, 0, 20, 0)
    assert (theirs.restarts, theirs.gave_up) == (1, True)
    assert found["registry-401"] == {THEIRS: whole._replace(delivered=14, lost=26), OURS: whole}
