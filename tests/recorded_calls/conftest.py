"""The recording that is judged: of the slow tests just before, in the directory that RECORDED_CALLS names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recorded_calls.judging import Judge
from support.recorded_calls import VARIABLE, read


@pytest.fixture(scope="session")
def judge(request):
    directory = os.environ.get(VARIABLE)
    if not directory:
        pytest.skip(
            f"not run: the judge of recorded calls (`make test-all` makes a recording, and names it in {VARIABLE})"
        )
    asked = read(Path(directory))
    if not asked:
        pytest.fail(
            f"{VARIABLE} is {directory}, and nothing is recorded there: were the slow tests run with it?", pytrace=False
        )
    return Judge(asked)


@pytest.fixture(scope="session")
def kafka_asked(judge, request):
    """Whether rights on MSK were recorded. Where a real Kafka is to be had they must have been."""
    if any(call.action.startswith("kafka-cluster:") for calls in judge.calls.values() for call in calls):
        return True
    request.getfixturevalue("kafka_jars")  # skips, or fails, where there is none
    pytest.fail("there is a real Apache Kafka, and the recording has no question to its authorizer", pytrace=False)
