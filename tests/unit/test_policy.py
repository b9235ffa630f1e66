"""The failure table's first rows, one by one."""

from __future__ import annotations

import pytest

import datahub_handler
from datahub_handler.runtime import fault_of
from datahub_poller.policy import GiveUp, Policy, Retry, Split, Tried, wait


@pytest.mark.parametrize(
    ("size", "attempts", "splitting", "shared", "expected"),
    [
        pytest.param(10, 1, False, False, Retry, id="the first failure"),
        pytest.param(10, 2, False, False, Retry, id="the second"),
        pytest.param(10, 3, False, False, Split, id="attempts used up"),
        pytest.param(5, 4, True, False, Split, id="a half fails"),
        pytest.param(1, 5, True, False, GiveUp, id="a single event of a split batch"),
        pytest.param(1, 3, False, False, GiveUp, id="a batch of one, attempts used up"),
        pytest.param(1, 3, False, True, Retry, id="failed in company: once more by itself"),
    ],
)
def test_what_a_failed_piece_does_next(size, attempts, splitting, shared, expected):
    assert isinstance(Policy(attempts=3).after_failure(Tried(size, attempts, splitting, shared), 0.5), expected)


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        pytest.param(Tried(3, 1, named=True), Retry, id="the first time"),
        pytest.param(Tried(3, 2, named=True), GiveUp, id="attempts used up: nothing is to be found by splitting"),
        pytest.param(Tried(3, 2, shared=True, named=True), GiveUp, id="in company: it is named by its partition"),
        pytest.param(Tried(2, 5, splitting=True, named=True), GiveUp, id="a half of what raised before"),
        pytest.param(Tried(3, 1, spent=60.0, named=True), GiveUp, id="too old"),
    ],
)
def test_what_a_handler_names_is_given_up_after_its_attempts(tried, expected):
    assert isinstance(Policy(attempts=2, max_age=60.0).after_failure(tried, 0.5), expected)


def test_without_splitting_a_batch_is_given_up_whole():
    assert Policy(attempts=2, bisect=False).after_failure(Tried(10, 2), 0.5) == GiveUp()


def test_a_datahub_file_without_retries_tries_once():
    assert Policy(attempts=1).after_failure(Tried(1, 1), 0.5) == GiveUp()
    assert Policy(attempts=1).after_failure(Tried(2, 1), 0.5) == Split()


def test_pauses_double_up_to_the_longest():
    policy = Policy(backoff=1.0, max_backoff=60.0)
    assert [policy.delay(n, 0.999999999) for n in (1, 2, 3, 7, 500)] == pytest.approx([1, 2, 4, 60, 60])
    assert policy.delay(3, 0.0) == 2.0
    assert [wait(n, 0.0) for n in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 15.0]


def test_in_strict_order_everything_from_the_first_failure_on_is_tried_again():
    assert Policy(order="strict").again([3, 5, 8, 9], {8, 5}) == {5, 8, 9}
    assert Policy().again([3, 5, 8, 9], {8, 5}) == {5, 8}


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        pytest.param(Tried(10, 1, fatal=True), Split, id="a batch: which record it is must be found"),
        pytest.param(Tried(1, 1, fatal=True), GiveUp, id="one record"),
        pytest.param(Tried(1, 1, shared=True, fatal=True), Retry, id="in company: it may have been the others'"),
        pytest.param(Tried(4, 2, splitting=True, fatal=True), Split, id="a half"),
    ],
)
def test_a_fatal_error_is_not_tried_again(tried, expected):
    assert isinstance(Policy(attempts=5).after_failure(tried, 0.5), expected)


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        pytest.param(Tried(1, 1, spent=59.9), Retry, id="young"),
        pytest.param(Tried(1, 1, spent=60.0), GiveUp, id="too old"),
        pytest.param(Tried(8, 1, spent=60.0), Split, id="a batch that is too old"),
        pytest.param(Tried(1, 1, shared=True, spent=60.0), Retry, id="in company: once by itself at least"),
    ],
)
def test_what_was_tried_for_too_long_is_not_tried_again(tried, expected):
    assert isinstance(Policy(attempts=5, max_age=60.0).after_failure(tried, 0.5), expected)


@pytest.mark.parametrize(
    ("lineage", "fatal"),
    [
        pytest.param((), False, id="nothing is known"),
        pytest.param(("KeyError", "LookupError", "Exception"), True, id="a base is named"),
        pytest.param(("my.Busy", "LookupError", "Exception"), False, id="the class is named itself"),
        pytest.param(("my.Lost", "Retryable", "KeyError", "LookupError"), False, id="it says so of itself, nearer"),
        pytest.param(("my.Bad", "DoNotRetry", "Exception"), True, id="it says so of itself"),
        pytest.param(("DoNotRetry", "my.Busy"), True, id="the nearest counts"),
        pytest.param(("ValueError", "Exception"), False, id="nobody has named it"),
    ],
)
def test_the_nearest_class_that_somebody_named_says_whether_an_error_is_fatal(lineage, fatal):
    policy = Policy(fatal=frozenset({"LookupError"}), retryable=frozenset({"my.Busy"}))
    assert policy.is_fatal(lineage) is fatal


def test_what_handlers_can_raise_is_known_by_the_names_that_their_faults_have():
    class Mine(datahub_handler.DoNotRetry, ValueError):
        pass

    assert Policy().is_fatal(fault_of(datahub_handler.DoNotRetry("no")).lineage)
    assert Policy().is_fatal(fault_of(Mine("no")).lineage)
    assert not Policy(fatal=frozenset({"Exception"})).is_fatal(fault_of(datahub_handler.Retryable("busy")).lineage)
    assert Policy(fatal=frozenset({"ValueError"})).is_fatal(fault_of(UnicodeError("a ValueError")).lineage)
