"""What a handler prints, and what commands print, on an output that cannot hold every character."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import ran
from support.running import Stage

pytestmark = pytest.mark.timeout(90)

PRINTING = r"""
import sys
print("loaded caf\u00e9")
import recording_handler

def handle(event, context):
    print("caf\u00e9", "half \ud83d of a pair")
    sys.stdout.write("written \u20ac\n")
    sys.stderr.write("aside \u20ac\n")
    return recording_handler.handle(event, context)
"""
HANDLER = {"handler/config/function": "printing:handle"}
ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(
    ("environ", "printed"),
    [
        (ASCII, r"caf\xe9 half \ud83d of a pair"),
        (C_LOCALE, r"caf\xe9 half \ud83d of a pair"),
        ({"PYTHONIOENCODING": "ascii:strict"}, r"caf\xe9 half \ud83d of a pair"),
        ({"PYTHONIOENCODING": "utf-8"}, r"café half \ud83d of a pair"),
        ({"PYTHONIOENCODING": "ascii:replace"}, "caf? half ? of a pair"),
    ],
)
def test_a_handler_prints_what_the_output_cannot_hold_and_nothing_fails(stage: Stage, environ, printed):
    (stage.directory / "printing.py").write_text(PRINTING)
    stage.create(1, "pe")
    stage.send("pe", 0, 30)
    poller = stage.start(stage.action({**HANDLER, "dead_letter/breaker": {"in_a_row": 5}}), **environ)
    poller.until(stage.drained, "not drained")
    assert poller.stop() == 0
    assert stage.letters() == []
    assert stage.recorded().done == stage.produced
    assert printed in poller.text()


@pytest.mark.parametrize("environ", [ASCII, C_LOCALE])
def test_check_loads_a_handler_that_prints_at_its_import(stage: Stage, environ):
    (stage.directory / "printing.py").write_text(PRINTING)
    stage.create(1, "pe")
    done = ran("check", "-c", str(stage.action(HANDLER)), "--offline", cwd=stage.directory, environ=environ)
    assert (done.code, done.err) == (0, "")
    assert r"loaded caf\xe9" in done.out


def test_a_demo_runs_on_an_ascii_terminal(tmp_path: Path):
    done = ran("demo", cwd=tmp_path, environ=ASCII, patience=80)
    assert done.code == 0, done.all
    assert "Every record was delivered or dead-lettered" in done.out


def test_status_of_an_action_with_a_name_beyond_ascii(stage: Stage):
    stage.create(1, "pe")
    stage.send("pe", 0, 1)
    poller = stage.start(stage.action({"name": "étiquettes"}))
    poller.until(stage.drained, "not drained")
    for command in ("status", "explain"):
        port = poller.wait_for("status is served")["url"].split(":")[-1].partition("/")[0]
        done = ran(command, "--port", port, cwd=stage.directory, environ=ASCII)
        assert done.code == 0, done.err
    assert json.loads(ran("status", "--json", "--port", port, cwd=stage.directory, environ=ASCII).out)["action"]
