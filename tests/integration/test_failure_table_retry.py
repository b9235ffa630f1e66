"""What failure does to errors that are fatal or retryable, to what is tried for too long, and at what rate."""

from __future__ import annotations

from collections import Counter

import pytest

from support.failure_rows import QUICK, handler, settled
from support.running import Stage


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


RAISES = """
    from datahub_handler import DoNotRetry, Retryable


    class Broken(ValueError):
        pass


    class Worse(Broken):
        pass


    class Passing(Broken):
        pass


    class Busy(Passing):
        pass


    class Locked(Retryable, Broken):
        pass


    class Hopeless(DoNotRetry):
        pass


    RAISED = [ValueError, Broken, Worse, Passing, Busy, DoNotRetry, Hopeless, Locked, LookupError, KeyError]


    def handle(event, context):
        recording_handler.handle(event, context)
        (offset,) = offsets_of(event)
        if offset < len(RAISED):
            raise RAISED[offset]("no")
"""


def test_an_error_that_is_fatal_costs_one_try_its_subclasses_too_but_for_those_that_are_retryable(stage):
    changes = handler(stage, RAISES)
    sent = stage.send("pe", 0, 11)
    retry = {**QUICK, "attempts": 3, "fatal": ["mine.Broken", "LookupError"], "retryable": ["mine.Passing", "KeyError"]}
    poller = stage.start(stage.action({**changes, "batch/size": 1, "retry": retry}))
    poller.until(lambda: stage.committed().get(stage.tp("pe")) == 11, "not committed")
    tries = Counter(place.offset for call in stage.recorded().calls for place in call.places)
    assert [tries[offset] for offset in range(11)] == [3, 1, 1, 3, 3, 1, 1, 3, 1, 3, 1]
    assert stage.lettered() == sent[:10]
    about = [(letter["meta"]["failure"]["kind"], letter["meta"]["attempts"]) for letter in stage.letters()]
    assert about == [
        ("ValueError", 3),
        ("mine.Broken", 1),
        ("mine.Worse", 1),
        ("mine.Passing", 3),
        ("mine.Busy", 3),
        ("DoNotRetry", 1),
        ("mine.Hopeless", 1),
        ("mine.Locked", 3),
        ("LookupError", 1),
        ("KeyError", 3),
    ]
    assert poller.stop() == 0


FATAL = """
    class Broken(Exception):
        pass


    def handle(event, context):
        try:
            recording_handler.handle(event, context)
        except ValueError as error:
            raise Broken from error
"""


def test_after_a_fatal_error_a_batch_is_split_at_once_down_to_its_record(stage):
    changes = handler(stage, FATAL)
    sent = stage.send("pe", 0, 8, poison=[2])
    retry = {"attempts": 10, "backoff": "60s", "max_backoff": "60s", "fatal": ["mine.Broken"]}
    poller = stage.start(stage.action({**changes, "batch": {"size": 8, "window": "2s"}, "retry": retry}))
    settled(stage, poller)
    first, *_, last = stage.recorded().calls
    assert last.ended - first.began < 25.0  # not even one back-off, of which half is waited at least
    calls = [[place.offset for place in call.places] for call in stage.recorded().calls]
    assert calls == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [0, 1], [2, 3], [2], [3], [4, 5, 6, 7]]
    assert stage.lettered() == [sent[2]]
    assert poller.stop() == 0


def test_what_has_been_tried_for_longer_than_max_age_is_not_tried_again(stage):
    sent = stage.send("pe", 0, 4, poison=[1])
    retry = {"attempts": 1000, "backoff": "200ms", "max_backoff": "200ms", "max_age": "4s"}
    poller = stage.start(stage.action({"batch": {"size": 4, "window": "2s"}, "retry": retry}))
    settled(stage, poller)
    assert stage.lettered() == [sent[1]]
    calls = stage.recorded().calls
    whole = [call for call in calls if len(call.places) == 4]
    # Of each back-off at least the half is waited, and the last try begins when its back-off is over.
    assert 3 <= len(whole) <= 42
    assert whole[-1].ended - whole[0].began >= 4 - 0.1
    assert [[place.offset for place in call.places] for call in calls[len(whole) :]] == [[0, 1], [0], [1], [2, 3]]
    assert poller.stop() == 0


def test_the_handler_gets_no_more_events_than_the_rate_retries_included(stage):
    rate = 20.0
    stage.send("pe", 0, 30, poison=[7])
    poller = stage.start(
        stage.action({"batch": {"size": 5, "window": "1s", "rate": f"{rate:.0f}/s", "concurrency": 2}, "retry": QUICK})
    )
    settled(stage, poller)
    calls = stage.recorded().calls
    events = sum(len(call.places) for call in calls)
    assert events > 30
    # A busy machine may begin the first call later than it was handed out.
    assert calls[-1].began - calls[0].began >= (events - len(calls[-1].places)) / rate - 0.5
    assert poller.stop() == 0
