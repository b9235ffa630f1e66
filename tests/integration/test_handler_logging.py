"""The poller's log goes on although the handler's code configures logging or closes standard error.

In each family one poller is given an event that it cannot read and one that its handler cannot do, and is stopped: all
of it is told. What the handler logs comes out as the handler has configured it.
"""

from __future__ import annotations

import json

import pytest

from support.brokers import eventually
from support.commands import ran, started
from support.running import Running, Stage

HANDLER = """
import contextlib, io, logging, logging.config, os, pathlib, signal, sys
import recording_handler
from recording_handler import HERE

LOG = logging.getLogger("mine")

def at_a_call():
    pass

{code}

def handle(event, context):
    at_a_call()
    LOG.warning("called with my-secret-value")
    for handler in logging.getLogger().handlers:
        handler.flush()
    return recording_handler.handle(event, context)
"""
TO_FILE = "{'class': 'logging.FileHandler', 'filename': str(HERE / 'mine.log'), 'formatter': 'short'}"
DICT_CONFIG = f"""
logging.config.dictConfig({{
    "version": 1,
    "formatters": {{"short": {{"format": "MINE %(message)s"}}}},
    "handlers": {{"file": {TO_FILE}}},
    "root": {{"level": "WARNING", "handlers": ["file"]}},
}})
LOG.disabled = False
"""
BASIC_CONFIG = "logging.basicConfig(force=True, level='ERROR', format='MINE %(message)s')\nLOG.setLevel('WARNING')"
LATER = "def at_a_call():\n    "
# What the handler's code does, and how its own lines come out: in its file, as they are, in our form, or not at all.
WAYS = {
    "dictConfig": (DICT_CONFIG, "file"),
    "basicConfig-force": (BASIC_CONFIG, "plain"),
    "disable": ("logging.disable(logging.CRITICAL)", "nowhere"),
    "shutdown": ("logging.shutdown()", "form"),
    "standard-error-closed": ("sys.stderr.close()", "form"),
    "descriptor-closed": ("os.close(2)", "form"),
    "descriptor-taken-by-a-file-at-a-call": (
        f"{LATER}os.close(2)\n    OTHERS.append(open(HERE / 'theirs', 'ab'))\nOTHERS = []",
        "form",
    ),
    "redirected-at-a-call": (f"{LATER}contextlib.redirect_stderr(io.StringIO()).__enter__()", "form"),
}
SECRET = {"source/config/connection/consumer_config/sasl.password": "my-secret-value"}


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    mock_bed.cluster.rebalance_delay(50)
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


def with_handler(stage, code):
    (stage.directory / "odd.py").write_text(HANDLER.format(code=code))
    return stage.action({"handler/config/function": "odd:handle", **SECRET})


def trouble(stage):
    """Events of which one cannot be read and one cannot be done; the offsets of both."""
    stage.send("pe", 0, 3)
    bad = stage.send_raw("pe", 0, b"no Avro")
    stage.produced.add(bad)
    (poison, *_) = stage.send("pe", 0, 3, poison=[0])
    return bad.offset, poison.offset


def settled(stage, poller):
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")


@pytest.mark.parametrize("way", WAYS)
def test_all_that_the_poller_tells_is_told(stage, way):
    code, theirs = WAYS[way]
    poller = stage.start(with_handler(stage, code))
    bad, poison = trouble(stage)
    settled(stage, poller)
    assert poller.stop() == 0
    assert [line["offset"] for line in poller.lines("record is undecodable")] == [bad]
    written = [offset for line in poller.lines("dead letters written") for offset in line["offsets"]]
    assert sorted(written) == [bad, poison]
    assert poller.lines("signal received")
    assert poller.lines()[-1]["event"] == "stopped"
    mine = stage.directory / "mine.log"
    found = {
        "file": mine.exists() and "MINE called with my-secret-value" in mine.read_text(),
        "plain": "MINE called with my-secret-value\n" in poller.text(),
        "form": any(line["logger"] == "mine" for line in poller.lines("called with ********")),
    }
    assert [name for name, there in found.items() if there] == ([] if theirs == "nowhere" else [theirs])
    assert not (stage.directory / "theirs").exists() or (stage.directory / "theirs").read_bytes() == b""


@pytest.mark.kafka
def test_on_a_real_kafka_all_is_told_too(kafka, tmp_path, unique):
    with Stage(kafka, tmp_path, unique) as stage:
        stage.create(1, "pe")
        poller = stage.start(
            with_handler(stage, f"{DICT_CONFIG}logging.disable(logging.CRITICAL)\n{LATER}sys.stderr.close()")
        )
        bad, poison = trouble(stage)
        settled(stage, poller)
        assert poller.stop() == 0
        assert [line["offset"] for line in poller.lines("record is undecodable")] == [bad]
        written = [offset for line in poller.lines("dead letters written") for offset in line["offsets"]]
        assert sorted(written) == [bad, poison]
        assert poller.lines()[-1]["event"] == "stopped"


def test_a_standard_error_that_was_closed_from_the_beginning_costs_nothing_and_no_socket_gets_its_lines(stage):
    """Nothing can be told then; the descriptor's number is not given to anything else."""
    code = "(HERE / 'two').write_text(os.readlink('/proc/self/fd/2'))\nos.write(2, b'of a library in C')"
    closed = (
        "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, '-m', 'datahub_poller', *sys.argv[1:]])"
    )
    poller = Running(with_handler(stage, code), stage.directory / "closed.log", {}, program=("-c", closed))
    try:
        trouble(stage)
        settled(stage, poller)
        assert poller.stop() == 0
    finally:
        if poller.exit_code is None:
            poller.kill()
    assert (stage.directory / "two").read_text() == "/dev/null"
    assert poller.text() == ""


def test_a_reader_of_the_log_that_goes_away_ends_nothing_although_the_handler_asks_for_it(stage):
    """A library that sets SIGPIPE to its default: the next line would end the process without a word."""
    file = with_handler(stage, "signal.signal(signal.SIGPIPE, signal.SIG_DFL)")
    with started("run", "-c", str(file), cwd=stage.directory) as process:
        try:
            assert process.stderr is not None
            assert any("partition assigned" in line for line in process.stderr), "it has ended"
            process.stderr.close()
            trouble(stage)
            eventually(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("form", ["text", "json"])
def test_why_it_could_not_start_is_told_although_the_module_has_closed_standard_error(stage, form):
    stage.action()
    (stage.directory / "odd.py").write_text("import sys\nsys.stderr.close()\nraise ValueError('not configured')\n")
    file = stage.action({"handler/config/function": "odd:handle", "logs": {"format": form}})
    done = ran("run", "-c", str(file), cwd=stage.directory)
    assert done.code == 3
    assert "could not start" in done.err
    assert "ValueError: not configured" in done.err
    if form == "json":
        assert json.loads(done.err.splitlines()[-1])["level"] == "error"
