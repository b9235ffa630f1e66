"""One poller as a process: the main thread has the signals and the deadline, the poll thread has the rest.

Exit codes: 0 stopped in order, 1 failed while running, 3 could not start.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from datahub_poller import __version__, app
from datahub_poller.config import ActionFile, secrets_of
from datahub_poller.errors import CannotStart, Fatal
from datahub_poller.loop import Poller
from datahub_poller.observe.emitting import Emitter
from datahub_poller.observe.listening import in_url
from datahub_poller.observe.logs import Throttle, get_logger, log_event
from datahub_poller.observe.server import StatusServer
from datahub_poller.observe.slow_start import slow_step
from datahub_poller.observe.stacks import stacks
from datahub_poller.observe.status import Board, PollerStatus
from datahub_poller.observe.stuck import StuckWatch
from datahub_poller.observe.waiting import WaitWatch
from datahub_poller.order_box import OrderBox
from datahub_poller.signals import Signals

if TYPE_CHECKING:
    from datahub_poller.ecs_agent import EcsAgent

STOPPED, FAILED, NOT_STARTED = 0, 1, 3
WATCH_SECONDS = 0.1
GRACE = 1.0
"""Seconds past the deadline after which the process ends, whatever still blocks."""
HANGING_LOOKS = 20
"""So many looks in a row must find the loop silent: a process that was suspended finds it so once."""
COLLECT_AFTER = 50_000
"""How many objects are made and kept before Python looks for cycles. Events hold none, and some thousands of them are
always here: with Python's 700, looking through them again and again takes a quarter of the time."""
RAISED_SECONDS = 60.0
"""An error that comes again is told once in so many seconds."""
REPLACED = "signal handler was replaced: the poller's is put back"
LOG = get_logger("datahub_poller")


def leave(code: int) -> NoReturn:
    """End the process as Python does, but for taking the interpreter down.

    A worker may be in a call that never returns, or import a module: extensions written in Rust or C++ abort the
    process when the interpreter goes away under such a thread.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads that are no daemons
    atexit._run_exitfuncs()  # noqa: SLF001 - nothing public does it
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed from the beginning, it is None
            stream.flush()
    os._exit(code)


class Service:
    """Runs an action until a signal, a halt or something fatal. `write` takes a line for standard output."""

    def __init__(
        self, action: ActionFile, environ: Mapping[str, str], status_port: int | None, write: Callable[[str], None]
    ) -> None:
        self._action = action
        self._environ = environ
        self._status_port = status_port
        self._write = write
        self._board = Board()
        self._made = time.monotonic()
        self._orders = OrderBox()
        self._stuck = StuckWatch(LOG, stacks)
        self._waits = WaitWatch(LOG)
        self._poller: Poller | None = None
        self._code = FAILED
        self._signals = 0
        self._heard = Signals(self._on_signal)
        self._raised = Throttle(RAISED_SECONDS)
        self._hanging = 0
        self._deadline: float | None = None
        self._refusal: CannotStart | None = None
        self._ended = threading.Event()

    def run(self) -> int:
        """The exit code. Raises CannotStart."""
        self._heard.install()
        for warning in self._action.warnings:
            log_event(LOG, logging.WARNING, "action file", about=warning)
        metrics, limit = self._action.metrics, self._action.status.hangs_after
        emitter = Emitter(self._board, metrics.interval, self._write, limit)
        if metrics.emf:  # before anything that may fail: each start counts
            emitter.start(self._beginning())
        try:
            self._work()
        finally:
            emitter.close()
        # A thread of the user's own that is no daemon would keep the process for ever.
        left = 0.0 if self._deadline is None else self._deadline - time.monotonic()
        self._end_in(max(GRACE, left), self._code)
        if self._refusal is not None:
            raise self._refusal
        return self._code

    def _beginning(self) -> PollerStatus:
        return PollerStatus(self._action.name, __version__, "starting", started_at=time.monotonic())

    def _work(self) -> None:
        agent = self._agent()
        parts = app.outside(self._action, self._environ)
        gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])  # a handler that wants otherwise may say so
        with slow_step(LOG, "loading the handler"):
            parts.invoker.load()
        self._keep_signals()
        with slow_step(LOG, "trying the dead-letter place"):
            parts.sink.check()
        self._open_status(secrets_of(self._action, self._environ))
        threading.Thread(target=self._body, args=(parts,), name="poll", daemon=True).start()
        if agent is not None:
            agent.start()
        while not self._ended.is_set():
            try:
                self._ended.wait(WATCH_SECONDS)
                self._keep_signals()
                self._watch(time.monotonic())
            except (SystemExit, KeyboardInterrupt):  # a signal handler of the user's code that ends a program
                self._on_signal(signal.SIGTERM, None)
            except Exception as error:  # noqa: BLE001 - a signal handler of the user's code, on this thread
                self._tell_raised(error)

    def _agent(self) -> EcsAgent | None:
        """What keeps ECS from taking this task away in the middle of a long batch, where that is wanted."""
        if self._action.shutdown.scale_in_protection is None:
            return None
        from datahub_poller.ecs_agent import VARIABLE, EcsAgent  # noqa: PLC0415 - only where it is used

        return EcsAgent(self._environ.get(VARIABLE), self._board, self._action.handler.config.timeout)

    def _watch(self, now: float) -> None:
        """Tell when the loop hangs; end the process when the poll thread, told to stop or stopping, is late."""
        hung = self._hanging >= HANGING_LOOKS
        hangs = self._poller is not None and not self._board.alive(now, self._action.status.hangs_after)
        self._hanging = self._hanging + 1 if hangs else 0
        if self._hanging == HANGING_LOOKS:
            self._tell(self._stuck.silent, self._board.silent_for(now))
        elif hung and not hangs:
            self._tell(self._stuck.turns_again)
        if self._deadline is None and self._poller is not None and self._poller.stopping:
            self._deadline = now + self._action.shutdown.deadline
        if self._deadline is not None and now > self._deadline + GRACE:
            log_event(LOG, logging.WARNING, "deadline passed: ending with calls or a commit unfinished")
            self._end_now(STOPPED if self._signals else FAILED)

    def _keep_signals(self) -> None:
        for found in self._heard.keep():
            self._tell(partial(log_event, LOG, logging.WARNING, REPLACED, signal=found.signal, found=found.what))

    def _tell_raised(self, error: Exception) -> None:
        if self._raised.admit(type(error).__name__, time.monotonic()) is not None:
            self._tell(partial(log_event, LOG, logging.ERROR, "the main thread was interrupted", exc_info=error))

    @staticmethod
    def _tell(what: Callable[..., None], *about: object) -> None:
        """On a thread of its own: the main one must not wait for a log that nobody reads."""
        threading.Thread(target=what, args=about, name="stacks", daemon=True).start()

    def _open_status(self, secrets: Collection[str]) -> None:
        self._board.beat(time.monotonic())
        self._board.publish(self._beginning())
        if self._status_port is not None:
            server = StatusServer(
                self._board,
                self._status_port,
                scrub=secrets,
                orders=self._orders.bring,
                token=self._action.status.token,
                host=self._action.status.host,
                series=self._action.metrics.partitions,
                limit=self._action.status.hangs_after,
            )
            url = f"http://{in_url(self._action.status.host)}:{server.start()}/status"
            log_event(LOG, logging.INFO, "status is served", url=url)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._end_now(FAILED)
        self._deadline = time.monotonic() + self._action.shutdown.deadline
        self._end_in(self._action.shutdown.deadline + 2 * GRACE, STOPPED)  # a log that nobody reads blocks this thread
        log_event(LOG, logging.INFO, "signal received", signal=signal.Signals(number).name)
        if self._poller is None:  # nothing was begun: there is no call to wait for and no group to leave
            log_event(LOG, logging.INFO, "stopped before it had started")
            self._end_now(STOPPED)
        else:
            self._poller.stop(self._deadline)

    # -- the poll thread

    def _body(self, parts: app.Outside) -> None:
        try:
            self._code = self._start_and_run(parts)
        except CannotStart as error:
            self._refusal, self._code = error, NOT_STARTED
        except Fatal as error:
            log_event(LOG, logging.ERROR, "failed", reason=str(error))
            self._code = FAILED
        except BaseException as error:  # noqa: BLE001 - a fault of our own must end the process, not only its thread
            log_event(LOG, logging.CRITICAL, "failed for a reason of its own", exc_info=error)
            self._code = FAILED
        finally:
            self._ended.set()

    def _start_and_run(self, parts: app.Outside) -> int:
        if not parts.topics:
            raise CannotStart("filters: no event of any topic passes them; there is nothing to consume")
        with slow_step(LOG, "making the Kafka client, with its first token if it needs one"):
            consumer = app.source(self._action, self._environ, lambda: self._board.beat(time.monotonic()))
        connection = self._action.source.config.connection
        for topic in consumer.reach.missing(parts.topics, connection.client_timeout_seconds, self._wait_for_brokers):
            consumer.wait_for(topic)
        self._show(missing=tuple(sorted(consumer.missing)))
        watches = (self._stuck, self._waits)
        self._poller = app.poller(self._action, parts, consumer, self._board, watches, self._orders)
        if self._deadline is not None:
            return STOPPED
        self._poller.run(lambda: self._subscribed(parts))
        halted = self._poller.ledger.halt is not None
        log_event(LOG, logging.INFO, "stopped", counters=dict(self._poller.ledger.counters))
        return FAILED if halted else STOPPED

    def _subscribed(self, parts: app.Outside) -> None:
        """Whoever waits for this line before they produce may rely on `start: latest`."""
        letters = parts.sink.place
        log_event(LOG, logging.INFO, "started", action=self._action.name, topics=list(parts.topics), letters=letters)
        app.prepare(parts.registries.values())

    def _wait_for_brokers(self, reason: str) -> None:
        self._show(f"kafka: {reason}")

    def _show(self, *reasons: str, missing: tuple[str, ...] = ()) -> None:
        """The status before there is a loop, and what it waits for."""
        now = time.monotonic()
        why = (*reasons, *(f"topic {topic} does not exist" for topic in missing))
        status = replace(
            self._beginning(),
            started_at=self._made,
            uptime=round(now - self._made, 3),
            red=bool(why),
            reasons=why,
            missing_topics=missing,
        )
        self._board.publish(status)
        self._waits.look(status, now)

    # -- ending

    def _end_now(self, code: int) -> None:
        os._exit(code)

    def _end_in(self, seconds: float, code: int) -> None:
        timer = threading.Timer(seconds, self._end_now, args=(code,))
        timer.daemon = True
        timer.start()
