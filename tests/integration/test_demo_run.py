"""The demo's verdict and its tidiness, with pollers that do nothing right: it must say so and leave nothing behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from datahub_poller.demo.process import PollerProcess, poller_environment
from datahub_poller.demo.run import run_demo

DIES = "import sys; print('I cannot'); sys.exit(3)"
IDLES = "import os, sys, time; open(sys.argv[3] + '.pid', 'w').write(str(os.getpid())); time.sleep(600)"


def demo(tmp_path, code, **settings):
    out = io.StringIO()
    result = run_demo(
        False,
        Console(file=out, width=80),
        directory=tmp_path,
        events=20,
        wave_seconds=0.0,
        command=[sys.executable, "-c", code],
        **settings,
    )
    return result, out.getvalue()


def gone(pid, within=10.0):
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def wait_for(path, within=20.0):
    ends = time.monotonic() + within
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < ends, f"{path} did not appear"
        time.sleep(0.02)
    return path.read_text()


def test_a_poller_that_dies_is_reported_with_its_last_words(tmp_path):
    result, said = demo(tmp_path, DIES)
    assert result == 1
    assert "IT DOES NOT ADD UP" in said
    assert "the poller ended with exit code 3; the last it said:\n    I cannot" in said


def test_a_poller_that_does_nothing_is_given_up_on_and_stopped(tmp_path):
    result, said = demo(tmp_path, IDLES, patience=5.0)
    assert result == 1
    assert "20 records are not delivered" in said
    assert "1 records are not dead-lettered" in said
    assert "is committed up to 0 of" in said
    assert gone(int((tmp_path / "action.yaml.pid").read_text()))


def test_what_the_demo_writes_stays_and_its_files_are_named(tmp_path):
    _, said = demo(tmp_path, DIES)
    for name in ("action.yaml", "demo_handler.py", "poller.log"):
        assert (tmp_path / name).is_file()
        assert str(tmp_path / name) in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_its_poller(tmp_path, number):
    run = (
        "import sys; from pathlib import Path; from rich.console import Console;"
        "from datahub_poller.demo.run import run_demo;"
        "sys.exit(run_demo(False, Console(), directory=Path(sys.argv[1]), command=[sys.executable, '-c', sys.argv[2]]))"
    )
    demo = subprocess.Popen(
        [sys.executable, "-c", run, str(tmp_path), IDLES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    pid = int(wait_for(tmp_path / "action.yaml.pid"))
    demo.send_signal(number)
    said, _ = demo.communicate(timeout=20)
    assert demo.returncode == 130
    assert "interrupted: poller, broker and registries are stopped" in said
    assert "Traceback" not in said
    assert gone(pid)


def test_a_poller_that_does_not_hear_is_killed(tmp_path, monkeypatch):
    from datahub_poller.demo import process

    deaf = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "open(sys.argv[3] + '.pid', 'w').write('1'); time.sleep(600)"
    )
    monkeypatch.setattr(process, "_STOP_SECONDS", 0.2)
    action = tmp_path / "action.yaml"
    poller = PollerProcess([sys.executable, "-c", deaf], action, 1, tmp_path / "log")
    wait_for(Path(f"{action}.pid"))
    assert poller.exit_code is None
    assert poller.status() is None
    assert poller.stop() == -signal.SIGKILL
    assert poller.stop() == -signal.SIGKILL


def test_the_poller_is_not_led_to_real_clusters_accounts_or_proxies():
    environ = {
        "PATH": "/bin",
        "AWS_PROFILE": "production",
        "KAFKA_PROPERTIES_SECURITY_PROTOCOL": "SASL_SSL",
        "DATAHUB_GMS_URL": "x",
        "HTTPS_PROXY": "http://proxy",
        "http_proxy": "http://proxy",
    }
    assert poller_environment(environ) == {
        "PATH": "/bin",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }
