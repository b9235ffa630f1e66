"""What a run left behind is read as it is, torn ends and all."""

from __future__ import annotations

import json
import time

import pytest

from datahub_poller.deadletter.file import FileSink
from guarantees.gather import digest_of, kind_of, read_journal, read_letters, under_present_clients
from guarantees.trace import Call, Life, Ownership
from support import letters
from support.recorded import Place


def begin(client, batch, attempt, at, *groups):
    return {"w": "b", "c": client, "i": batch, "a": attempt, "t": at, "e": groups}


def end(client, batch, attempt, at, ok, failed=None):
    return {"w": "e", "c": client, "i": batch, "a": attempt, "t": at, "f": failed, "ok": ok}


def journal(tmp_path, *lines):
    path = tmp_path / "calls.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return read_journal(path)


def test_calls_are_in_the_order_in_which_they_began(tmp_path):
    found = journal(
        tmp_path,
        begin("a", "x", 1, 1.0, ["t", 0, [3, 4]], ["u", 1, [0]]),
        begin("b", "x", 1, 1.1, ["t", 1, [9]]),
        end("b", "x", 1, 1.2, True),
        end("a", "x", 1, 1.3, True),
    )
    places = (Place("t", 0, 3), Place("t", 0, 4), Place("u", 1, 0))
    assert found == [
        Call("a", "x", 1, places, 1.0, 1.3, frozenset(places)),
        Call("b", "x", 1, (Place("t", 1, 9),), 1.1, 1.2, frozenset({Place("t", 1, 9)})),
    ]


def test_a_call_written_down_late_began_when_it_says(tmp_path):
    found = journal(
        tmp_path,
        begin("b", "y", 1, 2.0, ["t", 0, [3]]),
        begin("a", "x", 1, 1.0, ["t", 0, [3]]),
        end("a", "x", 1, 2.5, True),
        end("b", "y", 1, 2.1, False),
    )
    assert [(call.client, call.began, call.ended, len(call.done)) for call in found] == [
        ("a", 1.0, 2.5, 1),
        ("b", 2.0, 2.1, 0),
    ]


@pytest.mark.parametrize(
    ("ok", "failed", "done"), [(True, None, {3, 4}), (False, None, set()), (False, [["t", 0, [3]]], {4})]
)
def test_what_is_done(tmp_path, ok, failed, done):
    (call,) = journal(tmp_path, begin("a", "x", 1, 1.0, ["t", 0, [3, 4]]), end("a", "x", 1, 1.3, ok, failed))
    assert {place.offset for place in call.done} == done
    assert call.ended == 1.3


def test_a_call_again_under_the_same_name_is_another_call(tmp_path):
    calls = [begin("a", "x", 1, 1.0, ["t", 0, [3]]), end("a", "x", 1, 1.1, False)]
    calls += [begin("a", "x", 1, 2.0, ["t", 0, [3]]), end("a", "x", 1, 2.1, True)]
    assert [(call.began, call.ended, len(call.done)) for call in journal(tmp_path, *calls)] == [
        (1.0, 1.1, 0),
        (2.0, 2.1, 1),
    ]


def test_torn_lines_and_ends_without_a_beginning_are_left_out(tmp_path):
    line = json.dumps(begin("a", "y", 1, 2.0, ["t", 0, [5]]))
    found = journal(
        tmp_path,
        end("a", "x", 0, 0.9, True),
        begin("a", "x", 1, 1.0, ["t", 0, [3]]),
        "\n",
        "17\n",
        line[: len(line) // 2],
    )
    assert [(call.batch_id, call.ended, call.done) for call in found] == [("x", None, frozenset())]
    assert read_journal(tmp_path / "none") == []


def test_a_long_journal_is_read_quickly(tmp_path):
    lines = []
    for number in range(2000):
        lines.append(begin("a", f"{number:032x}", 1, 1.0, ["t", number % 12, list(range(number, number + 50))]))
        lines.append(end("a", f"{number:032x}", 1, 1.1, True))
    path = tmp_path / "calls.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    began = time.process_time()
    found = read_journal(path)
    took = time.process_time() - began
    print(f"{took:.2f} s")
    assert sum(len(call.done) for call in found) == 100_000
    assert took < 5.0


def test_letters_of_both_kinds_and_of_rotated_files(tmp_path):
    written = [letters.event_letter(7), letters.undecodable_letter(8), letters.event_letter(9)]
    sink = FileSink(tmp_path, "Tag Sync")
    for number, letter in enumerate(written):
        sink.write([letter])
        if number == 0:
            (sink.directory / "failed_events.log").rename(sink.directory / "failed_events.log.1")
    with (sink.directory / "failed_events.log").open("ab") as file:
        file.write(b'{"event_type": "torn')
    found = {letter.place.offset: letter for letter in read_letters(tmp_path)}
    assert found.keys() == {7, 8, 9}
    for letter in written:
        same = found[letter.record.offset]
        assert same.place == Place(*letter.record.tp, letter.record.offset)
        assert (same.id, same.at) == (letter.id, pytest.approx(letter.at, abs=0.001))
        assert same.digest == digest_of(letter.record.key, letter.record.value)


def test_a_digest_tells_null_from_empty_and_key_from_value():
    pairs = [(None, None), (b"", None), (None, b""), (b"", b""), (b"a", b"b"), (b"ab", b""), (b"", b"ab"), (b"b", b"a")]
    assert len({digest_of(key, value) for key, value in pairs}) == len(pairs)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        (b"good-1", b"x", "good"),
        (b"poison-k-1", b"x", "poison"),
        (b"junk-", b"", "junk"),
        (b"skip-1", b"x", None),
        (b"good-1", None, None),
        (None, b"x", None),
    ],
)
def test_what_is_due(key, value, kind):
    assert kind_of(key, value) == kind


def test_a_key_of_no_kind_is_an_error_of_the_test():
    with pytest.raises((KeyError, ValueError)):
        kind_of(b"urn:li:x", b"x")


def test_a_static_members_accounts_are_its_present_processes():
    lives = [Life("a1", 0.0, 2.0, "killed"), Life("b1", 0.0, None, "running"), Life("a2", 3.0, None, "running")]
    told = [Ownership(at, 1, {"a1": frozenset(), "b1": frozenset(), "x": frozenset()}) for at in (1.0, 2.5, 3.5)]
    found = under_present_clients(told, lives, {"a1": "a", "a2": "a", "b1": "b"})
    assert [set(each.held) for each in found] == [{"a1", "b1", "x"}, {"a1", "b1", "x"}, {"a2", "b1", "x"}]
