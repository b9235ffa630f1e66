"""The failure table's first rows, one by one."""

from __future__ import annotations

import pytest

from datahub_poller.policy import GiveUp, Policy, Retry, Split, wait


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
    assert isinstance(Policy(attempts=3).after_failure(size, attempts, splitting, shared, 0.5), expected)


def test_without_splitting_a_batch_is_given_up_whole():
    assert Policy(attempts=2, bisect=False).after_failure(10, 2, False, False, 0.5) == GiveUp()


def test_a_datahub_file_without_retries_tries_once():
    assert Policy(attempts=1).after_failure(1, 1, False, False, 0.5) == GiveUp()
    assert Policy(attempts=1).after_failure(2, 1, False, False, 0.5) == Split()


def test_pauses_double_up_to_the_longest():
    policy = Policy(backoff=1.0, max_backoff=60.0)
    assert [policy.delay(n, 0.999999999) for n in (1, 2, 3, 7, 500)] == pytest.approx([1, 2, 4, 60, 60])
    assert policy.delay(3, 0.0) == 2.0
    assert [wait(n, 0.0) for n in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 15.0]


def test_in_strict_order_everything_from_the_first_failure_on_is_tried_again():
    assert Policy(order="strict").again([3, 5, 8, 9], {8, 5}) == {5, 8, 9}
    assert Policy().again([3, 5, 8, 9], {8, 5}) == {5, 8}
