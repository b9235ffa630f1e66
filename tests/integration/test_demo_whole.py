"""The demo as a user runs it: the command, the real poller, and numbers that add up."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest
from confluent_kafka import Consumer

COMMAND = [sys.executable, "-m", "datahub_poller"]
LIMIT_SECONDS = 15


def environment(**more):
    return {**os.environ, "NO_COLOR": "1", **more}


def command(*words, **more):
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *words], check=False, capture_output=True, text=True, timeout=60, env=environment(**more)
    )


def test_the_demo_adds_up_within_fifteen_seconds(tmp_path):
    for number in range(3):  # of three on a busy machine, one
        directory = tmp_path / str(number)
        directory.mkdir()
        began = time.monotonic()
        ended = command("demo", TMPDIR=str(directory))
        seconds = time.monotonic() - began
        if seconds < LIMIT_SECONDS or ended.returncode:
            break
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "Every record was delivered or dead-lettered, none was lost, all is committed." in ended.stdout
    assert re.search(r"records produced +302\n +events delivered +300 ", ended.stdout)
    assert re.search(r"dead-lettered +1 .*\n +undecodable +1 ", ended.stdout)
    assert seconds < LIMIT_SECONDS
    (place,) = directory.iterdir()
    (letter,) = (place / "letters" / "demo" / "failed_events.log").read_text().splitlines()
    assert json.loads(letter)["event"]["modifier"] == "urn:li:corpuser:zoe.nobody"
    assert len((place / "letters" / "demo" / "undecodable.log").read_text().splitlines()) == 1


def test_keep_leaves_a_broker_and_registries_that_a_poller_of_ones_own_can_use(tmp_path):
    output = tmp_path / "output"
    with output.open("wb") as out:
        kept = subprocess.Popen(
            [*COMMAND, "demo", "--keep"], stdout=out, stderr=subprocess.STDOUT, env=environment(TMPDIR=str(tmp_path))
        )
    try:
        ends = time.monotonic() + 40
        while "change it, run again" not in output.read_text():  # the last line
            assert kept.poll() is None, output.read_text()
            assert time.monotonic() < ends, output.read_text()
            time.sleep(0.1)
        said = output.read_text()
        consumer = Consumer({"bootstrap.servers": re.search(r"  Kafka +(\S+:\d+)", said)[1], "group.id": "x"})
        with closing(consumer):
            assert "PlatformEvent_v1" in consumer.list_topics(timeout=5).topics
        exported = dict(it.split("=") for it in re.search(r"export (.*)", said)[1].split())
        (check,) = re.findall(r"  \S*datahub-poller (check .*)", said)
        checked = command(*shlex.split(check), **exported)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        kept.send_signal(signal.SIGINT)
        assert kept.wait(30) == 0, output.read_text()
        assert "broker and registries are stopped" in output.read_text()
        assert "Traceback" not in output.read_text()
    finally:
        kept.kill()
        kept.wait()


def test_a_demo_in_a_terminal_draws_a_picture(tmp_path):
    script = pytest.importorskip("pty")
    read, write = script.openpty()
    demo = subprocess.Popen(
        [*COMMAND, "demo"], stdin=write, stdout=write, stderr=write, env=environment(TMPDIR=str(tmp_path), TERM="xterm")
    )
    os.close(write)
    seen = bytearray()
    try:
        while chunk := os.read(read, 65536):
            seen += chunk
    except OSError:  # the terminal's other end is closed
        pass
    finally:
        os.close(read)
    assert demo.wait(30) == 0, seen.decode(errors="replace")
    assert b"committed offsets, as the broker has them" in seen
    assert b"Every record was delivered or dead-lettered" in seen
