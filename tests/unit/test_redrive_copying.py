"""Redriving to a file and to a topic: what is put there, what is marked and when, and what is in the way."""

from __future__ import annotations

import errno
import json
import os
import stat

import orjson
import pytest

from datahub_poller.config.values import DATAHUB_TOPICS
from datahub_poller.deadletter.choice import Choice
from datahub_poller.deadletter.redriven import HEADER
from datahub_poller.errors import CannotStart, TooLarge, Transient
from datahub_poller.redrive.copying import TOO_LARGE
from datahub_poller.redrive.planning import NO_EVENT, NO_RECORD
from datahub_poller.redrive.refusals import topic_problem
from datahub_poller.redrive.to_file import EventFile, file_problem
from datahub_poller.redrive.to_topic import Topic
from datahub_poller.redrive.transform import Left, Repaired
from support.letter_stores import ACTIONS_LINE, a_letter
from support.redriving import Killed, Options, run, world_of


class Producer:
    def __init__(self, *refusals):
        self.sent = []
        self.refusals = list(refusals)

    def send(self, messages):
        if self.refusals and (refusal := self.refusals.pop(0)) is not None:
            raise refusal
        self.sent.append(list(messages))


def to_file(path, append=False, transform=None, **options):
    return Options(target="file", place=EventFile(path, append, transform), transform=transform, **options)


def to_topic(producer, **options):
    return Options(target="topic", place=Topic(producer, "again"), **options)


def events(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


# -- files


def test_events_are_lines_of_a_file_for_its_owner_alone_in_order(tmp_path):
    path = tmp_path / "events.jsonl"
    world = world_of([a_letter(2), a_letter(1), ACTIONS_LINE, a_letter(4)])
    ran = run(world, to_file(path))
    assert ran.done == {"written": 4}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = events(path)
    assert [each["meta"]["kafka"]["offset"] for each in found] == [1, 2, 4, 5]
    assert found[0]["event"]["entityUrn"] == "urn:li:dataset:1"
    assert all(set(each) == {"event_type", "event", "meta"} and each["meta"]["redrive"]["count"] == 1 for each in found)
    assert {mark.done for mark in world.store.ledger} == {"written"}


def test_a_letter_without_an_event_is_left_out_of_a_file_unless_it_is_repaired(tmp_path):
    world = world_of([a_letter(1, event=None), a_letter(2)])
    ran = run(world, to_file(tmp_path / "a"))
    assert ran.done == {"written": 1}
    assert dict(ran.summary.left_out) == {NO_EVENT: 1}
    world = world_of([a_letter(1, event=None), a_letter(2)])
    mend = lambda document: Repaired("E", {"made": 1}) if document["event"] is None else Left("not this one")
    ran = run(world, to_file(tmp_path / "b", transform=mend))
    assert [each["event"] for each in events(tmp_path / "b")] == [{"made": 1}]
    assert dict(ran.marking.tally.left) == {"not this one": 1}


def test_a_file_that_is_there_is_only_added_to_when_asked(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"torn": ')
    assert "--append" in file_problem(path, append=False)
    with pytest.raises(CannotStart, match="File exists"):
        EventFile(path, append=False, transform=None)
    assert file_problem(path, append=True) is None
    run(world_of([a_letter(1)]), to_file(path, append=True))
    first, second = path.read_bytes().splitlines()
    assert first == b'{"torn": '
    assert json.loads(second)["event"]["entityUrn"] == "urn:li:dataset:1"


def test_places_that_are_no_file_are_refused_before_anything_is_done(tmp_path):
    assert "no regular file" in file_problem(tmp_path, append=True)
    assert "there is no directory" in file_problem(tmp_path / "no" / "events", append=False)
    assert file_problem(tmp_path / "events", append=False) is None
    with pytest.raises(CannotStart, match="No such file"):
        EventFile(tmp_path / "no" / "events", append=False, transform=None)


def test_a_full_disk_leaves_the_file_as_it_was_and_is_waited_for(tmp_path, monkeypatch):
    path, real, calls = tmp_path / "events.jsonl", os.write, []

    def full(fd, data):
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[: 50 if len(calls) == 1 else len(data)])

    options = to_file(path)
    monkeypatch.setattr("datahub_poller.redrive.to_file.os.write", full)
    world = world_of([a_letter(1), a_letter(2)])
    ran = run(world, options)
    assert [each["meta"]["kafka"]["offset"] for each in events(path)] == [1, 2]
    assert any("No space left on device" in text and "Make room" in text for text in ran.troubles)
    assert ran.done == {"written": 2}


def test_a_kill_between_the_file_and_the_ledger_writes_twice_and_loses_nothing(tmp_path):
    for kill in range(1, 40):
        path = tmp_path / f"events-{kill}"
        world = world_of([a_letter(number) for number in range(7)], kill_at=kill)
        try:
            run(world, to_file(path))
        except Killed:
            world.kill_at = None
            run(world, to_file(path, append=True))
        offsets = [each["meta"]["kafka"]["offset"] for each in events(path)]
        assert sorted(set(offsets)) == list(range(7))
        assert len(offsets) <= 7 + 3
        assert sorted(world.marks("written")) == sorted((a_letter(number).id, 0) for number in range(7))


def test_the_rate_holds_for_a_file_too(tmp_path):
    world = world_of([a_letter(number) for number in range(6)])
    began = world.now
    run(world, to_file(tmp_path / "a", rate=0.5, size=2))
    assert 8 <= world.now - began <= 12


def test_stopping_ends_between_two_batches(tmp_path):
    world = world_of([a_letter(number) for number in range(6)])
    ran = run(world, to_file(tmp_path / "a", size=2, stop=lambda: world.now + 9 if world.store.ledger else None))
    assert (ran.summary.ending, ran.summary.waiting, ran.done) == ("stopped", 4, {"written": 2})


def test_stopping_does_not_wait_for_ever_for_the_ledger(tmp_path):
    world = world_of([a_letter(1)])
    world.store.unmarkable = "away"
    ran = run(world, to_file(tmp_path / "a", stop=lambda: 1_010.0 if world.now > 1_001 else None))
    assert (ran.summary.ending, ran.summary.waiting) == ("stopped", 1)
    assert world.now < 1_020


# -- topics


def test_a_topic_gets_the_record_as_it_was_and_a_header_that_says_that_it_comes_again():
    producer = Producer()
    headers = (("h", b"1"), ("h", None), (HEADER, b"an older one"))
    world = world_of([a_letter(1, headers=headers, event=None, key=None), a_letter(2, value=None)])
    assert run(world, to_topic(producer)).done == {"produced": 2}
    ((first, second),) = producer.sent
    assert (first.topic, first.key, first.value, first.headers[:-1]) == ("again", None, b"\x00bytes", headers[:2])
    assert second.value is None
    name, value = first.headers[-1]
    assert name == HEADER
    assert orjson.loads(value)["redrive"]["letter"] == a_letter(1, key=None).id
    assert {mark.done for mark in world.store.ledger} == {"produced"}


def test_letters_of_datahub_actions_have_no_record_for_a_topic():
    producer = Producer()
    ran = run(world_of([ACTIONS_LINE, a_letter(1)]), to_topic(producer))
    assert dict(ran.summary.left_out) == {NO_RECORD: 1}
    assert ran.done == {"produced": 1}


def test_a_broker_that_is_away_is_waited_for_and_nothing_is_marked_before():
    world = world_of([a_letter(1)])
    producer = Producer(Transient("the broker is away"), Transient("the broker is away"))
    ran = run(world, to_topic(producer))
    assert ran.done == {"produced": 1}
    assert ran.troubles == ["the broker is away"] * 2


def test_stopping_ends_the_wait_for_a_broker():
    world = world_of([a_letter(1)])
    producer = Producer(*[Transient("away")] * 100)
    ran = run(world, to_topic(producer, stop=lambda: 2_000.0 if world.now > 1_005 else None))
    assert (ran.summary.ending, ran.summary.waiting, world.store.ledger) == ("stopped", 1, [])


def test_what_is_too_large_for_the_topic_is_left_and_the_others_are_there():
    world = world_of([a_letter(number) for number in range(3)])
    ran = run(world, to_topic(Producer(TooLarge("too large", (1,)))))
    assert ran.done == {"produced": 2}
    assert dict(ran.marking.tally.left) == {TOO_LARGE: 1}
    assert a_letter(1).id not in {mark.letter for mark in world.store.ledger}


@pytest.mark.parametrize("topic", sorted(DATAHUB_TOPICS))
def test_datahubs_own_topics_are_refused(topic):
    assert "DataHub's own" in topic_problem(topic, (), None, ())
    assert "every other consumer" in topic_problem(topic, (), None, ())


def test_topics_that_others_read_for_the_first_time_are_refused_with_what_to_do_instead():
    routes = ["mine-1", "mine-2"]
    assert "source.config.topic_routes" in topic_problem("mine-2", routes, "letters", {"origin"})
    assert "dead_letter.config.topic" in topic_problem("letters", routes, "letters", {"origin"})
    said = topic_problem("origin", routes, "letters", {"origin"})
    assert "chosen letters came from it" in said
    assert "--to handler" in said
    assert topic_problem("again", routes, "letters", {"origin"}) is None


def test_the_topics_that_chosen_letters_came_from_are_known_though_only_the_first_are_held():
    from datahub_poller.redrive.planning import Rules
    from datahub_poller.redrive.running import Bounds, look_at

    world = world_of([a_letter(1, topic="a"), a_letter(2, topic="b"), a_letter(3, topic="c", kind="KeyError")])
    rules = Rules(Choice(errors=("ValueError",)), "topic", world.wall())
    seen = look_at(world.store, "tag-sync", rules, Bounds(letters=1))
    assert seen.look.topics == {"a", "b"}
    assert len(seen.cases()) == 1
