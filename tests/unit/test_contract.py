import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_handler.contract import Context, MalformedResponse, failed_of

HANDLER_ROOT = Path(__file__).parents[2] / "handler"
SENT = [("my-topic", 0, 5), ("my-topic", 0, 6), ("my-topic", 1, 5), ("my-topic-1", 0, 5)]


def failing(*identifiers):
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


def named(partition, offset):
    return {"partition": partition, "offset": offset}


@pytest.mark.parametrize(
    "response",
    [
        None,
        {},
        {"batchItemFailures": []},
        {"batchItemFailures": ()},
        {"batchItemFailures": None},
        {"statusCode": 200, "body": "ok"},
        {"batchItemFailures": [], "seen": 3, 7: "a key that is no text"},
    ],
)
def test_a_response_that_names_no_failure_means_success(response):
    assert failed_of(response, SENT) == frozenset()


def test_named_records_are_the_failed_ones():
    response = failing(named("my-topic-0", 6), named("my-topic-1", 5))
    assert failed_of(response, SENT) == {("my-topic", 0, 6), ("my-topic", 1, 5)}


def test_a_topic_may_hold_dashes_and_digits_and_still_is_told_from_its_neighbour():
    assert failed_of(failing(named("my-topic-1-0", 5)), SENT) == {("my-topic-1", 0, 5)}
    assert failed_of(failing(named("my-topic-1", 5)), SENT) == {("my-topic", 1, 5)}


def test_a_record_named_twice_failed_once():
    response = failing(named("my-topic-0", 5), named("my-topic-0", 5))
    assert failed_of(response, SENT) == {("my-topic", 0, 5)}


def test_other_keys_in_a_response_are_tolerated():
    response = {
        "note": "x",
        "batchItemFailures": ({"why": 1, "itemIdentifier": {"partition": "my-topic-0", "offset": 5, "topic": "?"}},),
    }
    assert failed_of(response, SENT) == {("my-topic", 0, 5)}


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (True, "returned True (bool)"),
        ("ok", "returned 'ok' (str)"),
        ([], "returned [] (list)"),
        (0, "returned 0 (int)"),
        ((x for x in ()), "generator"),
        ({"batchItemFailures": "my-topic-0"}, "must be a list"),
        ({"batchItemFailures": {}}, "must be a list"),
        ({"batchItemFailures": False}, "must be a list"),
        ({"batchItemFailures": [None]}, "batchItemFailures[0] is None"),
        ({"batchItemFailures": ["my-topic-0"]}, "itemIdentifier"),
        ({"batchItemFailures": [{}]}, "itemIdentifier"),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, "itemIdentifier"),
        ({"batchItemFailures": [{"itemIdentifier": "a-message-id"}]}, "itemIdentifier"),
        (failing({"offset": 5}), "partition is None"),
        (failing({"partition": "my-topic-0"}), "offset is None"),
        (failing(named(0, 5)), "partition is 0"),
        (failing(named("my-topic-0", "5")), "offset is '5'"),
        (failing(named("my-topic-0", 5.0)), "offset is 5.0"),
        (failing(named("my-topic-0", True)), "offset is True"),
        (failing(named("my-topic-0", 7)), "was not in this batch"),
        (failing(named("my-topic-00", 5)), "was not in this batch"),
        (failing(named("my-topic", 5)), "was not in this batch"),
        (failing(named("other-0", 5)), "was not in this batch"),
        (failing(named("my-topic-0", 5), named("my-topic-0", 99)), "batchItemFailures[1]"),
        ({"batch_item_failures": []}, "must be 'batchItemFailures'"),
        ({"batchItemFailure": []}, "must be 'batchItemFailures'"),
        ({"BatchItemFailures": []}, "must be 'batchItemFailures'"),
    ],
)
def test_a_response_that_says_nothing_certain_is_malformed_and_the_message_shows_where(response, said):
    with pytest.raises(MalformedResponse) as raised:
        failed_of(response, SENT)
    assert said in str(raised.value)


class Broken:
    def __repr__(self):
        raise RuntimeError("no repr either")


@pytest.mark.parametrize(
    "value",
    [Broken(), "x" * 10_000_000, list(range(1_000_000)), 10**10_000, {"a": Broken()}],
    ids=["broken", "text", "list", "int", "dict"],
)
def test_the_message_about_any_value_is_short_and_can_be_made(value):
    for response in (value, {"batchItemFailures": [value]}, failing(named("my-topic-0", value))):
        if isinstance(response, dict) and response is value:
            continue
        with pytest.raises(MalformedResponse) as raised:
            failed_of(response, SENT)
        assert len(str(raised.value)) < 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["my-topic-0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["batchItemFailures", "itemIdentifier", "partition", "offset"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_response_at_all_is_either_judged_within_the_batch_or_malformed(response):
    try:
        failed = failed_of(response, SENT)
    except MalformedResponse as error:
        failed, said = frozenset(), str(error)
        assert len(said) < 500
    assert failed <= set(SENT)


COORDINATES = st.tuples(st.text(min_size=1, max_size=4), st.integers(0, 20), st.integers(0, 2**63 - 1))


@given(st.lists(COORDINATES, min_size=1, max_size=8, unique=True), st.data())
def test_any_part_of_any_batch_can_be_named(sent, data):
    failed = data.draw(st.sets(st.sampled_from(sent)))
    response = failing(*(named(f"{topic}-{partition}", offset) for topic, partition, offset in failed))
    assert failed_of(response, sent) == failed


def test_the_context_has_every_attribute_that_lambda_documents():
    context = Context("tag-sync", "b1/2", time.monotonic() + 60)
    assert context.function_name == "tag-sync"
    assert context.aws_request_id == "b1/2"
    assert len(context.invoked_function_arn.split(":")) == 7
    assert int(context.memory_limit_in_mb) == 0
    assert context.identity.cognito_identity_id is None
    assert context.identity.cognito_identity_pool_id is None
    for attribute in ("function_version", "log_group_name", "log_stream_name", "client_context", "tenant_id"):
        assert hasattr(context, attribute)


def test_the_remaining_time_is_real_and_never_negative():
    assert 59_000 < Context("a", "b", time.monotonic() + 60).get_remaining_time_in_millis() <= 60_000
    assert Context("a", "b", time.monotonic() - 5).get_remaining_time_in_millis() == 0
    assert isinstance(Context("a", "b", time.monotonic()).get_remaining_time_in_millis(), int)


def test_a_deadline_that_never_comes_leaves_a_remaining_time():
    assert Context("a", "b", math.inf).get_remaining_time_in_millis() > 0


@pytest.mark.parametrize("module", ["contract", "runtime", "loading", "faults"])
def test_the_handler_side_needs_the_standard_library_alone(module):
    script = (
        f"import sys; sys.path.insert(0, {str(HANDLER_ROOT)!r}); import datahub_handler.{module}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded - set(sys.stdlib_module_names) - {'datahub_handler', '__main__'}))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
