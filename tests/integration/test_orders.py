"""An operator's commands to a running poller, as a person gives them, rightly and wrongly."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from datahub_poller.errors import PollerError
from datahub_poller.observe.render import fetch_status
from support.commands import ran
from support.letters import record_of
from support.recorded import all_accounted_for
from support.running import Running, Stage

pytestmark = pytest.mark.timeout(90)
GARBAGE = b"\xff\xfeno event at all"
PATIENT = {"retry/attempts": 100, "retry/backoff": "60s", "retry/max_backoff": "60s"}
TOKEN = "tok-en.0123456789"


def port_of(poller: Running) -> int:
    port = urlsplit(poller.lines("status is served")[0]["url"]).port
    assert port is not None
    return port


def order(poller: Running, *words: object, cwd: Path, **environ: str):
    return ran(*map(str, words), "--port", str(port_of(poller)), cwd=cwd, environ=environ)


def settled(stage: Stage, poller: Running) -> None:
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")


def states(status) -> set[str]:
    return {each["state"] for each in status["partitions"]}


# -- give-up


def test_a_record_that_is_tried_for_ever_is_given_up_by_hand(stage, tmp_path):
    stage.create(2, "pe")
    stage.send("pe", 0, 5, poison=[2])
    stage.send("pe", 1, 3)
    (poison,) = stage.poison
    poller = stage.start(stage.action({**PATIENT, "batch/size": 1}))
    poller.status_when(lambda status: "backing_off" in states(status), "nothing backs off")

    looked = order(poller, "give-up", *poison, cwd=tmp_path)
    assert (looked.code, stage.letters()) == (0, [])
    assert f"{poison.topic}-0@2: key poison-3, here for " in looked.out
    assert "failed attempts: 1; last error: ValueError: 1 of 1 events cannot be dealt with" in looked.out
    assert "--yes --why TEXT" in looked.err
    wrong = order(poller, "give-up", *poison, "--yes", cwd=tmp_path)
    assert (wrong.code, "--why TEXT" in wrong.err, stage.letters()) == (2, True, [])

    done = order(poller, "give-up", *poison, "--yes", "--why", "tag is gone", "--who", "alice@desk", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{poison.topic}-0@2 is given up: its letter is written now\n"
    settled(stage, poller)
    assert stage.lettered() == [poison]
    (letter,) = stage.letters()
    failure, history = letter["meta"]["failure"], letter["meta"]["history"]
    assert (failure["stage"], failure["kind"]) == ("operator", "GivenUp")
    before = "before that: ValueError: 1 of 1 events cannot be dealt with"
    assert failure["message"] == f"alice@desk: tag is gone; {before}"
    assert "in handle" in failure["stack"]
    assert [each["error"] for each in history] == ["ValueError: 1 of 1 events cannot be dealt with"]
    assert letter["event"]["entityUrn"]
    all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
    (line,) = poller.lines("order obeyed")
    assert (line["order"], line["who"], line["why"]) == (f"give-up {poison.topic} 0 2", "alice@desk", "tag is gone")
    again = order(poller, "give-up", *poison, "--yes", "--why", "x", cwd=tmp_path)
    assert (again.code, again.out) == (1, "")
    assert f"{poison.topic}-0@2 is settled" in again.err
    assert poller.stop() == 0


def test_under_throw_a_record_given_up_by_hand_is_a_letter_and_the_next_one_halts(stage, tmp_path):
    stage.create(1, "pe")
    stage.send("pe", 0, 3, poison=[1])
    (poison,) = stage.poison
    throw = {"options/failure_mode": "THROW", "batch/size": 1}
    poller = stage.start(stage.action({**PATIENT, **throw}))
    poller.status_when(lambda status: "backing_off" in states(status), "nothing backs off")
    assert order(poller, "give-up", *poison, "--yes", "--why", "known", cwd=tmp_path).code == 0
    settled(stage, poller)
    assert stage.lettered() == [poison]
    bad = stage.send_raw("pe", 0, GARBAGE)
    assert poller.wait() == 1
    assert stage.committed()[bad.tp] == bad.offset
    assert stage.lettered() == [poison]


def test_a_record_whose_schema_cannot_be_asked_for_is_given_up_and_the_others_go_on(stage, tmp_path):
    stage.create(1, "pe")
    poller = stage.start(stage.action({"batch/size": 1}))
    stage.send("pe", 0, 2)
    settled(stage, poller)
    stage.registry.stop()
    (unknown,) = stage.send("pe", 0, 1, schema=77)
    behind = stage.send("pe", 0, 2)
    poller.status_when(lambda status: "waiting_schema" in states(status), "nothing waits for a schema")
    looked = order(poller, "give-up", *unknown, cwd=tmp_path)
    assert "it waited for confluent schema 77" in looked.out
    done = order(poller, "give-up", *unknown, "--yes", "--why", "made by a test job", cwd=tmp_path)
    assert done.code == 0
    settled(stage, poller)
    assert set(behind) <= stage.recorded().done
    (letter,) = stage.letters()
    assert (letter["event"], letter["meta"]["attempts"], letter["meta"]["batch_id"]) == (None, 0, None)
    assert letter["meta"]["schema"] == {"registry": "confluent", "id": 77}
    message = letter["meta"]["failure"]["message"]
    assert ": made by a test job; before that: it waited for confluent schema 77" in message
    assert record_of(letter).offset == unknown.offset
    poller.status_when(lambda status: not status["red"], "it stays red")
    assert poller.stop() == 0


def test_a_record_in_a_running_call_and_those_that_are_not_there_are_refused_in_words(stage, tmp_path):
    stage.create(1, "pe")
    stage.plan(hold="go")
    held, behind = stage.send("pe", 0, 2)
    poller = stage.start(stage.action({"batch/size": 1}))
    poller.status_when(lambda status: "in_flight" in states(status), "nothing is in flight")

    def refusal(*place):
        done = order(poller, "give-up", *place, "--yes", "--why", "x", cwd=tmp_path)
        assert (done.code, done.out) == (1, "")
        return done.err

    topic = held.topic
    assert "is in a running call (batch " in refusal(*held)
    assert f"{topic}-0@1 is not held up by anything" in refusal(*behind)
    assert f"{topic}-0@99 was not read yet: what comes next is @2; what waits first is @0" in refusal(topic, 0, 99)
    assert f"{topic}-7 is not this process's: it holds {topic}-0." in refusal(topic, 7, 0)
    assert f"nowhere-0 is not this process's: it holds {topic}-0." in refusal("nowhere", 0, 0)
    stage.release("go")
    settled(stage, poller)
    assert not stage.letters()
    assert len(poller.lines("order refused")) == 5
    assert poller.stop() == 0


# -- breaker close


def test_closing_the_breaker_writes_the_letters_that_it_held(stage, tmp_path):
    stage.create(1, "pe")
    changes = {"dead_letter/breaker": {"in_a_row": 5, "pause": "1h"}, "retry/attempts": 1, "batch/size": 1}
    poller = stage.start(stage.action(changes))
    poller.wait_for("partition assigned")
    none = order(poller, "breaker", "close", cwd=tmp_path)
    assert (none.code, none.err) == (1, "datahub-poller: the breaker is not open: 0 letters in a row of 5\n")
    bad = [stage.send_raw("pe", 0, GARBAGE) for _ in range(7)]
    poller.status_when(lambda status: status["breaker"]["state"] == "open", "the breaker does not open")
    poller.until(lambda: len(stage.letters()) == 4, "not the four before it opened")
    done = order(poller, "breaker", "close", "--why", "known garbage", "--json", cwd=tmp_path)
    assert done.code == 0
    answer = json.loads(done.out)
    assert (answer["port"], answer["order"], answer["obeyed"]) == (port_of(poller), "breaker close", True)
    assert answer["said"].startswith("the breaker is closed (5 records in a row are undecodable; the last: ")
    assert answer["said"].endswith("); held letters that are written now: 0")
    good = set(stage.send("pe", 0, 2))
    stage.produced.update(bad)
    settled(stage, poller)
    assert stage.lettered() == bad
    assert good <= stage.recorded().done
    poller.status_when(lambda status: not status["red"], "it stays red")
    assert poller.stop() == 0


def test_closing_the_breaker_ends_the_halt_of_a_batch_of_which_nothing_succeeded(stage, tmp_path):
    stage.create(1, "pe")
    stage.send("pe", 0, 4, poison=range(4))
    poller = stage.start(stage.action({"dead_letter/breaker": {"in_a_row": 50, "pause": "1h"}}))
    poller.status_when(lambda status: status["breaker"]["state"] == "open", "the breaker does not open")
    assert stage.letters() == []
    done = order(poller, "breaker", "close", cwd=tmp_path)
    assert (done.code, "held letters that are written now: 4" in done.out) == (0, True)
    settled(stage, poller)
    assert set(stage.lettered()) == stage.poison
    assert {each["meta"]["failure"]["stage"] for each in stage.letters()} == {"handler"}
    assert poller.stop() == 0


# -- pause and resume


def test_a_paused_poller_stops_in_time_and_forgets_its_pause(stage, tmp_path):
    stage.create(2, "pe")
    poller = stage.start(stage.action({"shutdown/deadline": "60s"}))
    stage.send("pe", 0, 5)
    settled(stage, poller)
    done = order(poller, "pause", "--why", "upgrade of the service", "--who", "bob@desk", cwd=tmp_path)
    assert (done.code, done.out) == (0, "the action is paused until `resume` or a restart; running calls finish\n")
    twice = order(poller, "pause", cwd=tmp_path)
    assert (twice.code, "the action is paused already, by bob@desk" in twice.err) == (1, True)
    later = stage.send("pe", 1, 5)
    status = poller.status_when(lambda status: "paused" in states(status), "nothing is paused")
    assert (status["state"], status["red"]) == ("paused", False)
    assert (status["paused"]["who"], status["paused"]["why"]) == ("bob@desk", "upgrade of the service")
    shown = ran("status", "--port", str(port_of(poller)), cwd=tmp_path)
    assert "paused by bob@desk since 2" in shown.out
    assert "by bob@desk: upgrade of the service" in shown.out
    poller.status_when(lambda status: sum(each["records"] for each in status["partitions"]) == 5, "nothing is read")
    assert not set(later) & stage.recorded().done
    began = time.monotonic()
    assert poller.stop() == 0
    assert time.monotonic() - began < 30.0
    again = stage.start(stage.action())
    settled(stage, again)
    assert again.stop() == 0


def test_one_partition_is_paused_and_resumed_while_the_other_goes_on(stage, tmp_path):
    stage.create(2, "pe")
    poller = stage.start()
    stage.send("pe", 0, 1)
    stage.send("pe", 1, 1)
    settled(stage, poller)
    topic = stage.topics["pe"]
    nope = order(poller, "resume", topic, 0, cwd=tmp_path)
    assert (nope.code, nope.err) == (1, f"datahub-poller: {topic}-0: not paused\n")
    assert order(poller, "pause", topic, 0, cwd=tmp_path).code == 0
    waits, goes = set(stage.send("pe", 0, 3)), set(stage.send("pe", 1, 3))
    poller.until(lambda: goes <= stage.recorded().done, "the other partition does not go on")
    assert not waits & stage.recorded().done
    done = order(poller, "resume", topic, 0, cwd=tmp_path)
    assert (done.code, done.out) == (0, f"resumed: {topic}-0\n")
    settled(stage, poller)
    assert poller.stop() == 0


# -- retry-now


def test_what_waits_for_its_time_tries_at_once_when_it_is_told_to(stage, tmp_path):
    stage.create(1, "pe")
    stage.plan(fail=True)
    stage.send("pe", 0, 2)
    poller = stage.start(stage.action(PATIENT))
    poller.status_when(lambda status: "backing_off" in states(status), "nothing backs off")
    stage.plan()
    done = order(poller, "retry-now", cwd=tmp_path)
    assert (done.code, done.out) == (0, "ended now: back-offs: 1\n")
    settled(stage, poller)
    assert not stage.letters()
    assert order(poller, "retry-now", cwd=tmp_path).out == "nothing was waiting for its time\n"
    assert poller.stop() == 0


# -- the wrong poller, the wrong token


def test_where_a_token_is_set_the_file_that_has_it_is_needed(stage, tmp_path):
    stage.create(1, "pe")
    file = stage.action({"status/token": "${ORDERS_TOKEN}"})
    poller = stage.start(file, "poller.log", ORDERS_TOKEN=TOKEN)
    poller.wait_for("partition assigned")
    without = order(poller, "pause", cwd=tmp_path)
    assert (without.code, without.out) == (2, "")
    assert "status.token" in without.err
    assert "-c FILE" in without.err
    wrong = order(poller, "pause", "-c", file, cwd=tmp_path, ORDERS_TOKEN="another-one")
    assert (wrong.code, "is not the one that it was started with" in wrong.err) == (2, True)
    right = order(poller, "pause", "-c", file, cwd=tmp_path, ORDERS_TOKEN=TOKEN)
    assert right.code == 0
    status = poller.status_when(lambda status: status["state"] == "paused", "it is not paused")
    assert poller.stop() == 0
    assert TOKEN not in poller.text() + without.all + wrong.all + right.all + json.dumps(status)
    assert "another-one" not in poller.text() + wrong.all
    assert [line["code"] for line in poller.lines("order not admitted")] == [401]


def test_a_page_in_a_browser_on_the_same_machine_pauses_nothing(stage):
    stage.create(1, "pe")
    poller = stage.start()
    poller.wait_for("partition assigned")
    document = json.dumps({"order": "pause", "who": "mallory"})
    for kind, origin, code in (("text/plain", None, 415), ("application/json", "http://evil.example", 403)):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(poller), timeout=10)
        headers = {"Content-Type": kind} | ({} if origin is None else {"Origin": origin})
        connection.request("POST", "/orders", document, headers)
        assert connection.getresponse().status == code
        connection.close()
    poller.status_when(lambda status: status["state"] == "running", "it is paused")
    assert poller.stop() == 0


@pytest.mark.parametrize(
    "words", [("breaker", "close"), ("give-up", "t", "0", "1"), ("pause",), ("resume",), ("retry-now",)], ids=" ".join
)
def test_where_no_poller_listens_that_is_said(words, tmp_path):
    done = ran(*words, "--port", "1", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "http://127.0.0.1:1/orders cannot be reached: Connection refused. Is the poller running" in done.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("give-up", "t", "0"), "Missing argument 'OFFSET'"),
        (("give-up", "t", "0", "-1"), "No such option"),
        (("give-up", "t", "x", "1"), "'x' is not a valid integer"),
        (("pause", "t", "0", "1"), "unexpected extra argument"),
        (("pause", "--port", "65535", "--processes", "9"), "--processes"),
        (("pause", "-c", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_a_command_that_is_typed_wrongly_is_told_why(words, what, tmp_path):
    done = ran(*words, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert what in done.err


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has."""
    for first in range(23_000 + os.getpid() % 5_000, 40_000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("no ports are free")


def test_processes_of_one_command_are_asked_by_the_ports_that_follow_each_other(on_kafka, tmp_path):
    stage = on_kafka
    stage.create(4, "pe")
    stage.plan(fail=True)
    places = [stage.send("pe", partition, 1)[0] for partition in range(4)]
    port = free_ports(2)
    poller = stage.start(stage.action({**PATIENT, "status/port": port}), "poller.log", "--processes", "2")

    def shared_out():
        with contextlib.suppress(PollerError):
            each = [fetch_status(port + n)["partitions"] for n in range(2)]
            return all(len(mine) == 2 and {one["state"] for one in mine} == {"backing_off"} for mine in each)
        return False

    poller.until(shared_out, "not shared out")
    asked = ("--port", str(port), "--processes", "2")
    for place in places:
        done = ran("give-up", *map(str, place), "--yes", "--why", "x", *asked, cwd=tmp_path)
        assert done.code == 0, done.err
        assert f"{place.topic}-{place.partition}@0 is given up" in done.out
    none = ran("give-up", places[0].topic, "9", "0", "--yes", "--why", "x", *asked, cwd=tmp_path)
    assert (none.code, "none of 2 processes holds" in none.err) == (1, True)
    poller.until(lambda: set(stage.lettered()) == set(places), "not all have their letters")
    every = ran("pause", *asked, "--json", cwd=tmp_path)
    assert (every.code, [json.loads(line)["port"] for line in every.out.splitlines()]) == (0, [port, port + 1])
    assert poller.stop() == 0
