"""The handlers of SIGTERM and SIGINT: put back whatever was set instead, and nothing of them in children."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from datahub_poller.redrive.stopping import Stop
from datahub_poller.signals import Found, Signals, as_before

TERM, INT, PIPE = signal.SIGTERM, signal.SIGINT, signal.SIGPIPE
LIBC = ctypes.CDLL(None)


@pytest.fixture(autouse=True)
def signals_as_they_were():
    before = {number: signal.getsignal(number) for number in (TERM, INT, PIPE)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture
def heard():
    return []


@pytest.fixture
def signals(heard):
    made = Signals(lambda number, _: heard.append(number))
    made.install()
    return made


def someone_elses(number, frame):
    raise AssertionError("it is still in force")


class Callable:
    def __call__(self, number, frame):
        raise AssertionError("it is still in force")


@pytest.mark.parametrize("number", [TERM, INT])
@pytest.mark.parametrize(
    ("there", "name"),
    [
        (signal.SIG_IGN, "SIG_IGN"),
        (signal.SIG_DFL, "SIG_DFL"),
        (signal.default_int_handler, f"{signal.default_int_handler.__module__}.default_int_handler"),
        (someone_elses, f"{__name__}.someone_elses"),
        (Callable(), f"{__name__}.Callable"),
        (Callable().__call__, f"{__name__}.Callable.__call__"),
    ],
)
def test_what_was_set_instead_is_named_once_and_the_signal_is_heard(signals, heard, number, there, name):
    signal.signal(number, there)
    assert signals.keep() == [Found(number.name, name)]
    os.kill(os.getpid(), number)
    assert heard == [number]
    signal.signal(number, there)
    assert signals.keep() == []
    os.kill(os.getpid(), number)
    assert heard == [number, number]


@pytest.mark.parametrize("number", [TERM, INT])
def test_what_c_code_has_set_is_undone_unseen(signals, heard, number):
    LIBC.signal(int(number), ctypes.c_void_p(1))  # SIG_IGN, which Python's table does not show
    assert signals.keep() == []
    os.kill(os.getpid(), number)
    assert heard == [number]


def test_what_c_code_sets_on_another_thread_is_undone(signals, heard):
    thread = threading.Thread(target=LIBC.signal, args=(int(TERM), ctypes.c_void_p(1)))
    thread.start()
    thread.join()
    signals.keep()
    os.kill(os.getpid(), TERM)
    assert heard == [TERM]


def to_this_thread(number):
    """What is sent to the process, another thread may take."""
    signal.pthread_kill(threading.main_thread().ident, number)


def test_a_signal_that_came_while_it_was_blocked_is_heard(signals, heard):
    signal.pthread_sigmask(signal.SIG_BLOCK, {TERM, INT, signal.SIGUSR1})
    to_this_thread(TERM)
    assert heard == []
    assert signals.keep() == [Found(each, "a signal mask that blocks it") for each in ("SIGTERM", "SIGINT")]
    assert heard == [TERM]
    assert signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1}) == {signal.SIGUSR1}, "it is none of ours"


def test_a_signal_that_was_blocked_for_another_handler_meets_ours(signals, heard):
    signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})
    signal.signal(TERM, someone_elses)
    to_this_thread(TERM)
    signals.keep()
    assert heard == [TERM]


def test_a_process_that_was_started_with_signals_ignored_and_blocked_hears_them(heard):
    signal.signal(TERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})
    Signals(lambda number, _: heard.append(number)).install()
    to_this_thread(TERM)
    assert heard == [TERM]


def test_a_pipe_without_a_reader_does_not_end_the_process_but_a_handler_of_the_users_own_stays(signals):
    signal.signal(PIPE, signal.SIG_DFL)
    signals.keep()
    assert signal.getsignal(PIPE) is signal.SIG_IGN
    signal.signal(PIPE, someone_elses)
    signals.keep()
    assert signal.getsignal(PIPE) is someone_elses


def ended_by(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("number", "code"), [(TERM, -TERM), (INT, 99)])
def test_a_child_that_is_forked_ends_as_any_python_program(signals, heard, number, code):
    if (pid := os.fork()) == 0:
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
        except KeyboardInterrupt:
            os._exit(99)
        os._exit(1)
    assert ended_by(pid) == code
    assert heard == []


def test_a_program_that_is_started_has_nothing_blocked_and_nothing_ignored(signals):
    signals.keep()
    done = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True, check=True)
    lines = {line.split(":")[0]: line.split()[1] for line in done.stdout.splitlines() if line.startswith("Sig")}
    for name in ("SigBlk", "SigIgn"):
        assert int(lines[name], 16) & sum(1 << (number - 1) for number in (TERM, INT, PIPE)) == 0


def test_after_the_import_of_others_code_signals_do_what_they_did_before(heard):
    signal.signal(TERM, before := lambda number, _: heard.append(number))
    with contextlib.suppress(ImportError), as_before():
        signal.signal(TERM, signal.SIG_IGN)
        LIBC.signal(int(INT), ctypes.c_void_p(1))
        signal.pthread_sigmask(signal.SIG_BLOCK, {TERM, INT})
        raise ImportError
    assert signal.getsignal(TERM) is before
    os.kill(os.getpid(), TERM)
    assert heard == [TERM]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), INT)


def test_a_redrive_is_stopped_although_the_handler_has_set_signals():
    said: list[str] = []
    stop = Stop(25.0, lambda: 100.0, said.append)
    stop.install()
    signal.signal(TERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {INT})
    assert stop() is None
    assert said == [
        "handler for SIGTERM was replaced by SIG_IGN: the command's is put back",
        "handler for SIGINT was replaced by a signal mask that blocks it: the command's is put back",
    ]
    os.kill(os.getpid(), TERM)
    assert stop() == 125.0


ORPHAN = """
import os, signal, time
from datahub_poller.member import hold_on
signal.signal(signal.SIGTERM, signal.SIG_IGN)
reading, writing = os.pipe()
hold_on(reading)
os.close(writing)
time.sleep(0.3)
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
time.sleep(60)
"""


def test_a_process_whose_supervisor_is_gone_is_told_again_until_it_hears_it():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", ORPHAN], env=env, timeout=60, check=False).returncode == 7


DEAF = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b"up\\n")
os.read(int(sys.argv[sys.argv.index("--lifeline") + 1]), 1)
os._exit(0)
"""
SUPERVISOR = f"""
import os, signal, sys
from datahub_poller.supervisor import Plan, Supervisor
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
sys.exit(Supervisor(Plan([sys.executable, "-c", {DEAF!r}], os.environ, (None, None), 600.0, False)).run())
"""


def test_processes_that_miss_the_signal_see_by_their_lifeline_that_all_shall_stop():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SUPERVISOR]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as supervisor:
        assert supervisor.stdout is not None
        try:
            assert [supervisor.stdout.readline() for _ in range(2)] == [b"up\n", b"up\n"]
            supervisor.terminate()
            assert supervisor.wait(60) == 0
        finally:
            supervisor.kill()
