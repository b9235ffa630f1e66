"""Redriving to the handler on virtual time: who is delivered, who fails again, who stays, and when it stops."""

from __future__ import annotations

import pytest

from datahub_poller.deadletter.choice import Choice
from datahub_poller.deadletter.found import found
from datahub_poller.deadletter.letter import to_document
from datahub_poller.deadletter.store import Stored
from datahub_poller.demo.samples import VERSIONED_TOPIC
from datahub_poller.errors import Transient
from datahub_poller.model import Awaiting, Event, SchemaKey, Skipped, Waiting
from datahub_poller.redrive.planning import SUPERSEDED, Look, Rules
from datahub_poller.redrive.running import Bounds
from datahub_poller.redrive.transform import Left, Repaired
from datahub_poller.workers import Done
from support import changing
from support.letter_stores import ACTIONS_LINE, MemoryStore, a_letter, a_mark, as_found
from support.redriving import BEGAN, NoSchemas, Options, World, run, undecodable, world_of

TOPIC = "PlatformEvent_v1"


def at(offset: int, partition: int = 0) -> tuple[str, int, int]:
    return TOPIC, partition, offset


def test_every_letter_is_delivered_once_in_the_order_of_its_partition_and_marked():
    world = world_of(a_letter(offset, partition=offset % 2) for offset in (9, 3, 4, 8, 1, 0, 7))
    ran = run(world)
    assert sorted(world.delivered) == sorted(at(offset, offset % 2) for offset in (9, 3, 4, 8, 1, 0, 7))
    for partition in (0, 1):
        offsets = [offset for _, number, offset in world.delivered if number == partition]
        assert offsets == sorted(offsets)
    assert ran.done == {"delivered": 7}
    assert ran.summary == ("through", 0, 0, {})
    assert {(mark.done, mark.who, mark.run, mark.to, mark.why) for mark in world.store.ledger} == {
        ("delivered", "op@host", "run-1", "handler", "fixed")
    }


def test_a_second_run_finds_nothing_to_do():
    world = world_of(a_letter(offset) for offset in range(5))
    run(world)
    assert run(world).done == {}
    assert len(world.delivered) == 5


def test_the_event_is_that_of_the_letter_and_says_that_it_is_old():
    letter = a_letter(7, cluster="c1", headers=(("h", b"x"),))
    world = world_of([letter])
    run(world)
    ((event,),) = world.calls
    document = to_document(letter)
    assert event["event_type"] == "EntityChangeEvent_v1"
    assert event["event"] == document["event"]
    assert event["meta"]["kafka"] == {
        "topic": TOPIC,
        "partition": 0,
        "offset": 7,
        "timestamp": 1_700_000_000_123,
        "timestamp_type": "CREATE_TIME",
        "key": "k",
        "headers": [["h", "x"]],
        "id": f"c1/{TOPIC}/0/7",
    }
    redrive = event["meta"]["redrive"]
    assert (redrive["count"], redrive["letter"], redrive["failed_at"]) == (1, letter.id, document["meta"]["at"])


def test_what_is_tried_again_is_handed_out_unchanged_though_the_handler_changes_what_it_gets():
    world = world_of([a_letter(1)], {at(1)})
    run(world, Options(attempts=3))
    assert len(world.calls) == 3
    assert all(call[0]["event"]["entityUrn"] == "urn:li:dataset:1" for call in world.calls)


@pytest.mark.parametrize("named", [False, True])
def test_poison_fails_again_and_only_poison(named):
    poison = {at(offset) for offset in (2, 3, 11)}
    world = world_of((a_letter(offset) for offset in range(12)), poison, named=named)
    ran = run(world)
    assert ran.done == {"delivered": 9, "failed_again": 3}
    assert {letter.record.offset for letter in world.written} == {2, 3, 11}
    assert sorted(world.marks("failed_again")) == sorted((a_letter(offset).id, 0) for offset in (2, 3, 11))


def test_what_fails_again_is_a_letter_with_all_that_is_behind_it():
    letter = a_letter(1, cluster="c-of-old", redrives=1)
    world = world_of([letter], {at(1)})
    run(world)
    (again,) = world.written
    assert again.past.redrives == 2
    assert (again.cluster, again.action, again.id, again.record) == ("c-of-old", "tag-sync", letter.id, letter.record)
    assert again.envelope["event"] == letter.envelope["event"]
    assert [trial.error for trial in again.trials] == ["ValueError: still poison"] * 2
    assert again.at > letter.at
    history = to_document(again)["meta"]["history"]
    assert len(history) == 2


def test_a_letter_made_in_a_run_is_not_chosen_in_it_but_in_the_next():
    world = world_of([a_letter(1), a_letter(2)], {at(1)})
    assert run(world).done == {"delivered": 1, "failed_again": 1}
    world.poison.clear()
    assert run(world).done == {"delivered": 1}
    assert world.marks()
    assert world.delivered == [at(2), at(1)]


def test_a_letter_of_the_future_is_left_alone():
    world = world_of([a_letter(1, at=BEGAN + 1_000_000.0)])
    assert run(world).done == {}


def test_a_letter_that_was_redriven_too_often_is_left_out_and_said():
    world = world_of([a_letter(1, redrives=3), a_letter(2, redrives=2)])
    ran = run(world)
    assert world.delivered == [at(2)]
    assert dict(ran.summary.left_out) == {"redriven 3 times already (--max-redrives 3)": 1}


def test_a_letter_that_lies_there_twice_is_handed_out_once_and_marked_in_both_places():
    world = world_of([a_letter(1), a_letter(1)])
    run(world)
    assert world.delivered == [at(1)]
    assert len(world.store.ledger) == 2


def test_one_whose_successor_lies_there_is_written_down_as_failed_again_and_not_handed_out():
    """A run was killed between the new letter and the old one's mark."""
    world = world_of([a_letter(1), a_letter(1, redrives=1)])
    ran = run(world)
    assert [event["meta"]["redrive"]["count"] for call in world.calls for event in call] == [2]
    assert ran.marking.tally.superseded == 1
    assert [(mark.done, mark.redrives) for mark in world.store.ledger] == [("failed_again", 0), ("delivered", 1)]
    assert world.store.ledger[0].error == SUPERSEDED


def test_one_that_failed_anew_after_its_successor_is_handed_out():
    """The group was set back: the record came again as if for the first time."""
    old = a_letter(1, at=1_769_000_000.0, redrives=1)
    world = world_of([old, a_letter(1)], ())
    world.store.ledger.append(a_mark(old, at=1_769_000_001.0))
    assert run(world).done == {"delivered": 1}


def test_two_letters_of_the_same_offset_in_a_topic_made_anew_are_both_delivered():
    world = world_of([a_letter(1, value=b"old"), a_letter(1, value=b"new")])
    assert run(world).done == {"delivered": 2}
    assert world.delivered == [at(1), at(1)]


def test_waves_keep_the_order_and_hold_no_more_than_they_may():
    world = world_of(a_letter(offset) for offset in (5, 1, 4, 0, 3, 2, 6))
    ran = run(world, Options(bounds=Bounds(letters=2)))
    assert [offset for _, _, offset in world.delivered] == list(range(7))
    assert max(map(len, world.calls)) == 2
    assert ran.summary == ("through", 0, 0, {})


def test_a_wave_is_bounded_by_bytes_and_holds_one_letter_at_least():
    world = world_of(a_letter(offset) for offset in (1, 0, 2))
    assert run(world, Options(bounds=Bounds(bytes=1))).done == {"delivered": 3}
    assert [len(call) for call in world.calls] == [1, 1, 1]


def test_a_limit_takes_the_first_ones_and_leaves_the_others_without_a_word():
    world = world_of(a_letter(offset) for offset in (5, 1, 4, 0, 3))
    ran = run(world, Options(bounds=Bounds(limit=3, letters=2)))
    assert [offset for _, _, offset in world.delivered] == [0, 1, 3]
    assert ran.summary == ("through", 0, 0, {})


def test_a_place_that_shows_only_heads_is_looked_at_until_nothing_new_comes():
    class Heads(World):
        def __init__(self):
            super().__init__()
            self.rest = [a_letter(offset) for offset in range(4, 0, -1)]
            self.store.put(a_letter(0))
            self.store.mark = self.mark

        def mark(self, marks):
            self.store.ledger += [mark for _, mark in marks]
            if self.rest:
                self.store.put(self.rest.pop())

    world = Heads()
    assert run(world).done == {"delivered": 5}


def test_an_open_breaker_ends_the_run_and_nothing_was_written():
    world = world_of((a_letter(offset) for offset in range(6)), {at(offset) for offset in range(6)})
    ran = run(world, Options(in_a_row=20))
    assert ran.summary.ending == "broken"
    assert ran.summary.waiting == 6
    assert (world.written, world.store.ledger) == ([], [])


def test_too_many_in_a_row_end_it_too_and_what_was_done_before_counts():
    world = world_of((a_letter(offset) for offset in range(20)), {at(offset) for offset in range(4, 20)})
    ran = run(world, Options(in_a_row=5, size=2))
    assert ran.summary.ending == "broken"
    assert ran.done["delivered"] == 4
    assert ran.marking.tally.all + ran.summary.waiting == 20


def test_without_the_breaker_all_of_them_fail_again():
    world = world_of((a_letter(offset) for offset in range(30)), {at(offset) for offset in range(30)})
    ran = run(world, Options(in_a_row=0))
    assert (ran.summary.ending, ran.done) == ("through", {"failed_again": 30})


def test_a_target_or_a_sink_that_is_away_is_waited_for_and_no_attempt_is_counted():
    world = world_of([a_letter(1), a_letter(2)], {at(1)}, handler_away=3, sink_away=2)
    began = world.now
    ran = run(world)
    assert ran.done == {"delivered": 1, "failed_again": 1}
    assert world.now - began > 3
    assert any("the target is away" in text for text in ran.troubles)
    assert any("the sink is away" in text for text in ran.troubles)


def test_nothing_new_begins_while_what_was_done_cannot_be_written_down():
    world = world_of(a_letter(offset) for offset in range(6))
    mark, refused = world.store.mark, []

    def unwilling(marks):
        if len(refused) < 4:
            refused.append(len(world.calls))
            raise Transient("the ledger is full")
        mark(marks)

    world.store.mark = unwilling
    ran = run(world)
    assert refused == [1, 1, 1, 1]
    assert ran.done == {"delivered": 6}
    assert any("the ledger is full" in text for text in ran.troubles)


def test_the_rate_is_kept():
    world = world_of(a_letter(offset) for offset in range(10))
    began = world.now
    run(world, Options(rate=1.0, size=1))
    assert 8.9 <= world.now - began <= 15


def test_stopping_lets_what_runs_end_and_leaves_the_rest():
    world = world_of(a_letter(offset) for offset in range(9))
    ran = run(world, Options(stop=lambda: world.now + 10 if world.calls else None))
    assert (ran.summary.ending, ran.done, ran.summary.waiting) == ("stopped", {"delivered": 3}, 6)
    assert len(world.store.ledger) == 3


def test_stopping_gives_up_a_ledger_that_stays_away():
    world = world_of(a_letter(offset) for offset in range(3))
    world.store.unmarkable = "the ledger is away"
    ran = run(world, Options(stop=lambda: 1_020.0 if world.calls else None))
    assert (ran.summary.ending, ran.done, ran.summary.waiting) == ("stopped", {}, 3)


# -- letters without an event


def test_a_letter_without_an_event_is_decoded_now():
    def decode(record, now):
        return Event({"event_type": "EntityChangeEvent_v1", "event": {"entityUrn": "urn:x"}, "meta": {"kafka": {}}})

    world = world_of([a_letter(1, event=None)])
    assert run(world, Options(decode=decode)).done == {"delivered": 1}
    ((event,),) = world.calls
    assert event["event"] == {"entityUrn": "urn:x"}
    assert event["meta"]["kafka"]["offset"] == 1
    assert event["meta"]["redrive"]["count"] == 1


@pytest.mark.parametrize(
    ("decode", "words"),
    [
        (undecodable, "still undecodable: schema_not_found: nobody knows it"),
        (lambda record, now: Skipped("filtered"), "the action's filters drop it"),
        (lambda record, now: Skipped("tombstone"), "it has no value"),
        (lambda record, now: Skipped("not_routed"), "of no kind that the action reads"),
    ],
)
def test_what_cannot_be_decoded_stays_as_it_is_and_is_no_attempt(decode, words):
    world = world_of([a_letter(1, event=None), a_letter(2)])
    ran = run(world, Options(decode=decode))
    assert world.delivered == [at(2)]
    (reason,) = ran.marking.tally.left
    assert words in reason
    assert [mark.letter for mark in world.store.ledger] == [a_letter(2).id]


def test_a_schema_that_is_not_here_is_waited_for_and_keeps_its_partition_back():
    class Away(NoSchemas):
        here = False

        def arrived(self, done, now):
            self.here = True

        def waiting(self):
            return {} if self.here else {SchemaKey("confluent", 4): Waiting(0.0, "the registry is away", 3)}

    def decode(record, now):
        if not schemas.here:
            return Awaiting(SchemaKey("confluent", 4))
        return Event({"event_type": "EntityChangeEvent_v1", "event": {}, "meta": {}})

    schemas = Away()
    world = world_of([a_letter(1, event=None), a_letter(2), a_letter(3, partition=1)])
    world.mail.append((world.now + 50.0, Done("a fetch", None, None)))
    ran = run(world, Options(decode=decode, schemas=schemas))
    assert world.delivered == [at(3, 1), at(1), at(2)]
    assert ran.done == {"delivered": 3}
    assert "waiting for confluent schema 4: the registry is away" in ran.troubles


def test_letters_of_bytes_that_do_not_fit_are_read_by_the_schema_that_the_id_names_now():
    """One question settles them all; what still fits nothing stays as it is."""
    changing_world = changing.World()
    changing_world.registry.names[changing.KEY] = changing.NEW
    bodies = [changing.GOOD[changing.NEW], changing.BAD, changing.GOOD[changing.OLD]]
    world = world_of(
        a_letter(offset, event=None, topic=VERSIONED_TOPIC, value=body) for offset, body in enumerate(bodies)
    )
    asked = []

    def submit(ticket, work):
        asked.append(ticket)
        world.mail.append((world.now, Done(ticket, work(), None)))

    changing_world.schemas._submit = submit
    ran = run(world, Options(decode=changing_world.intake.read, schemas=changing_world.intake))
    assert [offset for *_, offset in world.delivered] == [0, 2]
    (reason,) = ran.marking.tally.left
    assert "still undecodable: not_avro" in reason
    assert len(asked) == 1
    assert any("has changed under its id" in trouble and "traceId" in trouble for trouble in ran.troubles)


# -- letters of DataHub Actions


def test_a_letter_of_datahub_actions_is_handed_out_as_it_is():
    world = world_of([ACTIONS_LINE])
    assert run(world).done == {"delivered": 1}
    ((event,),) = world.calls
    assert event["meta"]["kafka"] == {"topic": TOPIC, "partition": 1, "offset": 5}
    assert event["meta"]["redrive"]["count"] == 1
    assert event["meta"]["redrive"]["origin"]["offset"] == 5


def test_one_that_fails_again_stays_and_nothing_new_is_written():
    world = world_of([ACTIONS_LINE, a_letter(1)], {at(5, 1)})
    ran = run(world)
    assert (world.written, ran.done) == ([], {"delivered": 1})
    (reason,) = ran.marking.tally.left
    assert "failed again, and stays as it is" in reason
    assert world.attempts.count(at(5, 1)) == 2


def test_those_without_coordinates_are_handed_out_too():
    line = b'{"event_type": "EntityChangeEvent_v1", "event": {"entityUrn": "urn:%d"}, "meta": {}}\n'
    world = world_of([line % 1, line % 2, a_letter(1)])
    assert run(world).done == {"delivered": 3}
    assert [event["event"]["entityUrn"] for call in world.calls for event in call] == [
        "urn:li:dataset:1",
        "urn:1",
        "urn:2",
    ]


# -- transform


def test_a_transform_repairs_the_event_and_the_letter_keeps_its_own():
    def mend(document):
        return Repaired(document["event_type"], {**document["event"], "category": "mended"})

    world = world_of([a_letter(1), a_letter(2)], {at(1)})
    run(world, Options(transform=mend))
    assert {event["event"]["category"] for call in world.calls for event in call} == {"mended"}
    (again,) = world.written
    assert again.envelope["event"]["category"] == "TAG"


def test_a_transform_may_leave_letters_as_they_are_and_may_make_an_event_of_bytes():
    def mend(document):
        if document["event"] is None:
            return Repaired("EntityChangeEvent_v1", {"made": True})
        return Left("not for me")

    world = world_of([a_letter(1), a_letter(2, event=None)], {at(2)})
    ran = run(world, Options(transform=mend))
    assert dict(ran.marking.tally.left) == {"not for me": 1}
    assert world.calls[0][0]["event"] == {"made": True}
    (again,) = world.written
    assert again.envelope is None


def test_what_the_handler_decoded_now_fails_again_as_a_letter_with_its_event():
    def decode(record, now):
        return Event({"event_type": "EntityChangeEvent_v1", "event": {"now": True}, "meta": {}})

    world = world_of([a_letter(1, event=None)], {at(1)})
    run(world, Options(decode=decode))
    (again,) = world.written
    assert again.envelope["event"] == {"now": True}


def test_letters_of_other_actions_are_never_handed_out():
    world = world_of([a_letter(1, action="another"), a_letter(2)])
    run(world)
    assert world.delivered == [at(2)]


def test_the_name_of_a_letter_that_was_read_back_is_that_of_the_new_one():
    world = world_of([a_letter(1)], {at(1)})
    run(world)
    (line,) = [line for number, line in world.store.lines.items() if number]
    again = found(Stored(line, "there"), "tag-sync")
    assert again.name == ("tag-sync", a_letter(1).id, 1)


def test_a_successor_from_a_machine_whose_clock_is_behind_is_not_chosen_in_the_same_run():
    world = world_of([a_letter(1)])
    mark = world.store.mark

    def marked(marks):
        mark(marks)
        world.store.put(a_letter(1, redrives=1))

    world.store.mark = marked
    assert run(world).done == {"delivered": 1}
    assert world.delivered == [at(1)]


def test_a_look_holds_no_more_letters_than_it_has_to():
    look = Look(Rules(Choice(), "handler", BEGAN), most=3, size=10**9)
    for offset in range(1_000, 0, -1):
        look.take(as_found(a_letter(offset)), "waiting")
        assert len(look._held) <= 200
    assert [case.letter.offset for case in look.cases(lambda letter: [letter.stored])] == [1, 2, 3]
    assert look.matched == 1_000


def test_the_last_of_all_is_written_down_too():
    world = world_of([a_letter(1)])
    mark, refused = world.store.mark, []

    def unwilling(marks):
        if len(refused) < 2:
            refused.append(1)
            raise Transient("the ledger is full")
        mark(marks)

    world.store.mark = unwilling
    assert run(world).done == {"delivered": 1}
    assert len(world.store.ledger) == 1


def test_what_was_given_up_before_the_breaker_opened_becomes_a_letter_before_the_run_ends():
    made = [a_letter(1, partition=0), a_letter(1, partition=1), a_letter(2, partition=1), a_letter(3, partition=1)]
    world = world_of(made, {at(1, 0), at(1, 1), at(2, 1), at(3, 1)}, sink_away=1)
    ran = run(world, Options(in_a_row=3, size=1, attempts=1))
    assert ran.summary.ending == "broken"
    assert {name for name, _ in world.marks("failed_again")} == {made[0].id, made[1].id}
    assert ran.summary.waiting == 2


def test_a_place_that_hides_what_it_has_shown_is_opened_anew_for_what_was_not_held():
    class Hiding(MemoryStore):
        def __init__(self, letters):
            super().__init__(letters)
            self.shown = set()

        def scan(self):
            for stored in super().scan():
                if stored.handle not in self.shown:
                    self.shown.add(stored.handle)
                    yield stored

        def close(self):
            self.shown.clear()

    world = World(Hiding([a_letter(offset) for offset in range(5)]))
    ran = run(world, Options(bounds=Bounds(letters=2)))
    assert ran.done == {"delivered": 5}
    assert ran.summary.gone == 0


def test_letters_that_are_gone_when_it_is_their_turn_are_counted():
    world = world_of(a_letter(offset) for offset in range(5))
    mark = world.store.mark

    def marked(marks):
        mark(marks)
        world.store.lines = {0: world.store.lines[0]}

    world.store.mark = marked
    ran = run(world, Options(bounds=Bounds(letters=2)))
    assert (ran.done, ran.summary.gone) == ({"delivered": 2}, 3)
