"""librdkafka's lines in our log: named, shortened, and not over and over."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable

import pytest

from datahub_poller.kafka.client_log import EVERY_SECONDS, ClientLog
from datahub_poller.observe.log_forms import JsonForm
from datahub_poller.observe.logs import LineHandler
from datahub_poller.observe.standard_error import Stream

FORM = "%s [%s] %s"
REFUSED = "[thrd:kafka:9092/bootstrap]: kafka:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> tuple[Callable[[str], None], Clock, Callable[[], list[dict[str, object]]]]:
    stream, clock = io.StringIO(), Clock()
    logger = logging.Logger("kafka", logging.INFO)  # noqa: LOG001 - one that nobody else has
    logger.addHandler(LineHandler(Stream(stream), JsonForm()))
    client = ClientLog(logger, clock)

    def say(text: str) -> None:
        client.log(logging.ERROR, FORM, "FAIL", "datahub-poller#consumer-1", text)

    return say, clock, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_its_facility_and_what_it_is_about(log) -> None:
    say, _, lines = log
    say(f"{REFUSED} (after 0ms in state CONNECT)")
    (line,) = lines()
    assert (line["event"], line["level"], line["facility"]) == ("kafka client", "error", "FAIL")
    assert line["about"] == "kafka:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"


def test_a_line_that_repeats_but_for_its_numbers_is_held_back_and_counted(log) -> None:
    say, clock, lines = log
    for after in range(40):
        text = REFUSED.replace("10.0.0.1", f"10.0.0.{after}")
        say(f"{text} (after {after}ms in state CONNECT, {after} identical error(s) suppressed)")
    assert len(lines()) == 1
    clock.now += EVERY_SECONDS
    say(f"{REFUSED} (after 7ms in state CONNECT)")
    assert [line.get("held_back") for line in lines()] == [None, 39]


def test_lines_of_another_kind_are_not_held_back(log) -> None:
    say, _, lines = log
    say(REFUSED)
    say("[thrd:kafka:9092/1]: kafka:9092/1: SASL authentication error: wrong")
    assert len(lines()) == 2
