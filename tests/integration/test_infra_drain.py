"""infra/ec2/drain.sh against an instance metadata service on loopback, with stand-ins for systemctl and aws."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.templates import INFRA

pytestmark = pytest.mark.timeout(60)
SCRIPT = INFRA / "ec2" / "drain.sh"
UNIT = INFRA / "ec2" / "datahub-poller-drain.service"
TOKEN = "a-token"
curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here (apt-get install curl)")
analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
SPOT = {"spot/instance-action": '{"action": "terminate", "time": "2026-01-31T08:02:00Z"}'}
SCALE_IN = {"autoscaling/target-lifecycle-state": "Terminated"}
STAYS = {"autoscaling/target-lifecycle-state": "InService"}


class Metadata:
    """Version 2 of the service: no answer without the token; what is not in `says` is 404."""

    def __init__(self):
        self.says = {"instance-id": "i-0123", "placement/region": "eu-west-1"}
        self.looks = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                assert self.path == "/latest/api/token"
                assert int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
                self.answer(TOKEN)

            def do_GET(self):
                key = self.path.removeprefix("/latest/meta-data/")
                service.looks += key.startswith("autoscaling/")
                allowed = self.headers["X-aws-ec2-metadata-token"] == TOKEN
                self.answer(service.says.get(key) if allowed else None)

            def answer(self, text):
                self.send_response(404 if text is None else 200)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def metadata():
    service = Metadata()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def drained(metadata, tmp_path):
    """Starts the script; what it calls is a line each in `calls`."""
    calls = tmp_path / "calls"
    calls.touch()
    for name in ("systemctl", "aws"):
        stand_in = tmp_path / name
        stand_in.write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\nexit ${{CODE_{name}:-0}}\n')
        stand_in.chmod(0o755)
    started = []

    def start(**environ):
        path = f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin"
        process = subprocess.Popen(
            ["sh", str(SCRIPT)],
            env={"PATH": path, "IMDS": metadata.url, "EVERY": "0.05", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    start.calls = lambda: calls.read_text().splitlines()
    yield start
    for process in started:
        process.kill()
        process.communicate()


@curl
@pytest.mark.parametrize("why", [SPOT, SCALE_IN], ids=["spot", "scale-in"])
def test_the_pollers_are_stopped_and_then_the_group_goes_on(why, metadata, drained):
    metadata.says |= why
    process = drained(HOOK="drain", GROUP="pollers")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    stop, told = drained.calls()
    assert stop == "systemctl stop datahub-poller@*.service"
    assert told == (
        "aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name drain "
        "--auto-scaling-group-name pollers --instance-id i-0123 --region eu-west-1"
    )


@curl
def test_a_machine_that_stays_is_left_alone_until_it_is_to_go(metadata, drained):
    metadata.says |= STAYS
    process = drained()
    end = time.monotonic() + 20
    while metadata.looks < 4:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert process.poll() is None
    assert drained.calls() == []
    metadata.says |= SCALE_IN
    process.communicate(timeout=20)
    assert drained.calls() == ["systemctl stop datahub-poller@*.service"]


@curl
@pytest.mark.parametrize("name", ["systemctl", "aws"])
def test_what_fails_is_said_and_the_rest_is_done(name, metadata, drained):
    metadata.says |= SPOT
    process = drained(HOOK="drain", GROUP="pollers", **{f"CODE_{name}": "1"})
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert len(drained.calls()) == 2
    assert ("could not stop" if name == "systemctl" else "was not told") in out


@curl
def test_without_a_metadata_service_it_goes_on_looking(drained):
    process = drained(IMDS="http://127.0.0.1:9")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)


@analyze
def test_systemd_has_nothing_to_say_of_its_unit(tmp_path):
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text().replace("/opt/datahub-poller/bin/drain.sh", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0"},
    )
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", rated.stdout)
    assert float(level) <= 3.0
