"""The handler of the guarantee runs does as its plan says, and its journal tells what happened."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from datahub_handler.contract import failed_of
from guarantees import recording

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A copy of the handler in a folder of its own, as a poller has it."""
    shutil.copy(recording.__file__, tmp_path / "recording.py")
    spec = importlib.util.spec_from_file_location("copied_recording", tmp_path / "recording.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("POLLER_ID", "a1")
    return module


def event(*places, batch_id="b1", attempt=1):
    events = [
        {"event": {}, "meta": {"kafka": {"topic": topic, "partition": number, "offset": offset, "key": key}}}
        for topic, number, offset, key in places
    ]
    return {"action": "x", "batch_id": batch_id, "attempt": attempt, "events": events}


def plan(module, **keys):
    draft = module.HERE / "draft"
    draft.write_text(json.dumps(keys))
    draft.replace(module.PLAN)


def journal(module):
    return [json.loads(line) for line in module.CALLS.read_text().splitlines()]


GOOD = ("t", 0, 1, "good-1")
POISON = ("t", 0, 2, "poison-2")


def test_a_call_is_two_lines_grouped_by_runs_of_a_partition(beside):
    places = [("t", 0, 1, "k"), ("t", 0, 2, "k"), ("t", 1, 7, None), ("t", 0, 3, {"base64": "/w=="}), ("u", 0, 3, "k")]
    assert beside.handle(event(*places, attempt=2), None) is None
    begin, end = journal(beside)
    assert begin.pop("t") <= end.pop("t")
    runs = [["t", 0, [1, 2]], ["t", 1, [7]], ["t", 0, [3]], ["u", 0, [3]]]
    assert begin == {"w": "b", "c": "a1", "i": "b1", "a": 2, "e": runs}
    assert end == {"w": "e", "c": "a1", "i": "b1", "a": 2, "ok": True, "f": None}


def test_poison_is_raised_or_named_as_the_contract_has_it(beside):
    with pytest.raises(ValueError, match="1 of 2 events"):
        beside.handle(event(GOOD, POISON), None)
    plan(beside, named=True)
    answer = beside.handle(event(GOOD, POISON), None)
    assert failed_of(answer, [GOOD[:3], POISON[:3]]) == {POISON[:3]}
    ends = [line for line in journal(beside) if line["w"] == "e"]
    assert [(line["ok"], line["f"]) for line in ends] == [(False, None), (False, [["t", 0, [2]]])]


def test_a_plan_is_read_again_when_it_is_replaced_and_forgotten_when_it_goes(beside):
    plan(beside, fail=True)
    with pytest.raises(ValueError, match="not this time"):
        beside.handle(event(GOOD), None)
    plan(beside, fail=False)
    assert beside.handle(event(GOOD), None) is None
    plan(beside, fail=True, named=True)
    with pytest.raises(ValueError, match="not this time"):
        beside.handle(event(POISON), None)
    beside.PLAN.unlink()
    assert beside.handle(event(GOOD), None) is None


def test_a_share_fails_the_same_in_every_run(beside):
    plan(beside, fail_share=0.3)

    def fares():
        found = []
        for number in range(200):
            try:
                beside.handle(event(GOOD, batch_id=f"b{number}"), None)
                found.append(True)
            except ValueError:
                found.append(False)
        return found

    first = fares()
    assert first == fares()
    assert 30 <= first.count(False) <= 90


def test_a_call_that_is_held_or_hangs_has_begun_and_not_ended(beside):
    plan(beside, hold="go", hang_share=1.0, hang=0.01)
    thread = threading.Thread(target=beside.handle, args=(event(GOOD), None))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    assert [line["w"] for line in journal(beside)] == ["b"]
    (beside.HERE / "go").touch()
    thread.join(5)
    begin, end = journal(beside)
    assert end["t"] - begin["t"] >= 0.1


def test_it_needs_nothing_but_the_standard_library(beside):
    subprocess.run([sys.executable, "-I", "-S", str(beside.HERE / "recording.py")], check=True, env=dict(os.environ))
