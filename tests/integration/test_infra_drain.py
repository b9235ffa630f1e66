"""infra/ec2/drain.sh against an instance metadata service on loopback, with stand-ins for systemctl and aws.

By itself, and as the unit runs it that a machine's first script has installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.first_start import DOCUMENT, FirstStart
from support.pretend_machine import Machine, missing
from support.templates import INFRA
from support.tether import tethered
from support.units import Unit

pytestmark = [pytest.mark.timeout(60), pytest.mark.deep]
SCRIPT = INFRA / "ec2" / "drain.sh"
TOKEN = "a-token"
curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here (apt-get install curl)")
SPOT = {"spot/instance-action": '{"action": "terminate", "time": "2026-01-31T08:02:00Z"}'}
SCALE_IN = {"autoscaling/target-lifecycle-state": "Terminated"}
STAYS = {"autoscaling/target-lifecycle-state": "InService"}


class Metadata:
    """Version 2 of the service: no answer without the token; what is not in `says` is 404."""

    def __init__(self):
        self.says = {"instance-id": "i-0123", "placement/region": "eu-west-1"}
        self.looks = 0
        self.failing = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                assert self.path == "/latest/api/token"
                assert int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
                failed, service.failing = service.failing > 0, max(0, service.failing - 1)
                self.answer(None if failed else TOKEN)

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


def stand_ins(directory, calls):
    """What is called is a line each in `calls`."""
    calls.touch()
    for name in ("systemctl", "aws"):
        program = directory / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\nexit ${{CODE_{name}:-0}}\n')
        program.chmod(0o755)


@pytest.fixture
def drained(metadata, tmp_path):
    """Starts the script."""
    calls = tmp_path / "calls"
    stand_ins(tmp_path, calls)
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


STOP = "systemctl stop datahub-poller@*.service"
TOLD = (
    "aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name drain "
    "--auto-scaling-group-name pollers --instance-id i-0123 --region eu-west-1"
)


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@curl
def test_the_pollers_are_stopped_and_then_the_group_goes_on(metadata, drained):
    metadata.says |= SCALE_IN
    process = drained(HOOK="drain", GROUP="pollers")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0, out
    assert drained.calls() == [STOP, TOLD]


@curl
def test_after_a_spot_interruption_the_group_is_told_when_it_asks(metadata, drained):
    """Before that there is no action of its hook that could be completed: the answer would be an error."""
    metadata.says |= STAYS | SPOT
    process = drained(HOOK="drain", GROUP="pollers")
    until(drained.calls)
    looks = metadata.looks
    until(lambda: metadata.looks > looks + 3)
    assert process.poll() is None
    assert drained.calls() == [STOP]
    metadata.says |= SCALE_IN
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert drained.calls() == [STOP, TOLD]


@curl
def test_a_spot_machine_without_a_group_is_drained(metadata, drained):
    metadata.says |= SPOT
    process = drained()
    process.communicate(timeout=20)
    assert (process.returncode, drained.calls()) == (0, [STOP])


@curl
def test_the_last_lines_have_time_to_be_sent_before_the_group_goes_on(metadata, drained):
    metadata.says |= SCALE_IN
    began = time.monotonic()
    process = drained(HOOK="drain", GROUP="pollers", LINGER="1")
    until(drained.calls)
    assert drained.calls() == [STOP]
    process.communicate(timeout=20)
    assert time.monotonic() - began >= 1
    assert drained.calls() == [STOP, TOLD]


@curl
def test_a_metadata_service_that_fails_now_and_then_is_asked_again(metadata, drained):
    metadata.says |= SCALE_IN
    metadata.failing = 3
    process = drained(HOOK="drain", GROUP="pollers")
    process.communicate(timeout=20)
    assert drained.calls() == [STOP, TOLD]
    assert metadata.failing == 0


@curl
def test_a_machine_that_stays_is_left_alone_until_it_is_to_go(metadata, drained):
    metadata.says |= STAYS
    process = drained()
    until(lambda: metadata.looks >= 4)
    assert process.poll() is None
    assert drained.calls() == []
    metadata.says |= SCALE_IN
    process.communicate(timeout=20)
    assert drained.calls() == [STOP]


@curl
def test_pollers_that_cannot_be_stopped_do_not_hold_up_the_group(metadata, drained):
    metadata.says |= SCALE_IN
    process = drained(HOOK="drain", GROUP="pollers", CODE_systemctl="1")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "could not stop" in out
    assert drained.calls() == [STOP, TOLD]


@curl
def test_a_group_that_cannot_be_told_is_tried_three_times_and_left_to_its_hook(metadata, drained):
    metadata.says |= SCALE_IN
    process = drained(HOOK="drain", GROUP="pollers", CODE_aws="1")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "was not told" in out
    assert drained.calls() == [STOP, TOLD, TOLD, TOLD]


@curl
def test_without_a_metadata_service_it_goes_on_looking(drained):
    process = drained(IMDS="http://127.0.0.1:9")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)


@curl
@pytest.mark.skipif(bool(missing()), reason=missing() or "it can")
def test_the_unit_s_own_line_drains_and_answers_the_group_s_hook(metadata, tmp_path):
    """As it was installed: the unit, what it runs and its variables, of which the last two alone are the test's."""
    first = FirstStart(tmp_path)
    assert first.run().returncode == 0
    written, variables = tmp_path / "written", first.machine / "etc/datahub-poller-drain.env"
    written.mkdir()
    variables.write_text(variables.read_text().replace("LINGER=10", "LINGER=0") + f"IMDS={metadata.url}\nEVERY=0.05\n")
    unit = Unit(first.machine / "etc/systemd/system/datahub-poller-drain.service")
    metadata.says |= STAYS
    with Machine(first.machine, written) as machine:
        stand_ins(first.machine / "usr/local/sbin", written / "calls")
        until(lambda: machine.ready)
        process = subprocess.Popen(tethered([sys.executable, *machine.program(unit)]))
        try:
            until(lambda: metadata.looks >= 2)
            assert (written / "calls").read_text() == ""
            metadata.says |= SCALE_IN
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    (hook,) = DOCUMENT["Resources"]["Group"]["Properties"]["LifecycleHookSpecificationList"]
    told = TOLD.replace("-name drain", f"-name {hook['LifecycleHookName']}").replace(
        "pollers --instance", "g --instance"
    )
    assert (written / "calls").read_text().splitlines() == [STOP, told]
