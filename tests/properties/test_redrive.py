"""What a redrive promises, for any letters, any handler, and a kill at any point."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.deadletter.account import letters
from datahub_poller.deadletter.choice import Choice
from datahub_poller.deadletter.letter import to_line
from datahub_poller.redrive.outcomes import Author, Outcome
from datahub_poller.redrive.planning import Look, Rules
from datahub_poller.redrive.running import Bounds
from support.letter_stores import MemoryStore, a_letter
from support.redriving import BEGAN, Killed, Options, run, world_of

RULES = Rules(Choice(), "handler", BEGAN)

placed = st.builds(
    a_letter,
    st.integers(0, 6),
    partition=st.integers(0, 2),
    redrives=st.integers(0, 4),
    action=st.sampled_from(("tag-sync", "tag-sync", "tag-sync", "another")),
    kind=st.sampled_from(("KeyError", "ValueError")),
    value=st.sampled_from((b"a", b"b")),
)
stores = st.lists(placed, max_size=14)
first_time = st.lists(
    st.builds(a_letter, st.integers(0, 30), partition=st.integers(0, 2)), max_size=14, unique_by=lambda each: each.id
)


def looked(store, rules=RULES, tried=(), **bounds):
    look, found = Look(rules, tried, **bounds), letters(store, "tag-sync")
    for letter, state in found:
        look.take(letter, state)
    return look, look.cases(found.places_of), look.superseded(found.places_of)


@given(stores)
def test_a_plan_has_each_name_once_each_place_once_and_each_partition_in_order(made):
    _, cases, over = looked(MemoryStore(made))
    names = [case.letter.name for case in cases]
    assert len(set(names)) == len(names)
    assert not set(names) & {case.letter.name for case in over}
    for partition in (0, 1, 2):
        offsets = [case.letter.offset for case in cases if case.letter.tp.partition == partition]
        assert offsets == sorted(set(offsets))


@given(stores, st.integers(1, 5))
def test_a_plan_holds_nothing_of_others_and_nothing_that_was_redriven_too_often(made, most):
    rules = RULES._replace(max_redrives=most)
    look, cases, over = looked(MemoryStore(made), rules)
    for case in [*cases, *over]:
        assert case.letter.action == "tag-sync"
        assert case.letter.redrives < most
    too_often = {each.id for each in made if each.action == "tag-sync" and each.past.redrives >= most}
    assert (look.left.total() == 0) == (not too_often)


@given(stores, st.sampled_from(("KeyError", "ValueError")))
def test_a_plan_holds_what_is_chosen_and_nothing_else(made, kind):
    _, cases, _ = looked(MemoryStore(made), RULES._replace(choice=Choice(errors=(kind,))))
    assert {case.letter.kind for case in cases} <= {kind}


@given(stores)
def test_of_two_letters_of_one_record_the_later_one_goes_out_and_none_is_forgotten(made):
    store, seen = MemoryStore(made), set()
    while True:
        look, cases, over = looked(store, tried=seen)
        assert (look.matched == 0) == (not cases and not over)
        if not look.matched:
            break
        for case in cases:
            later = [each for each in made if each.id == case.letter.id and each.past.redrives > case.letter.redrives]
            assert not [each for each in later if each.action == "tag-sync"]
        seen |= {case.letter.name for case in [*cases, *over]}
    wanted = {(each.action, each.id, each.past.redrives) for each in made}
    assert {name for name in seen if name[2] < 3} == {
        name for name in wanted if name[0] == "tag-sync" and name[2] < 3 and name not in _made_by(seen, wanted)
    }


def _made_by(seen, wanted):
    """Letters that look as if this very run had made them: their predecessor was tried in it."""
    return {name for name in wanted if (name[0], name[1], name[2] - 1) in seen and name not in seen}


@given(stores, st.data())
def test_after_any_prefix_of_marks_the_rest_and_only_the_rest_is_chosen(made, data):
    store = MemoryStore(made)
    _, cases, _ = looked(store)
    author = Author("op", "run", "handler")
    done = cases[: data.draw(st.integers(0, len(cases)))]
    store.mark([mark for case in done for mark in author.marks(Outcome(case, "delivered"), BEGAN)])
    _, rest, _ = looked(store)
    expected = [case.letter.name for case in cases[len(done) :]]
    places = {(case.letter.tp, case.letter.offset) for case in done}
    # What stood behind another letter of the same offset comes up when that is done.
    now = [case.letter.name for case in rest if (case.letter.tp, case.letter.offset) not in places]
    assert now == expected
    assert not {case.letter.name for case in rest} & {case.letter.name for case in done}


@given(stores, st.integers(1, 4))
def test_a_bounded_look_gives_the_first_of_all(made, most):
    unique = list({each.id: each for each in made}.values())
    _, everything, over = looked(MemoryStore(unique))
    _, first, _ = looked(MemoryStore(unique), most=most)
    if not over:
        assert [case.letter.name for case in first] == [case.letter.name for case in everything][: len(first)]
    assert len(first) <= most


options = st.builds(
    Options,
    size=st.integers(1, 5),
    concurrency=st.integers(1, 3),
    attempts=st.integers(1, 2),
    bounds=st.builds(Bounds, letters=st.integers(1, 20)),
)
poisons = st.sets(st.tuples(st.just("PlatformEvent_v1"), st.integers(0, 2), st.integers(0, 30)), max_size=8)


@given(first_time, poisons, st.booleans(), options, st.sampled_from((0, 4)))
def test_everything_chosen_comes_to_one_thing_and_poison_alone_fails_again(made, poison, named, how, in_a_row):
    how.in_a_row = in_a_row
    world = world_of(made, poison, named=named)
    ran = run(world, how)
    tally = ran.marking.tally
    assert tally.done.total() + tally.left.total() + ran.summary.waiting == len(made)
    assert set(world.marks()) <= {(each.id, 0) for each in made}
    bad = {each.id for each in made if (each.record.tp.topic, each.record.tp.partition, each.record.offset) in poison}
    assert {name for name, _ in world.marks("failed_again")} <= bad
    assert not {name for name, _ in world.marks("delivered")} & bad
    assert sorted(each.id for each in world.written) == sorted(name for name, _ in world.marks("failed_again"))
    if in_a_row == 0:
        assert ran.summary.ending == "through"
        assert {name for name, _ in world.marks("failed_again")} == bad
    for partition in (0, 1, 2):
        offsets = [offset for _, number, offset in world.delivered if number == partition]
        assert offsets == sorted(offsets)


@given(first_time, poisons, st.booleans(), options, st.lists(st.integers(1, 120), max_size=4))
def test_a_kill_at_any_point_loses_nothing_and_the_next_run_goes_on(made, poison, named, how, kills):
    world = world_of(made, poison, named=named)
    for after in kills:
        world.kill_at = world.steps + after
        try:
            run(world, how)
        except Killed:
            continue
    world.kill_at = None
    how.max_redrives = 100
    run(world, how)
    marked = {name for name, redrives in world.marks() if redrives == 0}
    assert marked == {each.id for each in made}
    good = {each.id for each in made if _at(each) not in poison}
    delivered = set(world.delivered)
    assert all(_at(each) in delivered for each in made if each.id in good)
    lines = {to_line(each) for each in made}
    assert set(list(world.store.lines.values())[: len(made)]) == lines
    # What failed again has a letter that is waiting, or had one that was tried in turn.
    again = {letter.id for letter in world.written}
    assert again == {each.id for each in made} - good


def _at(letter):
    return letter.record.tp.topic, letter.record.tp.partition, letter.record.offset
