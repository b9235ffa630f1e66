"""Workers and the mailbox, with real threads."""

from __future__ import annotations

import threading
import time

import pytest

from datahub_poller.workers import Mailbox, Workers

PATIENCE = 10.0


def take(mailbox, count):
    found = []
    end = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < end:
        found += mailbox.take(0.1)
    assert len(found) == count
    return found


def test_a_result_comes_back_under_its_ticket():
    mailbox = Mailbox()
    workers = Workers("w", 2, mailbox)
    for n in range(20):
        workers.submit(n, lambda n=n: n * n)
    found = take(mailbox, 20)
    assert sorted(done.ticket for done in found) == list(range(20))
    assert all(done.value == done.ticket**2 and done.error is None for done in found)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_is_raised_comes_back_and_the_thread_goes_on(error):
    mailbox = Mailbox()
    workers = Workers("w", 1, mailbox)

    def fail():
        raise error

    workers.submit("bad", fail)
    workers.submit("good", lambda: 1)
    bad, good = take(mailbox, 2)
    assert (bad.ticket, bad.value, bad.error) == ("bad", None, error)
    assert (good.ticket, good.value, good.error) == ("good", 1, None)


def test_no_more_run_at_a_time_than_there_are_threads():
    mailbox = Mailbox()
    workers = Workers("w", 2, mailbox)
    running = threading.Semaphore(2)
    go = threading.Event()

    def work():
        assert running.acquire(blocking=False)
        go.wait(PATIENCE)
        running.release()

    for n in range(6):
        workers.submit(n, work)
    go.set()
    assert all(done.error is None for done in take(mailbox, 6))


def test_a_call_that_does_not_return_keeps_its_own_thread_only():
    mailbox = Mailbox()
    workers = Workers("w", 2, mailbox)
    hang = threading.Event()
    workers.submit("hung", lambda: hang.wait(PATIENCE))
    for n in range(5):
        workers.submit(n, lambda: None)
    assert [done.ticket for done in take(mailbox, 5)] == list(range(5))
    hang.set()
    assert take(mailbox, 1)[0].ticket == "hung"


def test_the_threads_are_named_and_do_not_keep_the_process():
    mailbox = Mailbox()
    workers = Workers("handler", 1, mailbox)
    workers.submit("who", lambda: (threading.current_thread().name, threading.current_thread().daemon))
    assert take(mailbox, 1)[0].value == ("handler-0", True)


def test_an_empty_mailbox_gives_nothing_at_once_or_after_the_wait():
    mailbox = Mailbox()
    assert mailbox.take() == []
    before = time.monotonic()
    assert mailbox.take(0.05) == []
    assert time.monotonic() - before >= 0.04


def test_a_result_ends_the_wait():
    mailbox = Mailbox()
    workers = Workers("w", 1, mailbox)
    workers.submit(1, lambda: None)
    before = time.monotonic()
    assert len(mailbox.take(PATIENCE)) == 1
    assert time.monotonic() - before < PATIENCE / 2


def test_nothing_of_a_call_is_kept_after_it_has_returned():
    class Large:
        pass

    import gc
    import weakref

    mailbox = Mailbox()
    workers = Workers("w", 1, mailbox)
    large = Large()
    seen = weakref.ref(large)
    workers.submit(1, lambda large=large: None)
    del large
    take(mailbox, 1)
    workers.submit(2, lambda: None)  # after this one the thread has let go of the first
    take(mailbox, 1)
    gc.collect()
    assert seen() is None
