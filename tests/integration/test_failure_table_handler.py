"""What failure does, rows "the handler raises, answers badly" and "names failed records": call by call."""

from __future__ import annotations

import itertools

import pytest

from support.failure_rows import QUICK, handed_out, handler, settled
from support.recorded import first_hand_outs_in_order, one_call_at_a_time_per_partition
from support.running import Stage

ALL = [0, 1, 2, 3, 4, 5, 6, 7]
EIGHT = {"batch": {"size": 8, "window": "2s"}}


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


@pytest.mark.parametrize(
    ("poison", "attempts", "calls"),
    [
        pytest.param([5], 3, [ALL, ALL, ALL, [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [6, 7]], id="one"),
        pytest.param(
            [1, 6],
            2,
            [ALL, ALL, [0, 1, 2, 3], [0, 1], [0], [1], [2, 3], [4, 5, 6, 7], [4, 5], [6, 7], [6], [7]],
            id="one in each half",
        ),
        pytest.param([0], 1, [ALL, [0, 1, 2, 3], [0, 1], [0], [1], [2, 3], [4, 5, 6, 7]], id="one try in all"),
    ],
)
def test_after_its_attempts_a_batch_is_split_earlier_half_first_each_piece_once_down_to_the_failing_records(
    stage, poison, attempts, calls
):
    sent = stage.send("pe", 0, 8, poison=poison)
    behind = stage.send("pe", 0, 2)
    retry = {"attempts": attempts, "backoff": "200ms", "max_backoff": "300ms"}
    poller = stage.start(stage.action({**EIGHT, "retry": retry}))
    settled(stage, poller)
    tp = stage.tp("pe")
    assert handed_out(stage, tp) == [*calls, [place.offset for place in behind]]
    assert stage.lettered() == [sent[number] for number in poison]
    recorded = stage.recorded()
    assert recorded.times_done.keys() == stage.produced - stage.poison
    assert max(recorded.times_done.values()) == 1
    # The back-off doubles up to its maximum, and of each the upper half is left to chance.
    tries = recorded.calls[:attempts]
    assert [call.attempt for call in tries] == list(range(1, attempts + 1))
    for (call, following), least in zip(itertools.pairwise(tries), (0.1, 0.15), strict=False):
        assert following.began - call.ended >= least
    first_hand_outs_in_order(recorded)
    one_call_at_a_time_per_partition(recorded)
    assert poller.stop() == 0


BAD_ANSWERS = """
    import sys

    ANSWERS = [
        "done",
        ["done"],
        7,
        {"batchItemFailures": "none"},
        {"batchItemFailures": [{"itemIdentifier": "0"}]},
        {"batchItemFailures": [{"itemIdentifier": {"partition": "nobody-0", "offset": 0}}]},
        {"batchItemFailures": [None]},
    ]


    def handle(event, context):
        recording_handler.handle(event, context)
        (offset,) = offsets_of(event)
        if offset < len(ANSWERS):
            return ANSWERS[offset]
        match offset - len(ANSWERS):
            case 0:
                sys.exit(0)
            case 1:
                raise KeyboardInterrupt
            case 2:
                raise GeneratorExit
            case 3:
                raise ExceptionGroup("several", [ValueError("a"), KeyError("b")])
"""


def test_whatever_a_handler_raises_and_every_answer_that_says_nothing_certain_is_a_failure_that_is_tried_again(stage):
    changes = handler(stage, BAD_ANSWERS)
    sent = stage.send("pe", 0, 12)
    poller = stage.start(stage.action({**changes, "batch/size": 1, "retry": QUICK}))
    poller.until(lambda: stage.committed().get(stage.tp("pe")) == 12, "not committed")
    assert handed_out(stage, stage.tp("pe")) == [*([offset] for offset in range(11) for _ in range(2)), [11]]
    assert stage.lettered() == sent[:11]
    letters = stage.letters()
    kinds = [letter["meta"]["failure"]["kind"] for letter in letters]
    assert kinds == ["MalformedResponse"] * 7 + ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "ExceptionGroup"]
    answers = [letter["meta"]["failure"].get("response") for letter in letters]
    assert answers[:3] == ['"done"', '["done"]', "7"]
    assert poller.stop() == 0


WAITS_FOR_EVER = """
    import asyncio


    async def handle(event, context):
        try:
            return recording_handler.handle(event, context)
        except ValueError:
            await asyncio.sleep(600)
"""


def test_an_async_handler_past_its_timeout_is_cancelled_and_that_is_a_failure(stage):
    changes = handler(stage, WAITS_FOR_EVER)
    sent = stage.send("pe", 0, 3, poison=[1])
    poller = stage.start(stage.action({**changes, "handler/config/timeout": "300ms", "batch/size": 1, "retry": QUICK}))
    poller.until(lambda: stage.committed().get(stage.tp("pe")) == 3, "not committed")
    assert handed_out(stage, stage.tp("pe")) == [[0], [1], [1], [2]]
    assert stage.lettered() == [sent[1]]
    assert stage.letters()[0]["meta"]["failure"]["kind"] == "TimeoutError"
    assert poller.stop() == 0


def test_what_failed_in_one_call_with_another_partition_is_tried_by_itself_before_it_is_split_or_given_up(stage):
    stage.create(2, "mcl")
    good, bad = stage.tp("mcl", 0), stage.tp("mcl", 1)
    sent = [*stage.send("mcl", 0, 1), *stage.send("mcl", 1, 1, poison=[0])]
    once = {**QUICK, "attempts": 1}
    poller = stage.start(stage.action({"batch": {"size": 2, "window": "10s"}, "retry": once}))
    settled(stage, poller)
    calls = [[place.tp for place in call.places] for call in stage.recorded().calls]
    assert sorted(calls[0]) == [good, bad]
    assert sorted(calls[1:]) == [[good], [bad]]
    assert stage.lettered() == sent[1:]
    assert poller.stop() == 0


# -- the handler names failed records


ONCE_THEN_HOLD = """
    import time


    def handle(event, context):
        if event["attempt"] > 1:
            while not (recording_handler.HERE / "go").exists():
                time.sleep(0.01)
        return recording_handler.handle(event, context)
"""


@pytest.mark.parametrize(
    ("order", "calls"),
    [
        ("failed_only", [ALL, [2, 5], [2, 5]]),
        (
            "strict",
            [
                *(ALL, [2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7]),
                *([3, 4, 5, 6, 7], [5, 6, 7], [5, 6, 7]),
                [6, 7],
            ],
        ),
    ],
)
def test_of_named_records_the_others_settle_as_far_as_contiguous_and_the_named_have_the_same_count_of_attempts(
    stage, order, calls
):
    """With `order: strict` what stands behind the first failed one is tried again too, and is not given up with it."""
    tp = stage.tp("pe")
    stage.plan(named=True)
    sent = stage.send("pe", 0, 8, poison=[2, 5])
    changes = handler(stage, ONCE_THEN_HOLD)
    poller = stage.start(stage.action({**EIGHT, **changes, "batch/order": order, "retry": {**QUICK, "attempts": 3}}))
    poller.until(lambda: stage.committed().get(tp) == 2, "what is contiguous is not committed")
    assert handed_out(stage, tp) == [ALL]
    stage.release("go")
    settled(stage, poller)
    assert handed_out(stage, tp) == calls
    assert [call.attempt for call in stage.recorded().calls][:3] == [1, 2, 3]
    assert stage.lettered() == [sent[2], sent[5]]
    again = {place.offset for place, times in stage.recorded().times_done.items() if times > 1}
    assert again == (set() if order == "failed_only" else {3, 4, 6, 7})
    assert poller.stop() == 0
