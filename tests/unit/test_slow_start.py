"""A step of the start that takes long is told while it does, and when it is over."""

from __future__ import annotations

import logging
import threading

import pytest

from datahub_poller.observe.slow_start import slow_step


class Heard(logging.Handler):
    """`often`: the step was told of so often as the test wants."""

    def __init__(self, count):
        super().__init__()
        self.lines = []
        self.count = count
        self.often = threading.Event()

    def emit(self, record):
        self.lines.append((record.getMessage(), record.datahub_poller_fields["step"]))
        if len(self.lines) == self.count:
            self.often.set()


def logger_to(heard):
    logger = logging.getLogger("test.slow_start")
    logger.setLevel(logging.INFO)
    logger.handlers = [heard]
    return logger


def test_a_step_that_takes_long_is_told_again_and_again_and_at_its_end():
    heard = Heard(3)
    with slow_step(logger_to(heard), "loading", after=0.01, again=0.01):
        assert heard.often.wait(60.0)
    assert heard.lines[:3] == [("start takes long", "loading")] * 3
    assert heard.lines[-1] == ("start goes on", "loading")


def test_a_step_that_fails_is_over_too_and_one_that_does_not_take_long_is_not_told():
    heard = Heard(1)
    with pytest.raises(ValueError, match="broken"), slow_step(logger_to(heard), "loading", after=600.0):
        raise ValueError("broken")
    assert heard.lines == []
