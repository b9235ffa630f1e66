"""What another thread gets of a consumer while one thread is in `consume`: nothing. So one thread owns each."""

from __future__ import annotations

import threading
import time

import pytest

from broker_facts.raw import Raw, until

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("broker-facts"), pytest.mark.deep]


@pytest.fixture
def member(kafka, unique):
    topic = unique("facts")
    kafka.create_topic(topic)
    raw = Raw(kafka.bootstrap, unique("group"), topic).join()
    until(lambda: raw.owned, raw)
    yield raw
    raw.close()


CALLS = {
    "assignment": lambda member: member.consumer.assignment(),
    "commit": lambda member: member.send_commit({0: 1}),
}


def ask_while_consuming(member, call, turns, seconds, between=0.0):
    """After how many calls of `consume` another thread's call returned, or None; it begins within the first one."""
    returned, inside = threading.Event(), threading.Event()

    def ask():
        inside.wait()
        time.sleep(seconds / 4)
        call(member)
        returned.set()

    other = threading.Thread(target=ask)
    other.start()
    inside.set()
    done = 0
    while done < turns and not returned.is_set():
        member.consumer.consume(100, seconds)
        came = returned.is_set()
        done += 1
        if between:
            time.sleep(between)
    other.join(10)
    assert returned.is_set()
    return done if came or between else None


@pytest.mark.parametrize("name", CALLS)
def test_another_threads_call_waits_for_consume_and_gets_in_between_two_only_by_luck(member, name):
    waited = [ask_while_consuming(member, CALLS[name], turns=5, seconds=0.1) for _ in range(3)]
    assert None in waited  # five times in a row it was not let in; a busy machine may let it in now and then


def test_a_pause_between_two_consumes_lets_it_in(member):
    assert ask_while_consuming(member, CALLS["assignment"], turns=100, seconds=0.1, between=0.02) < 50
