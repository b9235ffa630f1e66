"""Lines for CloudWatch, held against its published schema and rules; and the stream that they share with handlers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import threading
import time
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.observe.catalogue import CATALOGUE, Moment
from datahub_poller.observe.emf import Lines
from datahub_poller.observe.emitting import Emitter
from datahub_poller.observe.figures import Figures, LetterCount
from datahub_poller.observe.standard_output import StandardOutput
from datahub_poller.observe.status import Board, BufferStatus, PartitionStatus, PollerStatus
from datahub_poller.tally import Tally
from support.action_files import action_of, problems_of
from support.metrics_read import check_emf

NOW, WALL = 1_000.0, 1_800_000_000.0
PIPE_BUF = 4096
"""What Linux writes to a pipe in one piece, whoever else writes to it."""


def partition(number: int = 0, **more) -> PartitionStatus:
    return PartitionStatus(**{"topic": "pe", "partition": number, "state": "ready", "moved": NOW, **more})


def moment(*partitions: PartitionStatus, **more) -> Moment:
    about = {"action": "tag-sync", "version": "1", "state": "running", "partitions": partitions, "started_at": 900}
    return Moment(PollerStatus(**{**about, **more}), NOW, WALL)


def busy() -> Moment:
    tally = Tally()
    tally.called(3, 0.2)
    tally.called(100, 400.0)
    letters = (LetterCount("handler", "ValueError", 2), LetterCount("decode", "bad", 1))
    figures = Figures(tally.handler_seconds.distribution(), tally.batch_size.distribution(), letters, 1.25, 50.0, 2)
    return moment(
        partition(0, lag=10, oldest=WALL - 5, records=2),
        partition(1, lag=32, moved=NOW - 400, stuck=True),
        counters={"records_polled": 1000, "events_filtered": 400, "events_invoked": 600, "offsets_committed": 990},
        figures=figures,
        buffer=BufferStatus(100, 1000),
        red=True,
        assigned=2,
        uptime=100.0,
    )


def worked(seconds: float, uptime: float, slots: int = 2) -> Moment:
    figures = Figures(handler_busy_seconds=seconds, handler_slots=slots)
    return moment(figures=figures, uptime=uptime)


GAUGES = {target.name for metric in CATALOGUE if metric.kind == "gauge" for target in metric.cloudwatch}
COUNTERS = {target.name for metric in CATALOGUE if metric.kind == "counter" for target in metric.cloudwatch}
SHARES = {target.name for metric in CATALOGUE for target in metric.cloudwatch if target.most is not None}
COUNTERS -= SHARES


def metrics_of(document: dict) -> set[str]:
    return {each["Name"] for each in document["_aws"]["CloudWatchMetrics"][0]["Metrics"]}


# -- what is in them


def test_the_first_line_says_that_a_process_began_and_nothing_else():
    line = check_emf(Lines().first(busy()))
    assert metrics_of(line) == {"Starts"}
    assert (line["Action"], line["Starts"], line["_aws"]["Timestamp"]) == ("tag-sync", 1, WALL * 1000)


def test_a_line_has_what_is_new_and_what_is_now():
    lines, before = Lines(), busy()
    first = check_emf(lines.line(before))
    assert (first["Starts"], first["PolledEventCount"]) == (0, 1000)
    assert (first["MaxOffsetLag"], first["SumOffsetLag"], first["BacklogPerProcess"]) == (32, 42, 42)
    assert (first["MaxLagSeconds"], first["StuckPartitions"], first["Red"]) == (400, 1, 1)
    assert first["OnFailureDestinationDeliveredEventCount"] == 3
    assert (first["HandlerSeconds"], first["BatchSize"]) == (200.1, 51.5)
    assert first["BusyPercent"] == 25, "50 s of two slots' 100"
    assert metrics_of(first) == GAUGES | COUNTERS | SHARES | {"Starts", "HandlerSeconds", "BatchSize"}
    second = check_emf(lines.line(before))
    assert (second["PolledEventCount"], second["MaxOffsetLag"]) == (0, 32)
    gone = metrics_of(first) - metrics_of(second)
    assert gone == {"HandlerSeconds", "BatchSize", "BusyPercent"}, "no call, no mean of any, and no time for a share"


def test_how_busy_it_was_is_the_share_of_its_slots_that_calls_took_between_two_snapshots():
    lines = Lines()
    check_emf(lines.first(worked(0.0, 0.0)))
    told = [(12.0, 60.0), (84.0, 120.0), (84.0, 180.0), (90.0, 195.0)]
    lines_of = [check_emf(lines.line(worked(seconds, uptime))) for seconds, uptime in told]
    assert [line["BusyPercent"] for line in lines_of] == [10.0, 60.0, 0.0, 20.0]
    (unit,) = [
        each["Unit"] for each in lines_of[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"] if each["Name"] in SHARES
    ]
    assert unit == "Percent"


def test_a_line_after_which_the_loop_has_not_turned_says_nothing_of_how_busy_it_was_and_the_next_makes_up_for_it():
    lines = Lines()
    assert check_emf(lines.line(worked(60.0, 60.0)))["BusyPercent"] == 50
    assert "BusyPercent" not in check_emf(lines.line(worked(60.0, 60.0)))
    assert check_emf(lines.line(worked(180.0, 180.0)))["BusyPercent"] == 50


def test_while_a_process_starts_it_is_not_said_how_busy_it_is_and_then_it_counts_from_its_beginning():
    lines = Lines()
    starting = moment(state="starting")
    assert "BusyPercent" not in check_emf(lines.first(starting))
    assert "BusyPercent" not in check_emf(lines.line(starting))
    assert check_emf(lines.line(worked(30.0, 150.0)))["BusyPercent"] == 10


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.integers(1, 100)), max_size=8))
def test_a_share_is_from_0_to_100_whatever_happens_to_the_slots(steps):
    """Calls that run on for partitions that have gone take more than the slots that are left."""
    lines, seconds, uptime = Lines(), 0.0, 0.0
    for busier, later, slots in steps:
        seconds, uptime = seconds + busier, uptime + later
        assert 0 <= check_emf(lines.line(worked(seconds, uptime, slots))).get("BusyPercent", 0) <= 100


def test_the_last_line_has_what_was_counted_and_no_gauge():
    """Partitions of a process that ends are another's in the same minute: they would be in the average twice."""
    last = check_emf(Lines().last(busy()))
    assert metrics_of(last) == COUNTERS | {"Starts", "HandlerSeconds", "BatchSize"}, "nor a share"
    assert (last["PolledEventCount"], last["Starts"]) == (1000, 0)


def test_each_interval_of_each_process_weighs_once_in_an_average():
    """The average over all lines times the processes is the whole backlog, which is what scaling divides."""
    samples = []
    for backlog in (10, 30, 0):  # of three processes, the third without a partition
        lines = Lines()
        here = moment(*([partition(0, lag=backlog)] if backlog else []))
        samples += [json.loads(line) for line in (lines.first(here), lines.line(here), lines.last(here))]
    backlogs = [each["BacklogPerProcess"] for each in samples if "BacklogPerProcess" in each]
    assert sorted(backlogs) == [0, 10, 30]
    assert sum("AssignedPartitions" in each for each in samples) == 3


@given(
    st.lists(st.integers(0, 10**6), max_size=6),
    st.lists(st.tuples(st.sampled_from(["first", "line", "last"]), st.integers(0, 2**40)), max_size=8),
)
def test_what_the_lines_have_counted_adds_up(lags, steps):
    lines, total, counted = Lines(), 0, 0
    for kind, more in steps:
        total += more
        here = moment(*(partition(n, lag=lag) for n, lag in enumerate(lags)), counters={"records_polled": total})
        document = check_emf(getattr(lines, kind)(here))
        counted += document.get("PolledEventCount", 0)
    told = [index for index, (kind, _) in enumerate(steps) if kind != "first"]
    assert counted == sum(more for _, more in steps[: max(told, default=-1) + 1])


# -- the format


def test_what_is_no_line_for_cloudwatch_is_found():
    good = json.loads(Lines().line(busy()))
    directive = good["_aws"]["CloudWatchMetrics"][0]

    def broken(change) -> str:
        document = json.loads(json.dumps(good))
        change(document, document["_aws"]["CloudWatchMetrics"][0])
        return json.dumps(document)

    for change in (
        lambda document, _: document.pop("MaxOffsetLag"),
        lambda document, _: document.update(MaxOffsetLag="32"),
        lambda document, _: document.update(MaxOffsetLag=True),
        lambda document, _: document.update(MaxOffsetLag=math.nan),
        lambda document, _: document.update(MaxOffsetLag=math.inf),
        lambda document, _: document.update(MaxOffsetLag={"is": 32}),
        lambda document, _: document.update(MaxOffsetLag=[1.0] * 101),
        lambda document, _: document.update(MaxOffsetLag=[]),
        lambda document, _: document.update(Action=None),
        lambda document, _: document.update(Action=""),
        lambda document, _: document.update(Action="größe"),
        lambda document, _: document.update(Action="a\nb"),
        lambda document, _: document.update(Action="x" * 1025),
        lambda document, _: document.pop("Action"),
        lambda document, _: document["_aws"].pop("Timestamp"),
        lambda document, _: document["_aws"].update(Timestamp="now"),
        lambda document, _: document["_aws"].pop("CloudWatchMetrics"),
        lambda _, directive: directive.update(Namespace=""),
        lambda _, directive: directive.update(Namespace="x" * 256),
        lambda _, directive: directive.pop("Dimensions"),
        lambda _, directive: directive.update(Dimensions=[["Action"] * 31]),
        lambda _, directive: directive.update(Dimensions=[["x" * 256]]),
        lambda _, directive: directive.update(Dimensions=[[":Action"]]),
        lambda _, directive: directive["Metrics"][0].update(Unit="Events"),
        lambda _, directive: directive["Metrics"][0].update(StorageResolution=30),
        lambda _, directive: directive["Metrics"][0].update(Name="x" * 256),
        lambda _, directive: directive["Metrics"].append(dict(directive["Metrics"][0])),
        lambda document, directive: [
            directive["Metrics"].append({"Name": f"m{n}"}) or document.update({f"m{n}": 1}) for n in range(101)
        ],
    ):
        with pytest.raises((AssertionError, KeyError, jsonschema.ValidationError)):
            check_emf(broken(change))
    for text in ("x" + json.dumps(good), '{"_aws":{},' + json.dumps(good)[1:], json.dumps(good) + "\n{}"):
        with pytest.raises((AssertionError, json.JSONDecodeError, jsonschema.ValidationError)):
            check_emf(text)
    assert len(directive["Metrics"]) <= 100


def test_a_line_fits_into_one_piece_of_a_pipe_however_many_partitions():
    """Processes of one task write to the same pipe: a longer line could be torn apart by another's."""
    large = 2**62
    many = moment(
        *(partition(number, lag=large, oldest=1.0, records=1) for number in range(10_000)),
        action="x" * 200,
        counters=dict.fromkeys(("records_polled", "events_filtered", "events_invoked", "offsets_committed"), large),
        buffer=BufferStatus(large, large),
    )
    for line in (Lines().line(many), Lines().last(many)):
        check_emf(line)
        assert len(line) < PIPE_BUF


def test_a_figure_that_is_no_number_makes_no_line():
    with pytest.raises(ValueError, match="JSON"):
        Lines().line(moment(partition(0, lag=1, moved=-math.inf)))


@pytest.mark.parametrize("name", ["tag-sync", "a.b_c", "urn:li:x", " x ", '"quoted" \\ and {json}', "x" * 1024])
def test_a_name_that_cloudwatch_takes_is_taken(name):
    assert problems_of({"name": name, "metrics": "emf"}) == []
    written = action_of({"name": name, "metrics": "emf"}).name
    assert check_emf(Lines().line(moment(action=written)))["Action"] == written


@pytest.mark.parametrize("name", ["größe", "🎉", "x" * 1025])
def test_a_name_that_it_does_not_take_is_a_problem_with_emf_alone(name):
    (problem,) = problems_of({"name": name, "metrics": "emf"})
    assert "CloudWatch takes at most 1024 printable ASCII characters" in problem
    assert problems_of({"name": name}) == []


# -- when they are written


class Written:
    def __init__(self, holds: threading.Event | None = None):
        self.lines: list[dict] = []
        self.holds = holds

    def __call__(self, line: str) -> None:
        if self.holds is not None:
            self.holds.wait(10)
        self.lines.append(check_emf(line))


def emitting(write, interval):
    board = Board()
    emitter = Emitter(board, interval, write)
    emitter.start(moment().status)
    return board, emitter


def test_a_line_comes_each_interval_and_one_at_each_end():
    written = Written()
    board, emitter = emitting(written, 0.2)
    board.publish(busy().status)
    time.sleep(1.1)
    emitter.close()
    kinds = ["BacklogPerProcess" in line for line in written.lines]
    assert (kinds[0], kinds[-1], all(kinds[1:-1])) == (False, False, True)
    assert 4 <= len(written.lines) - 2 <= 6
    assert sum(line["Starts"] for line in written.lines) == 1
    assert sum(line.get("PolledEventCount", 0) for line in written.lines) == 1000


def test_a_reader_that_stands_still_holds_up_nobody_and_gets_no_old_lines():
    go_on = threading.Event()
    written = Written(go_on)
    _, emitter = emitting(written, 0.1)
    time.sleep(1.0)
    began = time.monotonic()
    emitter.close()
    assert time.monotonic() - began < 10.0
    assert written.lines == []
    go_on.set()
    emitter._thread.join(5)
    assert len(written.lines) == 2, "the first, and the last"


# -- the stream


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BUF)
    yield reading, writing
    for end in (reading, writing):
        with contextlib.suppress(OSError):  # the test has closed it
            os.close(end)


def shared(writing, lost=None):
    output = StandardOutput(writing, (lost if lost is not None else []).append)
    return output, output.text("utf-8")


def test_a_line_begins_anew_after_what_a_handler_left_unfinished(pipe):
    reading, writing = pipe
    output, text = shared(writing)
    output.line("{1}")
    print("half a ", end="", file=text, flush=True)
    output.line("{2}")
    print("line", file=text)
    output.line("{3}")
    assert os.read(reading, 1000) == b"{1}\nhalf a \n{2}\nline\n{3}\n"


def test_what_is_printed_by_many_threads_stands_in_no_line_of_ours(pipe):
    reading, writing = pipe
    output, text = shared(writing)
    ended, got = threading.Event(), []

    def prints() -> None:
        while not ended.is_set():
            print("a", "b", "c", file=text)
            print("no end", end="", file=text, flush=True)
            print("x" * 9_000, file=text)

    def reads() -> None:
        while piece := os.read(reading, 65_536):
            got.append(piece)

    threads = [threading.Thread(target=prints) for _ in range(4)]
    reader = threading.Thread(target=reads)
    for thread in (*threads, reader):
        thread.start()
    line = Lines().line(busy())
    for _ in range(100):
        output.line(line)
    ended.set()
    for thread in threads:
        thread.join()
    text.flush()
    os.close(writing)
    reader.join()
    lines = b"".join(got).decode().splitlines()
    assert sum(each == line for each in lines) == 100
    assert not [each for each in lines if "_aws" in each and each != line]


def test_a_reader_that_has_gone_is_told_once_and_nobody_fails(pipe):
    reading, writing = pipe
    lost: list[str] = []
    output, text = shared(writing, lost)
    os.close(reading)
    for _ in range(3):
        output.line("{}")
        print("to nobody", file=text)
    assert lost == ["Broken pipe"]


def test_a_full_disk_is_told_again_when_it_is_full_again(tmp_path):
    lost: list[str] = []
    with Path("/dev/full").open("wb") as full, (tmp_path / "out").open("wb") as good:
        output, _ = shared(full.fileno(), lost)
        output.line("{}")
        output.line("{}")
        assert lost == ["No space left on device"]
        output._descriptor = good.fileno()
        output.line("{1}")
        output._descriptor = full.fileno()
        output.line("{}")
    assert len(lost) == 2
    assert (tmp_path / "out").read_text() == "{1}\n"


def test_a_pipe_that_does_not_block_loses_nothing(pipe):
    reading, writing = pipe
    os.set_blocking(writing, False)
    lost: list[str] = []
    output, _ = shared(writing, lost)
    got: list[bytes] = []

    def reads() -> None:
        while piece := os.read(reading, 1_000):
            time.sleep(0.001)
            got.append(piece)

    reader = threading.Thread(target=reads)
    reader.start()
    for number in range(200):
        output.line(f"{number} " + "x" * 500)
    os.close(writing)
    reader.join()
    assert [int(line.split()[0]) for line in b"".join(got).splitlines()] == list(range(200))
    assert lost == []
