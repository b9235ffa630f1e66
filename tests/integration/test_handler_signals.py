"""SIGTERM and Ctrl-C are heard although the handler's code, or a library that it imports, sets signals for itself.

Each way is one poller with a call in flight. The signal comes as soon as the poller's handler can be in force again,
by what the kernel says; then the call finishes, what it did is committed, and the process ends with 0.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.running import Stage

TERM, INT = signal.SIGTERM, signal.SIGINT
REPLACED = "signal handler was replaced: the poller's is put back"
BEGIN = """
import asyncio, ctypes, faulthandler, gc, os, signal, socket, sys, threading, time
import recording_handler
LIBC = ctypes.CDLL(None)
TERM = signal.SIGTERM
KEPT = []

def nothing(*_):
    pass

def at_a_call():
    pass

def ends(*_):
    sys.exit(0)
"""
END = """
def handle(event, context):
    at_a_call()
    return recording_handler.handle(event, context)
"""
IGNORES_IN_C = "LIBC.signal(int(TERM), ctypes.c_void_p(1))"
AT_IMPORT = {
    "ignored": (TERM, "signal.signal(TERM, signal.SIG_IGN)", "SIG_IGN"),
    "default": (TERM, "signal.signal(TERM, signal.SIG_DFL)", "SIG_DFL"),
    "own-function": (TERM, "signal.signal(TERM, nothing)", "odd.nothing"),
    "own-function-that-exits": (TERM, "signal.signal(TERM, ends)", "odd.ends"),
    "interrupt-ignored": (INT, "signal.signal(signal.SIGINT, signal.SIG_IGN)", "SIG_IGN"),
    "interrupt-as-in-python": (INT, "signal.signal(signal.SIGINT, signal.default_int_handler)", "default_int_handler"),
    "blocked": (TERM, "signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})", "mask"),
    "all-blocked": (INT, "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())", "mask"),
    "taken-by-a-thread-that-waits": (
        TERM,
        (
            "signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})\n"
            "threading.Thread(target=signal.sigwait, args=({TERM},), daemon=True).start()"
        ),
        "mask",
    ),
    "event-loop": (
        TERM,
        "LOOP = asyncio.new_event_loop()\nLOOP.add_signal_handler(TERM, nothing)",
        "asyncio.unix_events",
    ),
    "event-loop-that-was-closed": (
        TERM,
        "LOOP = asyncio.new_event_loop()\nLOOP.add_signal_handler(TERM, nothing)\nLOOP.close()",
        "SIG_DFL",
    ),
    "faulthandler": (TERM, "faulthandler.register(TERM, chain=False)", None),
    "ignored-in-c": (TERM, IGNORES_IN_C, None),
    "default-in-c": (TERM, "LIBC.signal(int(TERM), ctypes.c_void_p(0))", None),
    "function-in-c": (TERM, "LIBC.signal(int(TERM), LIBC.abs)", None),
    "blocked-in-c": (TERM, "MASK = (ctypes.c_ulong * 16)(1 << 14)\nLIBC.pthread_sigmask(0, MASK, None)", "mask"),
    "wakeup-descriptor-and-restarts": (
        TERM,
        (
            "PAIR = socket.socketpair()\nPAIR[1].setblocking(False)\nsignal.set_wakeup_fd(PAIR[1].fileno())\n"
            "signal.signal(TERM, nothing)\nsignal.siginterrupt(TERM, False)"
        ),
        "odd.nothing",
    ),
}
LATER = {
    "in-c-on-a-worker-thread": (TERM, f"def at_a_call():\n    {IGNORES_IN_C}", None),
    "in-c-for-good-by-a-thread-of-its-own": (
        TERM,
        (
            f"def sets():\n    time.sleep(0.5)\n    {IGNORES_IN_C}\n"
            "def at_a_call():\n    thread = threading.Thread(target=sets)\n    thread.start()\n    thread.join()"
        ),
        None,
    ),
    "by-a-signal-handler-on-the-main-thread": (
        TERM,
        (
            "def alarm(*_):\n    signal.signal(TERM, signal.SIG_IGN)\n"
            "    signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})\n"
            "signal.signal(signal.SIGALRM, alarm)\n"
            "def at_a_call():\n    signal.raise_signal(signal.SIGALRM)"
        ),
        "SIG_IGN",
    ),
    "by-a-call-that-is-left-to-the-main-thread": (
        TERM,
        (
            "@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)\n"
            "def pending(_):\n    signal.signal(TERM, nothing)\n    return 0\n"
            "def at_a_call():\n    ctypes.pythonapi.Py_AddPendingCall(pending, None)"
        ),
        "odd.nothing",
    ),
}
WAYS = AT_IMPORT | LATER


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    mock_bed.cluster.rebalance_delay(50)
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


def with_handler(stage, code, **changes):
    (stage.directory / "odd.py").write_text(BEGIN + code + END)
    changes = {f"shutdown/{key}": value for key, value in changes.items()}
    return stage.start(stage.action({"handler/config/function": "odd:handle", **changes}))


def caught(poller, number):
    """Whether the kernel would call a handler of the process for this signal, on its main thread."""
    lines = (Path("/proc") / str(poller.pid) / "status").read_text().splitlines()
    masks = {
        line.split(":")[0]: int(line.split()[1], 16) for line in lines if line.startswith("Sig") and "/" not in line
    }
    bit = 1 << (number - 1)
    return bool(masks["SigCgt"] & bit) and not (masks["SigIgn"] | masks["SigBlk"]) & bit


def stops_in_order(stage, poller, number):
    poller.signal(number)
    poller.wait_for("stopping")
    stage.release("go")
    assert poller.wait() == 0
    (call,) = stage.recorded().calls
    assert call.ended is not None
    assert stage.committed() == {stage.tp("pe"): 5}
    assert poller.lines()[-1]["event"] == "stopped"


@pytest.mark.parametrize("way", WAYS)
def test_a_signal_is_heard_whatever_was_set_instead(stage, way):
    number, code, found = WAYS[way]
    stage.plan(hold="go")
    poller = with_handler(stage, code)
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.recorded().calls, "no call")
    if found is not None:
        told = poller.wait_for(REPLACED, signal=number.name)
        assert told["level"] == "warning"
        assert found in told["found"]
    poller.until(lambda: caught(poller, number), "the poller's handler is not put back")
    stops_in_order(stage, poller, number)


@pytest.mark.kafka
def test_on_a_real_kafka_a_handler_that_sets_all_of_it_stops_in_order(kafka, tmp_path, unique):
    code = "\n".join(
        [
            "signal.signal(signal.SIGINT, nothing)",
            "signal.signal(TERM, signal.SIG_IGN)",
            "signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})",
            "faulthandler.register(TERM, chain=False)",
            LATER["in-c-on-a-worker-thread"][1],
        ]
    )
    with Stage(kafka, tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.plan(hold="go")
        poller = with_handler(stage, code)
        stage.send("pe", 0, 5)
        poller.until(lambda: stage.recorded().calls, "no call")
        poller.until(lambda: caught(poller, TERM), "the poller's handler is not put back")
        stops_in_order(stage, poller, TERM)


def test_a_handler_of_the_users_that_ends_a_program_stops_the_poller_in_order(stage):
    stage.plan(hold="go")
    poller = with_handler(stage, "signal.signal(signal.SIGUSR1, ends)")
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.recorded().calls, "no call")
    stops_in_order(stage, poller, signal.SIGUSR1)


def test_a_handler_of_the_users_that_raises_ends_nothing_and_is_told(stage):
    stage.plan(hold="go")
    poller = with_handler(stage, "def alarm(*_):\n    raise TimeoutError('late')\nsignal.signal(signal.SIGALRM, alarm)")
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.recorded().calls, "no call")
    poller.signal(signal.SIGALRM)
    assert "TimeoutError: late" in poller.wait_for("the main thread was interrupted")["stack"]
    stops_in_order(stage, poller, TERM)


def test_a_module_that_blocks_the_signal_while_it_is_imported_only_delays_it(stage):
    code = (
        "signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})\n"
        "open(os.path.join(os.path.dirname(__file__), 'importing'), 'w').close()\n"
        "while TERM not in signal.sigpending():\n    time.sleep(0.01)"
    )
    poller = with_handler(stage, code)
    poller.until((stage.directory / "importing").exists, "not imported")
    poller.signal(TERM)
    assert poller.wait() == 0
    assert poller.lines()[-1]["event"] == "stopped before it had started"
    assert stage.recorded().calls == []


def test_the_processes_of_a_supervisor_stop_in_order_too(stage):
    code = f"signal.signal(TERM, nothing)\n{LATER['in-c-on-a-worker-thread'][1]}"
    (stage.directory / "odd.py").write_text(BEGIN + code + END)
    poller = stage.start(stage.action({"handler/config/function": "odd:handle"}), "poller.log", "--processes", "2")
    poller.wait_for("partition assigned")
    stage.send("pe", 0, 5)
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    assert poller.stop() == 0
    assert len(poller.lines("stopped")) == 2
