"""The status as values, the port that serves it, and how a person sees it: real HTTP on loopback."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from datahub_poller.errors import CannotStart, PollerError
from datahub_poller.observe.render import details, duration, fetch_status, headline, render
from datahub_poller.observe.server import CONNECTIONS, StatusServer
from datahub_poller.observe.status import (
    Board,
    BreakerStatus,
    BufferStatus,
    PartitionStatus,
    PollerStatus,
    SchemaWait,
    as_document,
)

WALL = 1_767_323_045.0  # 2026-01-02T03:04:05Z
NOW = 5_000.0

WAITING = PartitionStatus(
    topic="mcl",
    partition=3,
    state="waiting_schema",
    reason="glue schema 1-2: 503 Service Unavailable",
    since=NOW - 65.0,
    next_try_in=4.5,
    settled=17,
    committed=17,
    end=40,
    lag=23,
    records=9,
    bytes=4_096,
)
STATUS = PollerStatus(
    action="tag-sync",
    version="0.1.0",
    state="waiting",
    red=True,
    reasons=("mcl-3 waits for glue schema 1-2",),
    started_at=NOW - 3_700.0,
    uptime=3_700.0,
    assigned=2,
    counters={"delivered": 12, "letters": 1},
    breaker=BreakerStatus("open", 20, 20, 12.0),
    buffer=BufferStatus(4_096, 67_108_864),
    schemas=(SchemaWait("glue schema 1-2", NOW - 65.0, 7, "503 Service Unavailable"),),
    partitions=(PartitionStatus(topic="mcl", partition=0, state="idle"), WAITING),
)


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def serving(board: Board, clock: Clock | None = None, **options) -> Iterator[int]:
    server = StatusServer(board, 0, clock or Clock(NOW), Clock(WALL), **options)
    port = server.start()
    try:
        yield port
    finally:
        server.close()


def ask(port: int, path: str, method: str = "GET", headers: dict | None = None) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def published() -> Board:
    board = Board()
    board.publish(STATUS)
    board.beat(NOW - 0.25)
    return board


def test_a_document_has_wall_clock_times_and_json_types_only():
    document = as_document(STATUS, NOW, WALL)
    assert json.loads(json.dumps(document)) == json.loads(json.dumps(document, default=pytest.fail))
    assert document["at"] == "2026-01-02T03:04:05Z"
    assert document["started_at"] == "2026-01-02T02:02:25Z"
    assert document["partitions"][1]["since"] == "2026-01-02T03:03:00Z"
    assert document["partitions"][0]["since"] is None
    assert document["schemas"][0]["since"] == "2026-01-02T03:03:00Z"
    assert (document["red"], document["breaker"]["state"], document["buffer"]["bytes"]) == (True, "open", 4_096)


def test_a_board_is_alive_while_the_loop_turns():
    board = Board()
    assert not board.alive(NOW)
    assert board.silent_for(NOW) is None
    board.beat(NOW)
    assert board.alive(NOW + 30.0)
    assert not board.alive(NOW + 30.1)
    assert board.alive(NOW - 1.0)
    assert not board.alive(NOW + 2.0, limit=1.0)


def test_livez_is_ok_while_the_loop_turns_and_says_how_long_it_has_not():
    board, clock = Board(), Clock(NOW)
    with serving(board, clock) as port:
        assert ask(port, "/livez")[::2] == (503, "the loop has not turned yet\n")
        board.beat(NOW)
        assert ask(port, "/livez")[::2] == (200, "ok\n")
        clock.now += 42.0
        assert ask(port, "/livez")[::2] == (503, "the loop last turned 42.0 s ago (limit 30 s)\n")


@pytest.mark.parametrize(("state", "code"), [("starting", 503), ("running", 200), ("waiting", 200), ("paused", 200)])
def test_healthz_is_livez_once_it_has_started(state, code):
    board, clock = Board(), Clock(NOW)
    board.beat(NOW)
    with serving(board, clock) as port:
        assert ask(port, "/healthz")[0] == 503
        board.publish(PollerStatus("a", "1", state))
        assert ask(port, "/healthz")[0] == code
        assert ask(port, "/livez")[0] == 200
        clock.now += 1e6
        assert ask(port, "/healthz")[0] == 503


def test_status_is_the_newest_snapshot():
    board = Board()
    with serving(board) as port:
        code, kind, body = ask(port, "/status")
        assert (code, json.loads(body)["state"]) == (200, "starting")
        board.publish(STATUS)
        board.beat(NOW - 0.25)
        code, kind, body = ask(port, "/status?pretty")
        assert (code, kind) == (200, "application/json; charset=utf-8")
        document = json.loads(body)
        loop = {"loop_turned_ago": 0.25, "loop_hangs_after": 30.0}
        assert document == {**json.loads(json.dumps(as_document(STATUS, NOW, WALL))), **loop}


def test_a_loop_that_hangs_is_red_although_its_last_snapshot_is_not():
    board, clock = Board(), Clock(NOW)
    board.publish(PollerStatus("a", "1", "running"))
    board.beat(NOW)
    with serving(board, clock) as port:
        assert json.loads(ask(port, "/status")[2])["red"] is False
        assert '\ndatahub_poller_red{action="a"} 0\n' in ask(port, "/metrics")[2]
        clock.now += 31.0
        document = json.loads(ask(port, "/status")[2])
        assert (document["red"], document["reasons"]) == (True, ["the loop has not turned for 31 s"])
        page = ask(port, "/metrics")[2]
        assert '\ndatahub_poller_red{action="a"} 1\n' in page
        assert '\ndatahub_poller_seconds_since_loop_turned{action="a"} 31\n' in page


def test_status_holds_no_secret():
    board = Board()
    secret = 'pa"ss word'
    lane = PartitionStatus(topic="mcl", partition=0, state="backing_off", last_error=f"401 for {secret}")
    board.publish(PollerStatus("a", "1", "running", reasons=(f"bad {secret}",), partitions=(lane,)))
    with serving(board, scrub=frozenset({secret})) as port:
        body = ask(port, "/status")[2]
    assert "word" not in body
    assert json.loads(body)["partitions"][0]["last_error"] == "401 for ********"


def test_text_that_is_no_utf8_is_still_served():
    board = Board()
    board.publish(PollerStatus("a", "1", "running", reasons=("bad \ud800 \x1b[2J",)))
    with serving(board) as port:
        assert json.loads(ask(port, "/status")[2])["reasons"] == ["bad \\ud800 \x1b[2J"]


@pytest.mark.parametrize("path", ["/", "/metrics/", "/livez/", "/status/../etc/passwd", "/status%00"])
def test_other_paths_are_not_found(path):
    with serving(published()) as port:
        assert ask(port, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"])
def test_only_get_is_answered(method):
    with serving(published()) as port:
        assert ask(port, "/status", method)[0] == 501


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:9999", 200),
        ("[::1]:80", 200),
        ("[::1]", 200),
        ("[::ffff:127.0.0.1]:80", 200),
        ("[127.0.0.1]", 403),
        ("[fd00::1]", 403),
        ("::1", 403),
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        (":80", 403),
    ],
)
def test_a_page_that_reaches_in_under_a_name_of_its_own_is_refused(host, code):
    with serving(published()) as port:
        assert ask(port, "/status", headers={"Host": host})[0] == code


def test_a_second_host_header_does_not_get_past():
    with serving(published()) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert b" 403 " in raw.recv(64)


@pytest.mark.parametrize("request_line", [b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_what_is_no_request_is_refused_and_the_next_one_answered(request_line):
    with serving(published()) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, contextlib.suppress(ConnectionError):
            raw.sendall(request_line)
            assert re.match(rb"(HTTP/1.0 )?4\d\d ", raw.recv(4096))
        assert ask(port, "/livez")[0] == 200


def test_clients_that_go_away_or_say_nothing_leave_no_noise_and_room_for_others(capfd):
    with serving(published()) as port:
        silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(CONNECTIONS + 4)]
        for each in silent:
            each.close()
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                assert ask(port, "/livez")[0] == 200
                break
            assert time.monotonic() < deadline
    assert capfd.readouterr() == ("", "")


def test_no_more_connections_are_held_than_there_is_room_for():
    with serving(published()) as port:
        before = threading.active_count()
        held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(CONNECTIONS)]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one_more:
            assert one_more.recv(1) == b""
        assert threading.active_count() <= before + CONNECTIONS
        for each in held:
            each.close()


def test_the_port_is_on_loopback_only():
    with serving(published()) as port:
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        local = [fields[1] for fields in listening if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")]
        assert local == [f"0100007F:{port:04X}"]


def test_a_port_in_use_is_named_with_the_way_out():
    with serving(published()) as port, pytest.raises(CannotStart) as refusal:
        StatusServer(Board(), port).start()
    assert f"127.0.0.1:{port}: Address already in use." in str(refusal.value)
    assert "status.port" in str(refusal.value)
    assert "--status-port 0" in str(refusal.value)


def test_a_port_that_is_none_is_named():
    with pytest.raises(CannotStart, match=r"127\.0\.0\.1:70000"):
        StatusServer(Board(), 70_000).start()


def test_closing_is_quick_frees_the_port_and_may_be_repeated():
    server = StatusServer(published(), 0)
    port = server.start()
    hanging = socket.create_connection(("127.0.0.1", port), timeout=10)
    started = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - started < 4.5  # a request that hangs is left after 5
    hanging.close()
    again = StatusServer(published(), port)
    assert again.start() == port
    again.close()


def test_what_is_fetched_is_what_is_served():
    with serving(published()) as port:
        assert fetch_status(port)["action"] == "tag-sync"


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(published()) as port:
        assert fetch_status(port)["state"] == "waiting"


def test_where_nothing_listens_the_message_says_what_to_look_at():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(PollerError, match=rf":{port}/status cannot be reached: Connection refused.*status\.port"):
            fetch_status(port)


def test_a_port_that_stays_silent_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(PollerError, match=r"not .* within 0\.2 s"):
        fetch_status(silent.getsockname()[1], timeout=0.2)


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        (200, b"hello", "answered no JSON"),
        (200, b"[1]", "answered other JSON"),
        (200, b'{"a": 1}', "answered other JSON"),
        (404, b"{}", "answered 404"),
        (302, b"", "answered 302"),
    ],
)
def test_something_else_on_the_port_is_told_apart(code, body, words):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(PollerError, match=f"{words}.*no poller's status port"):
            fetch_status(server.server_port)
        thread.join(10)


def seen(status: dict) -> str:
    out = io.StringIO()
    render(status, out)
    return out.getvalue()


def test_plain_output_says_it_all_in_lines_that_are_not_cut():
    shown = seen({**as_document(STATUS, NOW, WALL), "loop_turned_ago": 0.25})
    assert shown.splitlines() == [
        "tag-sync 0.1.0: waiting (RED), up 1 h 1 min, 2 partitions, loop turned 0.2 s ago",
        "  ! mcl-3 waits for glue schema 1-2",
        "  waiting for glue schema 1-2 since 2026-01-02T03:03:00Z, asked 7 times: 503 Service Unavailable",
        "  breaker open: 20 letters in a row of 20",
        "  buffer 4,096 of 67,108,864 bytes",
        "  delivered=12 letters=1",
        "",
        "partition  state           for        settled  lag  held  attempts  next try",
        "mcl-0      idle            -                -    -     0         0  -",
        "mcl-3      waiting schema  1 min 5 s       17   23     9         0  in 4 s",
        "    glue schema 1-2: 503 Service Unavailable",
    ]


def test_no_line_is_broken_however_long_its_topic():
    partition = PartitionStatus(topic="t" * 249, partition=0, state="halted", last_error="e" * 500)
    shown = seen(as_document(PollerStatus("a", "1", "halted", partitions=(partition,)), NOW, WALL))
    assert len(shown.splitlines()) == 5


def test_a_terminal_gets_colour_and_no_markup_from_names_and_errors(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    odd = PartitionStatus(topic="[red]t[/red]", partition=0, state="halted", last_error="[/] \x1b[2J boom")
    out = Terminal()
    render(as_document(PollerStatus("a", "1", "halted", red=True, partitions=(odd,)), NOW, WALL), out)
    assert "[red]t[/red]-0" in out.getvalue()
    assert "\x1b[1;31ma 1: halted (RED)" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_a_status_of_another_version_or_of_nonsense_is_shown_as_far_as_it_goes():
    assert seen({"state": "starting"}) == "starting (ok)\n"
    odd = {"state": 7, "reasons": 3, "partitions": [1, {}], "schemas": {}, "breaker": [], "buffer": {}, "counters": 1}
    assert seen(odd).startswith("7 (ok)\n")
    assert details(odd) == []
    assert headline({"state": "running", "assigned": 1}) == "running (ok), 1 partition"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3_725, "1 h 2 min"), (180_000, "2 d 2 h")],
)
def test_durations_have_two_units_at_most(seconds, words):
    assert duration(seconds) == words
