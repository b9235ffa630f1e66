"""Lines for CloudWatch from real pollers: beside what handlers print, on pipes that are slow, full or closed."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import threading
import time

import pytest

from support.metrics_read import check_emf
from support.running import Running, Stage
from support.status_pages import get, metrics

pytestmark = pytest.mark.timeout(90)
EMF = {"metrics": {"emf": True, "interval": "1s"}}
PRINTS = {"handler/config/function": "printing_handler:handle"}
PRINTING_HANDLER = """
import os, sys
import recording_handler

def handle(event, context):
    print("handling", len(event["events"]), "events")
    print("half a line", end="", flush=True)
    print("x" * 9_000)
    os.write(1, b"") if sys.stdout is None else sys.stdout.flush()
    result = recording_handler.handle(event, context)
    print('{"_aws": "is what a handler may print too"}', end="")
    return result
"""


def emf_lines(text: str) -> list[dict]:
    """Those of ours in it; none of them may begin or end in another line."""
    lines = [line for line in text.splitlines() if '"CloudWatchMetrics"' in line]
    return [check_emf(line) for line in lines]


def settled(stage: Stage, poller: Running) -> None:
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")


@pytest.fixture
def pipe():
    """A reading and a writing end that hold a page at most."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_what_a_handler_prints_is_in_none_of_them_and_nothing_is_counted_twice_or_lost(stage):
    (stage.directory / "printing_handler.py").write_text(PRINTING_HANDLER)
    stage.create(2, "pe")
    stage.send("pe", 0, 40, poison=[3])
    stage.send("pe", 1, 25)
    poller = stage.start(stage.action({**EMF, **PRINTS, "batch/concurrency": 2, "batch/size": 5}))
    settled(stage, poller)
    poller.until(lambda: sum(line.get("CommittedEventCount", 0) for line in emf_lines(poller.text())) == 65, "lines")
    stage.send("pe", 1, 10)
    poller.until(stage.drained, "not drained")
    assert poller.stop() == 0
    lines = emf_lines(poller.text())
    counts = {name: sum(line.get(name, 0) for line in lines) for name in ("PolledEventCount", "CommittedEventCount")}
    assert counts == {"PolledEventCount": 75, "CommittedEventCount": 75}, "what came and was committed at the very end"
    assert sum(line.get("OnFailureDestinationDeliveredEventCount", 0) for line in lines) == 1
    assert [line["Starts"] for line in lines] == [1] + [0] * (len(lines) - 1)
    assert ["BacklogPerProcess" in line for line in lines] == [False] + [True] * (len(lines) - 2) + [False]
    since = [line["_aws"]["Timestamp"] - lines[0]["_aws"]["Timestamp"] for line in lines[:-1]]
    assert all(each >= 1000 * number - 100 for number, each in enumerate(since)), "no more than one each second"
    apart = sorted(after - before for before, after in itertools.pairwise(since))
    assert apart[len(apart) // 2] <= 1600, "and about one each second: a busy machine may be late now and then"
    assert "handling" in poller.text()


def test_a_pipe_that_nobody_reads_stalls_no_event_and_no_stop(stage, pipe):
    reading, writing = pipe
    stage.create(1, "pe")
    poller = stage.start(stage.action({**EMF, "shutdown/deadline": "60s"}), stdout=writing)
    poller.wait_for("partition assigned")
    full = time.monotonic() + 20
    while time.monotonic() < full:
        # A page holds the first line and one more at most.
        stage.send("pe", 0, 1)
        time.sleep(0.2)
        if len(stage.produced) > 20:
            break
    settled(stage, poller)
    assert get(poller, "/livez")[0] == 200
    began = time.monotonic()
    assert poller.stop() == 0
    assert time.monotonic() - began < 30
    os.set_blocking(reading, False)
    assert len(os.read(reading, 65_536)) <= 4096, "the pipe was full all the time"


def test_a_slow_reader_gets_whole_lines(stage, pipe):
    reading, writing = pipe
    stage.create(1, "pe")
    poller = stage.start(stage.action(EMF), stdout=writing)
    got = bytearray()
    ended = threading.Event()

    def reads() -> None:
        while not ended.is_set():
            got.extend(os.read(reading, 200))
            time.sleep(0.02)

    reader = threading.Thread(target=reads, daemon=True)
    reader.start()
    stage.send("pe", 0, 10)
    settled(stage, poller)
    poller.until(lambda: got.count(b"\n") >= 4, "no lines")
    ended.set()
    whole = got[: got.rindex(b"\n") + 1].decode()
    assert len(emf_lines(whole)) == whole.count("\n")
    poller.kill()
    os.write(writing, b"\n")  # lets the reader go
    reader.join(5)


def test_a_reader_that_goes_away_costs_no_event_and_is_told_once(stage):
    (stage.directory / "printing_handler.py").write_text(PRINTING_HANDLER)
    gone, held = os.pipe()
    os.close(gone)
    stage.create(1, "pe")
    stage.send("pe", 0, 30)
    poller = stage.start(stage.action({**EMF, **PRINTS, "retry/attempts": 1}), stdout=held)
    os.close(held)
    settled(stage, poller)
    assert stage.letters() == [], "a handler that prints did not fail for it"
    time.sleep(2.5)
    stage.send("pe", 0, 5)
    settled(stage, poller)
    assert get(poller, "/livez")[0] == 200
    (told,) = poller.lines("standard output cannot be written: it is lost")
    assert told["reason"] == "Broken pipe"
    assert poller.stop() == 0


def test_processes_of_one_command_each_count_their_start_and_weigh_once(stage):
    stage.create(4, "pe")
    for partition in range(4):
        stage.send("pe", partition, 20)
    poller = stage.start(stage.action(EMF), "poller.log", "--processes", "2")
    settled(stage, poller)

    def lines() -> list[dict]:
        return emf_lines(poller.text())

    poller.until(lambda: sum(line.get("CommittedEventCount", 0) for line in lines()) == 80, "not in the lines")
    poller.until(lambda: sum("BacklogPerProcess" in line for line in lines()) >= 6, "no lines")
    assert poller.stop() == 0
    assert sum(line["Starts"] for line in lines()) == 2
    with_gauges = sum("AssignedPartitions" in line for line in lines())
    assert len(lines()) == with_gauges + 4, "a first and a last line of each"


def test_a_start_that_fails_is_counted(stage):
    """A task that cannot load its handler starts again and again: the alarm on starts must see it."""
    stage.create(1, "pe")
    changes = {"metrics": {"emf": True, "interval": "60s"}, "handler/config/function": "no_such_module:handle"}
    poller = stage.start(stage.action(changes))
    assert poller.wait() == 3
    lines = emf_lines(poller.text())
    assert sum(line["Starts"] for line in lines) == 1
    assert not any("BacklogPerProcess" in line for line in lines)


def test_a_standard_output_that_was_closed_from_the_beginning_is_no_trouble(stage):
    stage.create(1, "pe")
    stage.send("pe", 0, 5)
    file = stage.action(EMF)
    closed = (
        "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-m', 'datahub_poller', *sys.argv[1:]])"
    )
    poller = Running(file, stage.directory / "closed.log", {}, program=("-c", closed))
    try:
        settled(stage, poller)
        assert poller.stop() == 0
    finally:
        if poller.exit_code is None:
            poller.kill()
    assert json.loads(poller.text().splitlines()[-1])["event"] == "stopped"


SLEEPING_HANDLER = """
import pathlib, time

def handle(event, context):
    began = time.monotonic()
    time.sleep(9.0)
    pathlib.Path(__file__).with_name("took").write_text(str(time.monotonic() - began))
"""


def test_how_busy_a_poller_is_while_a_call_runs_for_seconds_and_when_it_has_ended(stage):
    """One call, in one of two slots: of three that the file allows a third would have no partition."""
    (stage.directory / "sleeping_handler.py").write_text(SLEEPING_HANDLER)
    stage.create(2, "pe")
    sleeps = {"handler/config/function": "sleeping_handler:handle", "batch/concurrency": 3, "batch/window": 0}
    poller = stage.start(stage.action({**EMF, **sleeps}))
    poller.wait_for("partition assigned", count=2)
    stage.send("pe", 0, 1)
    poller.until(lambda: sum(stage.committed().values()) == 1, "not committed")
    ended = len(emf_lines(poller.text()))
    took = float((stage.directory / "took").read_text())
    found = metrics(poller)
    assert found["handler_slots"][()] == 2
    assert found["handler_busy_seconds_total"][()] <= took + 1.0
    poller.until(lambda: len(emf_lines(poller.text())) >= ended + 4, "no lines")
    assert metrics(poller)["handler_busy_seconds_total"][()] == pytest.approx(took, abs=1.0)
    assert poller.stop() == 0
    lines = emf_lines(poller.text())
    told = [line.get("BusyPercent") for line in lines]
    print(told)
    while_it_ran = [line["BusyPercent"] for line in lines if line.get("BusyPercent") and "HandlerSeconds" not in line]
    whole = while_it_ran[1:]
    assert len(whole) >= 3, "seen before the call has ended"
    assert whole == [pytest.approx(50, abs=5)] * len(whole)
    assert told[-2] == 0, "nothing runs any more"
    assert told[0] is told[-1] is None, "neither end is an interval"
    apart = [(b["_aws"]["Timestamp"] - a["_aws"]["Timestamp"]) / 1000 for a, b in itertools.pairwise(lines)]
    busy = sum((each or 0) * seconds for each, seconds in zip(told[1:], apart, strict=True))
    assert busy / 100 * 2 == pytest.approx(took, abs=1.5)
