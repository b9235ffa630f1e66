"""The demo's book-keeping: it must see what is missing, too much, or not committed."""

from __future__ import annotations

import json

import pytest

from datahub_poller.demo.follow import GivenUp, Invocation, Tail, Tally

PRODUCED = {("t", 0, 0): "deliver", ("t", 0, 1): "fail", ("t", 0, 2): "undecodable", ("u", 1, 0): "deliver"}
ENDS = {("t", 0): 3, ("u", 1): 1, ("u", 0): 0}


def call(*events, error=None):
    return Invocation(1, 1, events, ("words",), error)


@pytest.fixture
def complete():
    tally = Tally(committed={("t", 0): 3, ("u", 1): 1})
    tally.invoked(call(("t", 0, 0), ("t", 0, 1), error="NoSuchUser: x"))
    tally.invoked(call(("t", 0, 0), ("u", 1, 0)))
    tally.given_up(GivenUp(("t", 0, 1), "why", undecodable=False))
    tally.given_up(GivenUp(("t", 0, 2), "why", undecodable=True))
    return tally


def test_all_is_well_when_every_record_met_its_fate_and_is_committed(complete):
    assert complete.problems(PRODUCED, ENDS) == []
    assert (complete.invocations, complete.succeeded) == (2, 1)
    assert complete.counts(PRODUCED) == {"produced": 4, "delivered": 2, "dead-lettered": 1, "undecodable": 1}


def test_an_event_delivered_twice_is_still_one(complete):
    complete.invoked(call(("t", 0, 0)))
    assert complete.problems(PRODUCED, ENDS) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tally: tally.delivered.discard(("u", 1, 0)), "1 records are not delivered"),
        (lambda tally: tally.delivered.add(("t", 0, 1)), "1 records are delivered that should not be"),
        (lambda tally: tally.dead.clear(), "1 records are not dead-lettered"),
        (lambda tally: tally.dead.add(("u", 1, 0)), "1 records are dead-lettered that should not be"),
        (lambda tally: tally.undecodable.clear(), "1 records are not kept as undecodable"),
        (lambda tally: tally.committed.update({("t", 0): 2}), "t-0 is committed up to 2 of 3"),
        (lambda tally: tally.committed.update({("t", 0): 4}), "t-0 is committed up to 4 of 3"),
        (lambda tally: tally.committed.pop(("u", 1)), "u-1 is committed up to 0 of 1"),
    ],
)
def test_whatever_does_not_add_up_is_said(complete, change, problem):
    change(complete)
    assert complete.problems(PRODUCED, ENDS) == [problem]


def test_a_failed_call_delivers_nothing():
    tally = Tally()
    tally.invoked(call(("t", 0, 0), error="x"))
    assert tally.delivered == set()


class TestTail:
    def test_a_file_that_is_not_there_yet_has_no_lines(self, tmp_path):
        assert list(Tail(tmp_path / "absent").new()) == []

    def test_each_line_comes_once_and_only_when_it_is_complete(self, tmp_path):
        path = tmp_path / "log"
        tail = Tail(path)
        with path.open("wb", buffering=0) as file:
            file.write(b'{"n": 1}\n{"n"')
            assert list(tail.new()) == [{"n": 1}]
            assert list(tail.new()) == []
            file.write(b": 2}")
            assert list(tail.new()) == []
            file.write(b"\n" + json.dumps({"n": 3}).encode() + b"\n")
            assert list(tail.new()) == [{"n": 2}, {"n": 3}]
