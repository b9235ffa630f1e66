"""The handler's test kit: its events look like the poller's, its calls are judged like the poller's."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from datahub_handler.contract import Envelope, Event, KafkaMeta, MalformedResponse, Meta
from datahub_handler.testing import (
    ACTOR,
    DATASET,
    TIME,
    TIMESERIES_TOPIC,
    call,
    entity_change_event,
    metadata_change_log,
    relationship_change_event,
)
from datahub_poller.demo.samples import PLATFORM_TOPIC, VERSIONED_TOPIC, confluent_frame
from datahub_poller.model import Event as Decoded
from support import decoding

STAMP = {"time": TIME, "actor": ACTOR}
TAG = "urn:li:tag:pii"


def delivered(topic: str, value: bytes, key: str) -> dict[str, Any]:
    """What the poller makes of a record with this Avro body, in the test kit's place."""
    schema = decoding.PLATFORM_ID if topic == PLATFORM_TOPIC else decoding.CHANGE_LOG_ID
    record = decoding.record(topic, confluent_frame(schema, value), key=key.encode())
    verdict = decoding.intake().read(record._replace(timestamp=TIME), 0.0)
    assert isinstance(verdict, Decoded), verdict
    return verdict.envelope


def entity_change(**more):
    event = {
        "entityUrn": DATASET,
        "entityType": "dataset",
        "category": "TAG",
        "operation": "ADD",
        "auditStamp": STAMP,
        "version": 0,
        **more,
    }
    key = f"entityChangeEvent-{DATASET}"
    return delivered(PLATFORM_TOPIC, decoding.platform_event("entityChangeEvent", event), key)


def relationship_change(**more):
    event = {
        "sourceUrn": DATASET,
        "destinationUrn": TAG,
        "operation": "ADD",
        "relationshipType": "TaggedWith",
        "auditStamp": STAMP,
        **more,
    }
    key = f"relationshipChangeEvent-{DATASET}"
    return delivered(PLATFORM_TOPIC, decoding.platform_event("relationshipChangeEvent", event), key)


def change_log(topic=VERSIONED_TOPIC, **more):
    fields = {"entityUrn": DATASET, "aspectName": "globalTags", "created": STAMP, "aspect": None, **more}
    return delivered(topic, decoding.change_log(**fields), DATASET)


AT = {"partition": 3, "offset": 7}  # where `decoding` puts its records


@pytest.mark.parametrize(
    ("built", "decoded"),
    [
        (lambda: entity_change_event(**AT), entity_change),
        (
            lambda: entity_change_event(DATASET, "TAG", "ADD", TAG, {"tagUrn": TAG, "n": [1, None]}, **AT),
            lambda: entity_change(parameters={"tagUrn": TAG, "n": [1, None]}, modifier=TAG),
        ),
        (
            lambda: entity_change_event(version=3, entityType="x", **AT),
            lambda: entity_change(version=3, entityType="x"),
        ),
        (lambda: relationship_change_event(**AT), relationship_change),
        (
            lambda: relationship_change_event(properties={"a": "b"}, via=TAG, lifecycleOwner=DATASET, **AT),
            lambda: relationship_change(lifecycleOwner=DATASET, via=TAG, properties={"a": "b"}),
        ),
        (lambda: relationship_change_event(auditStamp=None, **AT), lambda: relationship_change(auditStamp=None)),
        (lambda: metadata_change_log(**AT), change_log),
        (
            lambda: metadata_change_log(DATASET, "globalTags", {"tags": []}, {"tags": [1]}, headers={"a": "b"}, **AT),
            lambda: change_log(
                aspect={"value": b'{"tags":[]}', "contentType": "application/json"},
                previousAspectValue={"value": b'{"tags":[1]}', "contentType": "application/json"},
                headers={"a": "b"},
            ),
        ),
        (
            lambda: metadata_change_log(value="no JSON", change="RESTATE", topic=TIMESERIES_TOPIC, **AT),
            lambda: change_log(
                TIMESERIES_TOPIC,
                changeType="RESTATE",
                aspect={"value": b"no JSON", "contentType": "application/json"},
            ),
        ),
    ],
)
def test_an_event_is_what_the_poller_makes_of_such_a_record_key_by_key_in_order(built, decoded):
    assert json.dumps(built(), indent=1) == json.dumps(decoded(), indent=1)


def test_what_is_built_has_the_keys_of_the_contract():
    envelope = entity_change_event()
    result = call(lambda event, context: None, [envelope])
    assert set(result.event) == Event.__required_keys__ | Event.__optional_keys__
    assert set(envelope) == Envelope.__required_keys__ | Envelope.__optional_keys__
    assert set(envelope["meta"]) == Meta.__required_keys__ | Meta.__optional_keys__
    assert set(envelope["meta"]["kafka"]) == KafkaMeta.__required_keys__ | KafkaMeta.__optional_keys__


def test_a_misspelt_field_is_refused_and_the_right_one_named():
    with pytest.raises(TypeError, match=r"'auditstamp' is no field of this event; did you mean 'auditStamp'\?"):
        entity_change_event(auditstamp=STAMP)
    with pytest.raises(TypeError, match="'zzz' is no field of this event; there are: auditHeader, entityType"):
        metadata_change_log(zzz=1)


def test_what_is_no_urn_is_refused_unless_the_type_is_given():
    with pytest.raises(ValueError, match="'orders' is no URN: write it as urn:li:TYPE:NAME"):
        entity_change_event("orders")
    assert entity_change_event("orders", entityType="dataset")["event"]["entityUrn"] == "orders"


# -- the call


def fails(*records):
    return {
        "batchItemFailures": [
            {"itemIdentifier": {"partition": f"{at['topic']}-{at['partition']}", "offset": at["offset"]}}
            for at in (record["meta"]["kafka"] for record in records)
        ]
    }


def test_a_handler_is_called_as_the_poller_calls_it():
    seen = []

    def handle(event, context):
        seen.append((event, context.function_name, context.aws_request_id, context.get_remaining_time_in_millis()))

    call(handle, [entity_change_event()], action="tags", batch_id="b", attempt=2, timeout=5).assert_delivered()
    ((event, function, request, left),) = seen
    assert list(event) == ["action", "batch_id", "attempt", "events"]
    assert (event["action"], event["batch_id"], event["attempt"]) == ("tags", "b", 2)
    assert event["events"] == [entity_change_event()]
    assert (function, request) == ("tags", "b/2")
    assert 0 < left <= 5000


def test_a_context_of_ones_own_is_handed_over():
    mine = object()
    assert call(lambda event, context: {"mine": context is mine}, [entity_change_event()], context=mine).response == {
        "mine": True
    }


def test_events_of_a_partition_get_places_of_their_own_in_order():
    events = [entity_change_event(), entity_change_event(offset=5), entity_change_event(offset=2)]
    events += [entity_change_event(partition=1), metadata_change_log()]
    result = call(lambda event, context: None, events)
    kafka = [each["meta"]["kafka"] for each in result.event["events"]]
    assert [(it["partition"], it["offset"]) for it in kafka] == [(0, 0), (0, 5), (0, 6), (1, 0), (0, 0)]
    assert kafka[2]["id"] == "test-cluster/PlatformEvent_v1/0/6"
    assert events[2]["meta"]["kafka"]["offset"] == 2, "what is given is left as it is"


def test_what_a_handler_changes_is_seen_by_nobody():
    event = entity_change_event()

    def handle(called, context):
        called["events"][0]["event"].clear()
        called["events"].clear()

    assert call(handle, [event]).event["events"] == [event] == [entity_change_event()]


def test_named_records_failed_and_the_others_are_delivered():
    first, second, third = (entity_change_event() for _ in range(3))
    result = call(lambda event, context: fails(event["events"][1]), [first, second, third])
    assert [id(each) for each in result.failed] == [id(second)]
    assert [id(each) for each in result.delivered] == [id(first), id(third)]
    assert result.error is None
    result.assert_failed(second)
    with pytest.raises(AssertionError, match=r"^1 of 3 failed: PlatformEvent_v1-0@1$"):
        result.assert_delivered()
    with pytest.raises(AssertionError, match="expected PlatformEvent_v1-0@0 to fail, but 1 of 3 failed"):
        result.assert_failed(first)
    with pytest.raises(AssertionError, match=r"expected PlatformEvent_v1-0@0, .*@1, .*@2 to fail, but 1 of 3 failed"):
        result.assert_failed()


def test_an_exception_fails_the_whole_batch_and_is_the_reason_that_is_told():
    def handle(event, context):
        raise ConnectionError("the catalogue is away")

    result = call(handle, [entity_change_event(), entity_change_event()])
    result.assert_failed()
    assert isinstance(result.error, ConnectionError)
    assert result.delivered == []
    with pytest.raises(AssertionError, match="2 of 2 failed") as told:
        result.assert_delivered()
    assert told.value.__cause__ is result.error
    assert "ConnectionError: the catalogue is away" in str(told.value)
    assert "in handle" in str(told.value)
    assert "datahub_handler" not in str(told.value), "the stack begins with the handler's first frame"


@pytest.mark.parametrize("leave", [SystemExit, asyncio.CancelledError])
def test_leaving_is_a_failure_too(leave):
    def handle(event, context):
        raise leave

    result = call(handle, [entity_change_event()])
    result.assert_failed()
    assert isinstance(result.error, leave)


def test_ctrl_c_ends_the_tests():
    def handle(event, context):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(handle, [entity_change_event()])


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (True, "the handler returned True"),
        ({"batch_item_failures": []}, "must be 'batchItemFailures'"),
        ({"batchItemFailures": [{"itemIdentifier": {"partition": "x-0", "offset": 0}}]}, "was not in this batch"),
    ],
)
def test_a_malformed_response_fails_the_whole_batch(response, why):
    result = call(lambda event, context: response, [entity_change_event(), entity_change_event()])
    result.assert_failed()
    assert isinstance(result.error, MalformedResponse)
    assert why in str(result.error)
    assert result.response == response


def test_an_async_handler_is_awaited_and_cancelled_at_its_deadline():
    async def handle(event, context):
        await asyncio.sleep(0)
        return fails(*event["events"])

    async def hangs(event, context):
        await asyncio.sleep(600)

    call(handle, [entity_change_event()]).assert_failed()
    began = time.monotonic()
    assert isinstance(call(hangs, [entity_change_event()], timeout=0.01).error, TimeoutError)
    assert time.monotonic() - began < 60


def test_in_an_async_test_it_says_what_to_write():
    async def test():
        with pytest.raises(RuntimeError, match=r"await asyncio.to_thread\(call, ...\)"):
            call(lambda event, context: None, [entity_change_event()])
        return await asyncio.to_thread(call, lambda event, context: None, [entity_change_event()])

    asyncio.run(test()).assert_delivered()


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="never empty"):
        call(lambda event, context: None, [])
    with pytest.raises(TypeError, match=r"give a list, such as \[entity_change_event\(\)\]"):
        call(lambda event, context: None, entity_change_event())
    result = call(lambda event, context: None, [entity_change_event()])
    with pytest.raises(ValueError, match="PlatformEvent_v1-9@0 was not in this call"):
        result.assert_failed(entity_change_event(partition=9))
    with pytest.raises(AssertionError, match="expected PlatformEvent_v1-0@0 to fail, but none failed"):
        result.assert_failed()


def test_an_event_that_is_given_twice_is_two_events():
    event = entity_change_event()
    result = call(lambda called, context: fails(*called["events"]), [event, event])
    result.assert_failed(event)
    assert result.failed == [event, event]


def test_the_example_in_the_handlers_readme_is_right(monkeypatch):
    """With a handler that does not know one tag."""

    def handle(event, context):
        return fails(*(each for each in event["events"] if each["event"]["modifier"] == "urn:li:tag:gone"))

    page = (Path(__file__).parents[2] / "handler" / "README.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "testing import" in code]
    module = ModuleType("tag_sync")
    module.handle = handle
    monkeypatch.setitem(sys.modules, "tag_sync", module)
    names: dict[str, Any] = {}
    exec(example, names)
    names["test_an_unknown_tag_fails_alone"]()
    module.handle = lambda event, context: None
    exec(example, names)
    with pytest.raises(AssertionError, match="but none failed"):
        names["test_an_unknown_tag_fails_alone"]()
