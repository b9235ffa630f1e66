"""`dead-letters` on a place in memory: what is shown, dropped and refused, and what a hostile letter can do."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from datahub_poller import letterbox
from datahub_poller.cli import cli
from datahub_poller.commands.dead_letters.choosing import choice_of, moment
from datahub_poller.deadletter.account import letters
from datahub_poller.deadletter.choice import Choice, matches
from datahub_poller.deadletter.letter import Trial, to_document
from datahub_poller.deadletter.stats import Figures
from datahub_poller.model import SchemaKey
from datahub_poller.observe.event_line import plain
from datahub_poller.observe.letter_line import letter_line
from datahub_poller.observe.letter_page import Page
from datahub_poller.observe.scrub import one_line
from support.action_files import MINIMAL, written
from support.letter_stores import ACTIONS_LINE, MemoryStore, a_letter, a_mark

pytestmark = pytest.mark.usefixtures("logging_as_before")
NOW = 1_769_846_400.0  # 2026-01-31T08:00:00Z
WHY = ("--yes", "--why", "gone for good")


@pytest.fixture
def store(monkeypatch):
    store = MemoryStore([a_letter(1), a_letter(2, kind="KeyError", message="'urn'"), a_letter(3, stage="decode")])
    monkeypatch.setattr(letterbox, "store", lambda action, environ: store)
    return store


@pytest.fixture
def run(store, tmp_path):
    file = str(written(tmp_path, MINIMAL))

    def run(command: str, *arguments: str) -> Result:
        result = CliRunner().invoke(cli, ["dead-letters", command, "-c", file, *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def documents(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def shown(result: Result) -> list[str]:
    """The offset of each line's letter."""
    return [line.split()[1].split("/")[2] for line in result.stdout.splitlines()]


def put(store: MemoryStore, *letters) -> None:
    store.lines.clear()
    for letter in letters:
        store.put(letter)


# -- list


def test_a_line_tells_when_which_where_why_and_what(run, store):
    put(store, a_letter(1, redrives=2))
    letter_id = a_letter(1).id
    result = run("list")
    assert result.exit_code == 0
    assert result.stdout == (
        f"2026-01-31T08:00:01.000Z {letter_id} handler ValueError: tag unknown urn:li:dataset:1 (after redrive 2)\n"
    )
    assert result.stderr == "datahub-poller: 1 letter in memory\n"


def test_the_newest_come_last_and_the_rest_is_counted(run, store):
    put(store, *(a_letter(number) for number in (3, 1, 2)), ACTIONS_LINE)
    first, *others = run("list").stdout.splitlines()
    assert first.startswith("- datahub-actions/")
    assert [line[:24] for line in others] == [f"2026-01-31T08:00:0{number}.000Z" for number in (1, 2, 3)]
    result = run("list", "--limit", "2")
    assert shown(result) == ["2", "3"]
    assert "4 letters, the newest 2 shown: 2 more (--limit 4 shows all)" in result.stderr


def test_fifty_are_shown_where_nothing_is_said(run, store):
    put(store, *(a_letter(number) for number in range(60)))
    assert shown(run("list")) == [str(number) for number in range(10, 60)]
    assert len(documents(run("list", "--json"))) == 60
    assert [each["meta"]["kafka"]["offset"] for each in documents(run("list", "--json", "--limit", "2"))] == [58, 59]


def test_letters_that_were_redriven_or_dropped_are_shown_when_they_are_asked_for(run, store):
    store.ledger += [a_mark(a_letter(1)), a_mark(a_letter(3, stage="decode"), "dropped")]
    result = run("list")
    assert shown(result) == ["2"]
    assert "not shown: 1 dropped, 1 redriven (--state all shows all)" in result.stderr
    assert shown(run("list", "--state", "redriven")) == ["1"]
    assert shown(run("list", "--state", "redriven", "--state", "dropped")) == ["1", "3"]
    everything = run("list", "--state", "all")
    assert [line.rpartition(" ")[2] for line in everything.stdout.splitlines()] == [
        "(redriven)",
        "urn:li:dataset:2",
        "(dropped)",
    ]


@pytest.mark.parametrize(
    ("options", "offsets"),
    [
        (["--error", "KeyError"], ["2"]),
        (["--error", "*: tag*"], ["1", "3"]),
        (["--stage", "decode"], ["3"]),
        (["--topic", "Platform*", "--partition", "0", "--entity", "*:2", "--aspect", "TAG", "--key", "k"], ["2"]),
        (["--partition", "1"], []),
        (["--since", "2026-01-31T08:00:02Z", "--until", "2026-01-31T08:00:03Z"], ["2"]),
        (["--until", "1h"], ["1", "2", "3"]),
        (["--since", "1h"], []),
        (["--id", "PlatformEvent_v1-0@3", "--id", "PlatformEvent_v1/0/1"], ["1", "3"]),
        (["--redrives-below", "1"], ["1", "2", "3"]),
    ],
)
def test_options_say_which_letters(run, options, offsets):
    assert shown(run("list", *options)) == offsets


def test_json_is_the_whole_letter_with_its_state_and_place(run, store):
    store.put(a_letter(1))
    store.put(ACTIONS_LINE)
    first, *_, foreign = documents(run("list", "--json"))
    letter = json.loads(store.lines[0])
    assert first == {**letter, "id": letter["meta"]["id"], "state": "waiting", "where": ["memory:0"]}
    assert foreign["id"].startswith("datahub-actions/")
    limited = documents(run("list", "--json", "--limit", "9"))
    assert [each["where"] for each in limited if each["id"] == first["id"]] == [["memory:0", "memory:3"]]


def test_what_lies_among_the_letters_is_said(run, store):
    for line in (a_letter(1), a_letter(1, action="other"), *[b"\x1b[2Jx"] * 7):
        store.put(line)
    result = run("list")
    assert shown(result) == ["1", "2", "3"]
    assert "1 letter there more than once" in result.stderr
    assert "1 letter of other actions" in result.stderr
    assert "no dead letter: memory:5: it is not JSON" in result.stderr
    assert "no dead letter: 2 more" in result.stderr


# -- show


def test_a_page_tells_all(run, store):
    letter = a_letter(
        7,
        stack="Traceback\n  File x",
        response='{"no": 1}',
        key=b"\xff",
        headers=(("trace", b"abc"), ("trace", None), ("bin", b"\xfe")),
        cluster="c1",
        schema=SchemaKey("confluent", 4),
        trials=(Trial(NOW, "b0", 2, 5, "KeyError: x"),),
    )
    put(store, letter, letter)
    store.ledger.append(a_mark(letter, "failed_again", to="handler", error="again"))
    result = run("show", "PlatformEvent_v1-0@7")
    assert result.exit_code == 0
    for text in (
        f"{letter.id}  redriven",
        "given up   2026-01-31T08:00:07.000Z, after 3 attempts, batch b1",
        "record     PlatformEvent_v1-0@7 of cluster c1, 2023-11-14T22:13:20.123Z (CREATE_TIME)",
        "key        0xff",
        "headers    trace=abc; trace=null; bin=0xfe",
        "schema     confluent schema 4",
        "entity     urn:li:dataset:7",
        "lies at    memory:0\n             memory:1",
        "Error in handler\n  ValueError: tag unknown",
        "Stack\n  Traceback\n    File x",
        'Response\n  {"no": 1}',
        "  2026-01-31T08:00:00.000+00:00        2       5  b0     KeyError: x",
        "failed again  op@host  to handler; again",
        'Event EntityChangeEvent_v1\n  {\n    "entityUrn": "urn:li:dataset:7",',
    ):
        assert text in result.stdout


def test_a_record_without_an_event_is_shown_by_its_first_bytes(run, store):
    put(store, a_letter(1, event=None, value=bytes(range(256)) + b"xyz", attempts=0, batch_id=None))
    out = run("show", "PlatformEvent_v1/0/1").stdout
    assert "no handler was called" in out
    assert "No event; the value's 259 bytes" in out
    assert "000040  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO" in out
    assert "... 3 more (--raw FILE writes all)" in out
    put(store, a_letter(1, event=None, value=None))
    assert "a tombstone" in run("show", "PlatformEvent_v1/0/1").stdout


def test_letters_of_one_record_are_shown_together(run, store):
    put(store, a_letter(1, redrives=1, message="second"), a_letter(1, message="first"), a_letter(2))
    out = run("show", a_letter(1).id).stdout
    assert out.index("Letter 1 of 2") < out.index("first") < out.index("Letter 2 of 2") < out.index("second")
    first, second = documents(run("show", a_letter(1).id, "--json"))
    assert (first["meta"]["redrives"], second["meta"]["redrives"]) == (0, 1)


def test_json_of_a_letter_has_its_ledger(run, store):
    store.ledger.append(a_mark(a_letter(1), to="handler"))
    (document,) = documents(run("show", a_letter(1).id, "--json"))
    assert document["state"] == "redriven"
    (mark,) = document["ledger"]
    assert (mark["done"], mark["to"], mark["who"]) == ("delivered", "handler", "op@host")


def test_a_letter_of_datahub_actions_is_shown(run, store):
    put(store, ACTIONS_LINE)
    out = run("show", "datahub-actions/").stdout
    assert "DataHub Actions does not say why" in out
    assert '"entityUrn": "urn:li:dataset:old"' in out


@pytest.mark.parametrize("name", ["nothing", "PlatformEvent_v1-0@9", "PlatformEvent_v1/0/11", "\x1b[2J"])
def test_an_unknown_id_is_wrong_use(run, name):
    result = run("show", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is no letter of this place" in result.stderr
    assert "\x1b" not in result.stderr


def test_an_ambiguous_id_names_what_it_may_mean(run, store):
    for number in range(4, 20):
        store.put(a_letter(number))
    result = run("show", "PlatformEvent_v1/0")
    assert result.exit_code == 2
    assert "may mean 19 letters" in result.stderr
    assert a_letter(2, kind="KeyError", message="'urn'").id in result.stderr
    assert "and 9 more. Give more of the id" in result.stderr


def test_a_topic_that_was_made_anew_has_two_letters_of_one_place(run, store):
    store.put(a_letter(1, value=b"another"))
    assert "may mean 2 letters" in run("show", "PlatformEvent_v1-0@1").stderr
    assert run("show", a_letter(1).id).exit_code == 0


def test_raw_writes_the_value_and_nothing_that_is_there(run, tmp_path):
    file = tmp_path / "value.bin"
    result = run("show", "PlatformEvent_v1-0@1", "--raw", str(file))
    assert result.exit_code == 0
    assert file.read_bytes() == b"\x00bytes"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "wrote 6 bytes to" in result.stderr
    again = run("show", "PlatformEvent_v1-0@2", "--raw", str(file))
    assert (again.exit_code, again.stdout) == (2, "")
    assert "is there already" in again.stderr
    assert file.read_bytes() == b"\x00bytes"


@pytest.mark.parametrize(
    ("letter", "reason"),
    [(a_letter(5, partition=1, value=None), "tombstone"), (ACTIONS_LINE, "its record cannot be read")],
)
def test_raw_without_a_value_leaves_no_file(run, store, tmp_path, letter, reason):
    put(store, letter)
    file = tmp_path / "value.bin"
    result = run("show", "PlatformEvent_v1-1@5", "--raw", str(file))
    assert result.exit_code == 1
    assert reason in result.stderr
    assert not file.exists()


def test_raw_where_nothing_can_be_written_is_said(run, tmp_path):
    result = run("show", "PlatformEvent_v1-0@1", "--raw", str(tmp_path / "no" / "value.bin"))
    assert result.exit_code == 1
    assert "cannot be written: No such file or directory" in result.stderr


# -- stats


def test_figures_are_by_error_over_time_and_by_entity(run, store):
    put(store, *(a_letter(1, partition=number, at=NOW + number * 3600) for number in range(4)), a_letter(9, kind="E"))
    store.ledger.append(a_mark(a_letter(9, kind="E"), "dropped"))
    out = run("stats", "--state", "all").stdout.splitlines()
    assert out[0] == "5 letters (1 dropped, 4 waiting); by stage: handler 5"
    assert out[2].split() == ["error", "stage", "letters", "first", "last", "by", "hour", "topics"]
    assert out[3].startswith("ValueError  handler        4  2026-01-31T08:00:00.000Z  2026-01-31T11:00:00.000Z  ████")
    assert out[4] == "    tag unknown"
    assert [line.split()[0] for line in out if line.startswith("2026")] == [
        "2026-01-31T08:00",
        "2026-01-31T09:00",
        "2026-01-31T10:00",
        "2026-01-31T11:00",
    ]
    assert "        4  urn:li:dataset:1" in out
    assert "aspects with most letters, of 1" in out


def test_figures_of_nothing_are_a_line(run, store):
    store.ledger += [a_mark(a_letter(1), "dropped")]
    result = run("stats", "--error", "Nothing*")
    assert (result.exit_code, result.stdout) == (0, "0 letters\n")
    assert run("stats", "--id", a_letter(1).id).stdout == "0 letters; not counted: 1 dropped\n"


def test_figures_as_json(run, store):
    store.put(b"x")
    store.put(ACTIONS_LINE)
    figures = json.loads(run("stats", "--json", "--by", "day").stdout)
    assert (figures["letters"], figures["by"], figures["without_time"]) == (4, "day", 1)
    assert figures["over_time"] == [{"from": "2026-01-31T00:00:00.000Z", "letters": 3}]
    assert figures["stages"] == {"handler": 3, "decode": 1}
    assert figures["no_letters"]["first"][0]["where"] == "memory:3"
    over_time = {(group["kind"], group["stage"]): group["over_time"] for group in figures["groups"]}
    once = [{"from": "2026-01-31T00:00:00.000Z", "letters": 1}]
    assert over_time == {
        ("ValueError", "handler"): once,
        ("KeyError", "handler"): once,
        ("ValueError", "decode"): once,
        ("unknown", "handler"): [],
    }


# -- drop


def test_a_dry_run_says_what_would_be_dropped_and_does_nothing(run, store):
    result = run("drop", "--error", "*Error")
    assert result.exit_code == 0
    assert "        2  ValueError\n        1  KeyError\n" in result.stdout
    assert result.stdout.count("would drop 2026-01-31T08:00:0") == 3
    assert "3 letters would be dropped; nothing was done. --yes --why TEXT drops them" in result.stderr
    assert (len(store.lines), store.ledger, store.removed) == (3, [], [])
    (document,) = documents(run("drop", "--error", "KeyError", "--json"))
    assert (document["id"], document["dropped"]) == (a_letter(2, kind="KeyError").id, False)


def test_letters_are_marked_with_who_and_why_and_then_removed(run, store):
    result = run("drop", "--error", "KeyError", *WHY)
    assert result.exit_code == 0
    assert (sorted(store.lines), store.removed) == ([0, 2], [1])
    (mark,) = store.ledger
    assert (mark.done, mark.why, mark.letter, mark.redrives) == (
        "dropped",
        "gone for good",
        a_letter(2, kind="KeyError").id,
        0,
    )
    assert "@" in mark.who
    assert result.stdout.startswith("dropped 2026-01-31T08:00:02.000Z PlatformEvent_v1/0/2/")
    assert result.stderr == "datahub-poller: 1 letter dropped\n"


def test_every_place_of_a_letter_goes_and_other_actions_letters_stay(run, store):
    put(store, a_letter(1), a_letter(1), a_letter(1, action="other"), b"no letter")
    result = run("drop", "--all", *WHY, "--json")
    assert result.exit_code == 0
    assert sorted(store.lines) == [2, 3]
    (audit,) = documents(result)
    assert audit["where"] == ["memory:0", "memory:1"]
    assert (audit["dropped"], audit["why"], audit["state"]) == (True, "gone for good", "waiting")
    assert {mark.run for mark in store.ledger} == {audit["run"]}


@pytest.mark.parametrize("options", [[], ["--state", "waiting"], ["--state", "all"], [*WHY]])
def test_everything_is_not_dropped_by_mistake(run, store, options):
    result = run("drop", *options)
    assert result.exit_code == 2
    assert "--all" in result.stderr
    assert (len(store.lines), store.ledger) == (3, [])


def test_what_is_done_with_is_cleared_by_its_state(run, store):
    store.ledger.append(a_mark(a_letter(1)))
    assert run("drop", "--state", "redriven", *WHY).exit_code == 0
    assert store.removed == [0]


@pytest.mark.parametrize("why", [[], ["--why", ""], ["--why", "  "]])
def test_why_must_be_said(run, store, why):
    result = run("drop", "--all", "--yes", *why)
    assert result.exit_code == 2
    assert "--why TEXT" in result.stderr
    assert store.ledger == []


def test_a_ledger_that_cannot_be_written_leaves_the_letters(run, store):
    store.unmarkable = "the disk is full"
    result = run("drop", "--all", *WHY)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "0 letters dropped; 3 not, or not for certain: the disk is full. Run it again" in result.stderr
    assert len(store.lines) == 3


def test_what_was_marked_and_not_removed_is_said_and_can_be_tried_again(run, store):
    store.stuck = "no right to delete"
    result = run("drop", "--all", *WHY)
    assert result.exit_code == 1
    assert (
        "3 letters marked as dropped, and not all removed: no right to delete. `drop --state dropped`" in result.stderr
    )
    assert len(store.ledger) == 3
    store.stuck = ""
    assert run("drop", "--state", "dropped", *WHY).exit_code == 0
    assert (len(store.ledger), store.lines) == (3, {})


def test_a_place_that_only_marks_has_dropped_all_the_same(run, store):
    store.cannot_delete = True
    assert run("drop", "--all", *WHY).exit_code == 0
    assert run("list").stdout == ""
    assert shown(run("list", "--state", "dropped")) == ["1", "2", "3"]


def test_many_are_marked_in_parts_and_what_was_done_is_told_until_it_fails(run, store, monkeypatch):
    monkeypatch.setattr(importlib.import_module("datahub_poller.commands.dead_letters.drop"), "CHUNK", 2)
    mark = store.mark

    def full(marks):
        store.unmarkable = "full" if store.ledger else ""
        mark(marks)

    store.mark = full
    result = run("drop", "--all", *WHY)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == len(store.ledger) == 2
    assert "2 letters dropped; 1 not, or not for certain: full" in result.stderr
    assert store.removed == []


def test_letters_that_the_place_does_not_let_go_are_said(run, store):
    store.remove = lambda letters: len(letters) - 1
    result = run("drop", "--all", *WHY)
    assert result.exit_code == 1
    assert "3 letters marked as dropped; 1 of them could not be removed" in result.stderr


def test_nothing_to_drop_is_said(run, store):
    assert "there is nothing to drop" in run("drop", "--error", "No*").stderr
    assert run("drop", "--error", "No*", *WHY).stderr == "datahub-poller: 0 letters dropped\n"


# -- all of them

EVERY = [("list",), ("stats",), ("show", "PlatformEvent_v1/0/1"), ("drop", "--all")]


@pytest.mark.parametrize("command", EVERY)
def test_a_place_that_cannot_be_read_ends_it_with_the_reason(run, store, command):
    store.unreadable = "the place cannot be read: no right\nTraceback"
    result = run(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "datahub-poller: the place cannot be read: no right\n"
    assert store.closed


@pytest.mark.parametrize("command", EVERY)
def test_the_places_caution_is_said_first(run, store, command):
    store.caution = "looking hides\x1b[2J what is seen"
    assert run(*command).stderr.startswith("datahub-poller: looking hides\\x1b[2J what is seen\n")
    assert store.closed


@pytest.mark.parametrize("command", [*EVERY, ("list", "--json"), ("stats", "--json"), ("drop", "--all", "--json")])
def test_nothing_in_a_letter_steers_the_terminal_or_makes_a_line_of_its_own(run, store, command):
    evil = "\x1b]0;owned\x07\x1b[2J\r\nfake line\u202e\x9b\u2028"
    letter = a_letter(
        1,
        kind=evil,
        message=evil,
        stack=evil,
        response=evil,
        key=evil.encode(),
        event={"entityUrn": evil, "category": evil, evil: evil},
        headers=((evil, evil.encode()),),
        batch_id=evil,
        cluster=evil,
        schema=SchemaKey("confluent", evil),
        trials=(Trial(NOW, evil, 1, 1, evil),),
    )
    put(store, letter)
    result = run(*command)
    assert result.exit_code == 0
    assert not set("\x1b\x07\r\u202e\x9b\u2028") & set(result.output)
    assert not any(line.startswith("fake line") for line in result.output.splitlines())


def test_a_hostile_ledger_steers_no_terminal_either(run, store):
    evil = "\x1b[2J\n"
    store.ledger.append(a_mark(a_letter(1), who=evil, to=evil, error=evil, why=evil))
    result = run("show", a_letter(1).id)
    assert "Since then" in result.stdout
    assert "\x1b" not in result.stdout


WHOLE = a_letter(1, schema=SchemaKey("confluent", 4), headers=(("a", b"b"),), trials=(Trial(NOW, "b0", 1, 1, "x"),))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text() | st.just("2026-01-31"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def spots(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from spots(item, (*path, key))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([path for path in spots(to_document(WHOLE)) if path]), VALUES)
def test_a_letter_that_somebody_has_edited_is_shown_or_is_none_and_breaks_nothing(path, value):
    document = json.loads(json.dumps(to_document(WHOLE)))
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    whole = Choice(("*",), ("handler",), ("*",), (0,), 0.0, 9e9, ("*",), ("*",), ("*",), ("*",), redrives_below=9)
    figures = Figures()
    seen = letters(MemoryStore([json.dumps(document).encode()]), "tag-sync")
    for letter, state in seen:
        matches(whole, letter, state)
        figures.add(letter, state)
        lines = [letter_line(letter), *Page(letter, letter.document, state, ["x"], ()).lines(plain)]
        assert all(line == one_line(line) for line in lines)
    assert figures.count + seen.rejected + seen.others == 1
    assert (
        sum(bucket.letters for bucket in figures.over_time(figures.starts("day", 10)))
        == figures.count - figures.timeless
    )


@pytest.mark.parametrize("command", ["list", "show", "stats", "drop"])
def test_help_has_examples_and_exit_codes(command):
    result = CliRunner().invoke(cli, ["dead-letters", command, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert "Exit codes: 0" in result.output
    assert f"datahub-poller dead-letters {command} -c action.yaml" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "soon"], "neither a time nor a duration"),
        (["--until", "latest"], "neither a time nor a duration"),
        (["--since", "2999-01-01"], "in the future"),
        (["--since", "1h", "--until", "2h"], "no time between them"),
        (["--error", ""], "it is empty"),
        (["--id", " "], "it is empty"),
        (["--stage", "nowhere"], "is not one of"),
        (["--partition", "-1"], "-1 is not in the range"),
        (["--partition", "x"], "is not a valid integer"),
        (["--redrives-below", "0"], "0 is not in the range"),
        (["--state", "lost"], "is not one of"),
        (["--limit", "0"], "0 is not in the range"),
        (["surplus"], "unexpected extra argument"),
    ],
)
def test_wrong_options_are_wrong_use(run, options, said):
    result = run("list", *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_wrong_file_is_told_like_everywhere(tmp_path):
    file = written(tmp_path, {"name": "x", "handler": 1})
    result = CliRunner().invoke(cli, ["dead-letters", "list", "-c", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(file) in result.stderr
    missing = CliRunner().invoke(cli, ["dead-letters", "list", "-c", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 2


@pytest.mark.parametrize(
    ("text", "at"),
    [("2h", NOW - 7200), ("90", NOW - 90), ("2026-01-31T07:00", NOW - 3600), ("earliest", None), (None, None)],
)
def test_a_time_is_as_in_tail(text, at):
    assert moment(text, NOW, "--since") == at


def test_until_may_not_be_earliest():
    with pytest.raises(click.BadParameter):
        moment("earliest", NOW, "--until")


def test_no_options_are_the_choice_of_all_that_are_waiting():
    assert choice_of({}, NOW) == Choice()
    assert choice_of({"states": ("all",)}, NOW).states == {"waiting", "redriven", "dropped"}
