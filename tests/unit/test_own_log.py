"""The poller's own lines come out whatever the user's code does to `logging` and to standard error."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datahub_poller.observe.logs import get_logger, log_event, say, setup
from datahub_poller.observe.own_loggers import ROOT
from datahub_poller.observe.standard_error import Duplicate, Nowhere, Stream, standard_error

pytestmark = pytest.mark.usefixtures("logging_as_before")
LOG = get_logger("datahub_poller.own")

PROGRAM = """
import contextlib, io, logging, logging.config, os, pathlib, sys, threading, warnings
from datahub_poller.observe.logs import get_logger, log_event, say, setup
from datahub_poller.observe.standard_error import hold_standard_descriptors

HERE = pathlib.Path(sys.argv[1])
OWN, ROOT = get_logger("datahub_poller"), logging.getLogger()

def tell(event):
    log_event(OWN, logging.INFO, event, password="hunter2hunter2")

def refuses(*args, **more):
    raise RuntimeError("no record")

class Silent(logging.Logger):
    def handle(self, record):
        pass
"""
BEGIN = """
setup("info", "json", scrub={"hunter2hunter2"})
tell("begin")
"""
END = """
tell("end")
say("a line for people")
get_logger("datahub_poller.made.later").warning("later")
os._exit(0)
"""
CONFIGURED = """
(HERE / "logging.ini").write_text(
    "[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n[logger_root]\\nlevel=CRITICAL\\nhandlers=\\n")
"""
WAYS = {
    "dictConfig": "logging.config.dictConfig({'version': 1, 'root': {'level': 'CRITICAL', 'handlers': []}})",
    "dictConfig-by-name": (
        "logging.config.dictConfig({'version': 1, 'loggers': {'datahub_poller': "
        "{'level': 'CRITICAL', 'handlers': [], 'propagate': False}}})"
    ),
    "fileConfig": CONFIGURED + "logging.config.fileConfig(HERE / 'logging.ini')",
    "basicConfig": "logging.basicConfig(force=True, level='CRITICAL', stream=io.StringIO())",
    "disable": "logging.disable(logging.CRITICAL)",
    "shutdown": "logging.shutdown()",
    "root-handlers": "ROOT.handlers.clear()",
    "root-level": "ROOT.setLevel(logging.CRITICAL)",
    "root-filter": "ROOT.addFilter(lambda record: False); ROOT.handlers[0].addFilter(lambda record: False)",
    "disabled-by-name": "logging.getLogger('datahub_poller').disabled = True",
    "handlers-by-name": (
        "logging.getLogger('datahub_poller').propagate = False; "
        "logging.getLogger('datahub_poller').handlers = [logging.NullHandler()]"
    ),
    "raiseExceptions": "logging.raiseExceptions = False",
    "record-factory": "logging.setLogRecordFactory(refuses)",
    "logger-class": "logging.setLoggerClass(Silent)",
    "level-names": "logging.addLevelName(logging.INFO, '\\x1b[1mInformation\\x1b[0m')",
    "lock-held": "threading.Thread(target=logging._lock.acquire).start(); __import__('time').sleep(0.1)",
    "stderr-closed": "sys.stderr.close()",
    "stderr-none": "sys.stderr = None",
    "stderr-redirected": "contextlib.redirect_stderr(io.StringIO()).__enter__()",
    "descriptor-closed": "os.close(2)",
    "descriptor-reused": "os.close(2); OTHER = open(HERE / 'theirs', 'wb'); assert OTHER.fileno() == 2",
    "descriptor-replaced": "os.dup2(os.open(HERE / 'theirs', os.O_CREAT | os.O_WRONLY), 2)",
    "all-others-closed": "os.closerange(3, 256)",
    "all-others-reused": "os.closerange(3, 256); OTHERS = [open(HERE / 'theirs', 'ab') for _ in range(20)]",
}


def ran(tmp_path: Path, program: str, *, shell: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, str(tmp_path)]
    if shell:
        command = ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", *command]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_what_the_users_code_does_does_not_silence_the_poller(tmp_path, way):
    done = ran(tmp_path, f"{PROGRAM}{BEGIN}{WAYS[way]}{END}")
    assert done.returncode == 0, done.stderr
    begin, end, people, later = done.stderr.splitlines()
    assert [json.loads(line)["event"] for line in (begin, end, later)] == ["begin", "end", "later"]
    assert json.loads(end)["level"] == "info"
    assert "hunter2" not in done.stderr
    assert people == "a line for people"
    theirs = tmp_path / "theirs"
    assert not theirs.exists() or theirs.read_bytes() == b""


def test_when_standard_error_and_its_duplicate_are_gone_nothing_is_written_anywhere(tmp_path):
    program = "os.closerange(2, 256); OTHERS = [open(HERE / 'theirs', 'ab') for _ in range(20)]"
    done = ran(tmp_path, f"{PROGRAM}{BEGIN}{program}{END}")
    assert done.returncode == 0
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["begin"]
    assert (tmp_path / "theirs").read_bytes() == b""


@pytest.mark.parametrize("hold", ["hold_standard_descriptors()", ""])
def test_with_standard_error_closed_from_the_beginning_no_file_gets_the_lines(tmp_path, hold):
    program = f"{PROGRAM}{hold}\nTHEIRS = open(HERE / 'theirs', 'wb')\n{BEGIN}"
    if hold:  # what a library in C prints, too
        program += "os.write(2, b'librdkafka says')\n"
    done = ran(tmp_path, f"{program}{END}", shell="2>&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "theirs").read_bytes() == b""


def test_streams_that_were_closed_from_the_beginning_take_what_is_printed(tmp_path):
    program = "hold_standard_descriptors()\nprint('x', flush=True)\nprint('x', file=sys.stderr)\n"
    program += "os._exit(sys.stderr.fileno())"
    assert ran(tmp_path, PROGRAM + program, shell=">&- 2>&-").returncode == 2


def test_a_program_that_is_started_gets_what_was_held_and_no_duplicate(tmp_path):
    script = "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> /\\1 /p'"
    program = f"import subprocess\nhold_standard_descriptors()\n{BEGIN}subprocess.run(['/bin/sh', '-c', {script!r}])"
    listed = ran(tmp_path, f"{PROGRAM}{program}", shell="2>&- <&-").stdout
    found = dict(line.split(" ", 1) for line in listed.splitlines() if "/proc/" not in line)
    assert {found.pop("0"), found.pop("2")} == {"/dev/null"}
    assert list(found) == ["1"]


def test_a_reader_that_has_gone_away_or_a_full_disk_raises_nothing(tmp_path):
    gone = "reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 2)\n"
    done = ran(tmp_path, f"{PROGRAM}{gone}{BEGIN}{END}")
    assert done.returncode == 0
    assert ran(tmp_path, f"{PROGRAM}{BEGIN}{END}", shell="2>/dev/full").returncode == 0


def test_a_pipe_that_somebody_made_non_blocking_loses_nothing(tmp_path):
    program = f"os.set_blocking(2, False)\n{BEGIN}for number in range(300): tell('x' * 1000)\n{END}"
    done = ran(tmp_path, PROGRAM + program)
    assert len(done.stderr.splitlines()) == 304


def test_the_users_lines_and_ours_go_each_their_way(capfd):
    setup("info", "json")
    theirs = logging.getLogger("theirs")
    theirs.info("by the poller's form")
    logging.getLogger().handlers.clear()
    theirs.info("to nobody")
    logging.getLogger().setLevel(logging.DEBUG)
    log_event(LOG, logging.DEBUG, "below our level")
    log_event(LOG, logging.INFO, "ours")
    events = [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()]
    assert events == ["by the poller's form", "ours"]


def test_a_logger_of_ours_is_one_for_its_name_and_none_of_loggings():
    assert get_logger("datahub_poller.own") is LOG
    assert logging.getLogger("datahub_poller.own") is not LOG
    assert ROOT is not logging.getLogger()


def test_where_lines_go_is_chosen_by_what_standard_error_is(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(standard_error(), Nowhere)
    monkeypatch.undo()
    duplicate = standard_error()
    assert isinstance(duplicate, Duplicate)
    duplicate.write(b"by the duplicate\n")
    duplicate.close()
    duplicate.close()
    assert capfd.readouterr().err == "by the duplicate\n"


def test_setting_up_again_leaves_no_descriptor_open(capfd):
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    setup("info", "text")
    before = count()
    for _ in range(10):
        setup("info", "text")
    assert count() <= before


def test_a_stream_without_a_descriptor_is_written_to_as_it_is(capsys):
    setup("info", "text")
    say("to whoever has replaced it")
    assert isinstance(standard_error(), Stream)
    assert capsys.readouterr().err == "to whoever has replaced it\n"
