"""`status`: what a running poller says of itself, and what the command says where there is none."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
import yaml

from datahub_poller.demo.broker import MockCluster
from support.action_files import with_keys
from support.bad_servers import accepting, dripping_server, silent_server
from support.brokers import MockBed
from support.commands import POLLER, environment, ran
from support.running import Running, Stage

RECORDS = 7


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with MockCluster() as cluster:
        cluster.rebalance_delay(50)
        with Stage(MockBed(cluster), tmp_path_factory.mktemp("status"), lambda name: f"{name}-status") as stage:
            stage.create(2, "pe")
            stage.send("pe", 0, RECORDS)
            yield stage


@pytest.fixture(scope="module")
def poller(stage: Stage) -> Running:
    """One that has delivered all there is."""
    poller = stage.start(stage.action({"status/port": free_port()}))
    poller.status_when(lambda status: settled(status) == RECORDS, "not all is settled")
    return poller


def settled(status: dict) -> int:
    return sum(partition["settled"] or 0 for partition in status["partitions"])


def port_of(poller: Running) -> int:
    port = urlsplit(poller.lines("status is served")[0]["url"]).port
    assert port is not None
    return port


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# -- a running poller


def test_it_shows_the_action_and_each_partition(poller: Running, stage: Stage, tmp_path: Path) -> None:
    done = ran("status", "--port", str(port_of(poller)), cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    headline, *lines = done.out.splitlines()
    assert headline.startswith(f"{stage.name} ")
    assert ": running (ok), up " in headline
    assert "2 partitions" in headline
    rows = [line for line in lines if line.startswith(stage.topics["pe"])]
    assert [row.split()[0] for row in rows] == [f"{stage.topics['pe']}-{number}" for number in (0, 1)]
    assert rows[0].split()[1] == "idle"
    assert "\x1b" not in done.out


def test_its_json_is_what_the_status_port_serves(poller: Running, stage: Stage, tmp_path: Path) -> None:
    done = ran("status", "--port", str(port_of(poller)), "--json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert (document["action"], document["state"], document["red"]) == (stage.name, "running", False)
    assert settled(document) == RECORDS
    served = poller.status()
    assert served is not None
    assert document.keys() == served.keys()


def test_it_takes_the_port_from_the_action_file(poller: Running, stage: Stage, tmp_path: Path) -> None:
    done = ran("status", "-c", action_file(tmp_path, port_of(poller)), cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{stage.name} ")


def test_a_port_given_wins_over_the_files(poller: Running, tmp_path: Path) -> None:
    file = action_file(tmp_path, free_port())
    done = ran("status", "-c", file, "--port", str(port_of(poller)), cwd=tmp_path)
    assert done.code == 0


def test_the_environment_s_proxies_are_not_asked(poller: Running, tmp_path: Path) -> None:
    done = ran(
        "status",
        "--port",
        str(port_of(poller)),
        cwd=tmp_path,
        environ={"http_proxy": "http://127.0.0.1:1", "NO_PROXY": ""},
    )
    assert done.code == 0


def test_a_red_poller_says_why(stage: Stage, tmp_path: Path) -> None:
    # Nothing of its registry is there: the records wait for their schema.
    keys = {
        "name": "red",
        "status/port": free_port(),
        "source/config/connection/schema_registry_url": f"http://127.0.0.1:{free_port()}",
    }
    poller = stage.start(stage.action(keys), log="red.log")
    poller.status_when(lambda status: status["red"], "it never turns red")
    done = ran("status", "--port", str(port_of(poller)), cwd=tmp_path)
    assert done.code == 0
    assert "(RED)" in done.out.splitlines()[0]
    assert "waiting schema" in done.out
    assert "Connection refused" in done.out
    assert poller.stop() == 0


def test_a_stopped_poller_does_not_answer(stage: Stage, tmp_path: Path) -> None:
    poller = stage.start(stage.action({"name": "stops", "status/port": free_port()}), log="stops.log")
    poller.wait_for("started")
    port = port_of(poller)
    assert ran("status", "--port", str(port), cwd=tmp_path).code == 0
    assert poller.stop() == 0
    done = ran("status", "--port", str(port), cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert f"http://127.0.0.1:{port}/status cannot be reached: Connection refused." in done.err


def test_a_poller_that_is_held_still_is_told_from_one_that_is_gone(stage: Stage, tmp_path: Path) -> None:
    poller = stage.start(stage.action({"name": "held", "status/port": free_port()}), log="held.log")
    poller.wait_for("started")
    poller.signal(signal.SIGSTOP)
    try:
        done = ran("status", "--port", str(port_of(poller)), cwd=tmp_path)
    finally:
        poller.signal(signal.SIGCONT)
    assert done.code == 1
    assert "did not answer within 5 s" in done.err
    assert poller.stop() == 0


# -- no poller


def action_file(directory: Path, port: object) -> str:
    path = directory / "action.yaml"
    path.write_text(yaml.safe_dump(with_keys({"status.port": port})))
    return str(path)


def test_where_nothing_listens_it_says_what_to_look_at(tmp_path: Path) -> None:
    port = free_port()
    done = ran("status", "--port", str(port), cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"datahub-poller: http://127.0.0.1:{port}/status cannot be reached: Connection refused. Is")
    assert "status.port (or --status-port)" in line


class Other(BaseHTTPRequestHandler):
    """Some server of somebody else's."""

    answer: tuple[int, str] = (200, "{}")

    def do_GET(self) -> None:
        code, body = self.answer
        self.send_response(code)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def another(request: pytest.FixtureRequest) -> Callable[[int, str], int]:
    def start(code: int, body: str) -> int:
        handler = type("Answering", (Other,), {"answer": (code, body)})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        request.addfinalizer(server.server_close)
        request.addfinalizer(server.shutdown)
        return int(server.server_address[1])

    return start


@pytest.mark.parametrize(
    ("code", "body", "says"),
    [
        (HTTPStatus.NOT_FOUND, "nothing here", "answered 404 Not Found: this is no poller's status port"),
        (HTTPStatus.OK, "<html>", "answered no JSON: this is no poller's status port"),
        (HTTPStatus.OK, '{"up": true}', "answered other JSON: this is no poller's status port"),
        (HTTPStatus.OK, "[1]", "answered other JSON"),
        (HTTPStatus.FOUND, "", "answered 302"),
        (HTTPStatus.BAD_GATEWAY, "", "answered 502"),
    ],
)
def test_another_web_server_is_no_poller(
    code: int, body: str, says: str, another: Callable[[int, str], int], tmp_path: Path
) -> None:
    port = str(another(code, body))
    for command in ("status", "explain"):
        done = ran(command, "--port", port, cwd=tmp_path)
        assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
        assert says in done.err


def test_a_server_that_is_silent_is_given_five_seconds(tmp_path: Path) -> None:
    with silent_server() as port:
        done = ran("status", "--port", str(port), cwd=tmp_path, patience=20)
    assert (done.code, done.out) == (1, "")
    assert "did not answer within 5 s" in done.err


def test_a_server_that_never_ends_is_given_up(tmp_path: Path) -> None:
    with dripping_server() as port:
        done = ran("status", "--port", str(port), cwd=tmp_path, patience=30)
    assert (done.code, done.out) == (1, "")
    assert "did not answer within" in done.err


def test_a_server_that_speaks_no_http_is_no_poller(tmp_path: Path) -> None:
    def greet(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"220 mail.example ready\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server, accepting(server, greet):
        done = ran("status", "--port", str(server.getsockname()[1]), cwd=tmp_path)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert "answered what is no HTTP (220 mail.example ready): this is no poller's status port" in done.err


# -- a file without a port


@pytest.mark.parametrize(
    ("port", "says"),
    [
        ("off", "status.port is off: this poller cannot be asked"),
        (0, "status.port is 0, any free port: its log line 'status is served' tells which. Give it with --port"),
    ],
)
def test_a_file_that_names_no_port_to_ask_is_wrong_use(port: object, says: str, tmp_path: Path) -> None:
    done = ran("status", "-c", action_file(tmp_path, port), cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_a_file_that_cannot_be_read_here_leaves_the_port_to_be_given(tmp_path: Path) -> None:
    path = tmp_path / "action.yaml"
    path.write_text(yaml.safe_dump(with_keys({"name": "${ONLY_IN_THE_CONTAINER}"})))
    done = ran("status", "-c", str(path), cwd=tmp_path)
    assert done.code == 2
    assert "the environment variable ONLY_IN_THE_CONTAINER is not set" in done.err
    assert (
        done.err.splitlines()[-1]
        == "datahub-poller: the port can also be given by itself: --port PORT, and the address by --host"
    )


def test_a_file_whose_letters_would_be_lost_elsewhere_can_still_be_asked_with(tmp_path: Path) -> None:
    # Whoever asks may sit in another container than the poller does.
    port = free_port()
    done = ran("status", "-c", action_file(tmp_path, port), cwd=tmp_path, environ={"container": "podman"})
    assert done.code == 1
    assert f"127.0.0.1:{port}/status cannot be reached" in done.err


def test_a_reader_that_goes_away_makes_no_traceback(poller: Running, tmp_path: Path) -> None:
    command = [*POLLER, "status", "--port", str(port_of(poller))]
    with subprocess.Popen(
        command, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait(20)
    assert err == ""
