"""A poller that listens on another address than 127.0.0.1, IPv6 too: commands find it there."""

from __future__ import annotations

import json
import socket

import pytest

from datahub_poller.observe.listening import in_url
from support.commands import ran
from support.ipv6 import needs_ipv6
from support.running import Stage

pytestmark = pytest.mark.timeout(90)
ELSEWHERE = "127.0.0.2"
PAUSE = ("pause", "--why", "x", "--json")


def free_port(host: str) -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(params=[ELSEWHERE, "0.0.0.0", "::1", "::"])
def listening(request, stage: Stage):
    """An action file with its running poller's address and port."""
    if ":" in request.param:
        needs_ipv6()
    stage.create(1, "pe")
    port = free_port(request.param)
    file = stage.action({"status/port": port, "status/host": request.param})
    poller = stage.start(file)
    url = in_url(request.param)
    poller.wait_for("status is served", url=f"http://{url}:{port}/status")
    poller.status_when(lambda status: len(status["partitions"]) == 1, "not assigned")
    return file, request.param, port


def test_by_the_action_file_it_is_found_where_it_listens(listening, tmp_path):
    file, host, port = listening
    shown = ran("status", "-c", str(file), cwd=tmp_path)
    assert (shown.code, shown.err) == (0, "")
    assert ran("status", "-c", str(file), "--port", str(port), cwd=tmp_path).code == 0, "the port given beside the file"
    told = ran("explain", "-c", str(file), cwd=tmp_path)
    assert (told.code, told.out) == (0, "1 partition(s), and each has nothing to do or is at it.\n")
    done = ran(*PAUSE, "-c", str(file), cwd=tmp_path)
    # Of an address that is not loopback's the poller takes orders with a token only: 127.0.0.2 is loopback's too.
    assert (done.code, json.loads(done.out)["obeyed"]) == (0, True), host
    assert ran("resume", "-c", str(file), cwd=tmp_path).code == 0


def test_by_its_port_it_is_found_with_its_address(listening, tmp_path):
    _, host, port = listening
    words = ("--port", str(port), "--host", host)
    assert ran("status", *words, cwd=tmp_path).code == 0
    assert ran("explain", *words, cwd=tmp_path).code == 0
    assert ran(*PAUSE, *words, cwd=tmp_path).code == 0
    alone = ran("status", "--port", str(port), cwd=tmp_path)
    if host in (ELSEWHERE, "::1"):
        assert alone.code == 1
        assert f"http://127.0.0.1:{port}/status cannot be reached" in alone.err
        assert "status.host" in alone.err
    else:
        assert alone.code == 0


@pytest.mark.parametrize(
    "host", ["a b", "127.0.0.1/x", "me@there", "", "http://x", "127.0.0.1:80", "::g", "[::1]:80", "fe80::1%eth0"]
)
def test_an_address_that_is_none_is_wrong_use(host, tmp_path):
    done = ran("status", "--host", host, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "is not an address" in done.err
