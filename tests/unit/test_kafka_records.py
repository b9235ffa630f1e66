"""How records are taken from the client: at once where it has some, and at the first one where it has none."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME

from datahub_poller.kafka.records import Records


class Message:
    """A client's message without an error."""

    def __init__(self, offset):
        self._offset = offset

    def error(self):
        return None

    def headers(self):
        return None

    def topic(self):
        return "t"

    def partition(self):
        return 0

    def offset(self):
        return self._offset

    def timestamp(self):
        return TIMESTAMP_CREATE_TIME, 7

    def key(self):
        return None

    value = key


class Client:
    """Has `queued` messages, and gets `later` ones while it is waited on; notes what it was asked for."""

    def __init__(self, queued, later=0):
        self.queued, self.later = list(map(Message, range(queued))), list(map(Message, range(queued, queued + later)))
        self.asked = []

    def consume(self, limit, timeout):
        self.asked.append((limit, timeout))
        if len(self.queued) < limit and timeout > 0:
            self.queued += self.later
            self.later = []
        found, self.queued = self.queued[:limit], self.queued[limit:]
        return found


@pytest.mark.parametrize(
    ("queued", "later", "limit", "offsets", "asked"),
    [
        (3, 9, 100, [0, 1, 2], [(100, 0.0)]),
        (300, 0, 100, list(range(100)), [(100, 0.0)]),
        (0, 5, 100, [0, 1, 2, 3, 4], [(100, 0.0), (1, 0.5), (99, 0.0)]),
        (0, 5, 3, [0, 1, 2], [(3, 0.0), (1, 0.5), (2, 0.0)]),
        (0, 5, 1, [0], [(1, 0.0), (1, 0.5)]),
        (0, 0, 100, [], [(100, 0.0), (1, 0.5)]),
    ],
)
def test_what_is_there_is_taken_without_waiting_for_more(queued, later, limit, offsets, asked):
    client = Client(queued, later)
    records = Records(logging.getLogger("test")).read(client, limit, 0.5, pytest.fail)
    assert [record.offset for record in records] == offsets
    assert client.asked == asked


def test_without_time_to_wait_it_is_asked_once():
    client = Client(0, 5)
    assert Records(logging.getLogger("test")).read(client, 100, 0.0, pytest.fail) == []
    assert client.asked == [(100, 0.0)]
