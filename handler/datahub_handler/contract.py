"""The contract between the poller and a handler: the event, the context, the response, and how a response is judged.

Standard library only, so that a handler may import it anywhere, AWS Lambda included. It must not know the poller.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Iterable
from typing import Any, Literal, NotRequired, TypedDict

EventType = Literal["EntityChangeEvent_v1", "RelationshipChangeEvent_v1", "MetadataChangeLogEvent_v1"]

Coordinates = tuple[str, int, int]
"""Where a record lies: topic, partition, offset."""

_LONGEST = 365 * 86_400.0  # where there is no deadline


class KafkaMeta(TypedDict):
    """Where an event came from. `id` is the same on every delivery: make a handler idempotent with it."""

    topic: str
    partition: int
    offset: int
    timestamp: NotRequired[int]
    timestamp_type: NotRequired[str]
    key: NotRequired[Any]
    headers: NotRequired[Any]
    id: NotRequired[str]


class Meta(TypedDict):
    """What is known of an event beside the event."""

    kafka: KafkaMeta


class Envelope(TypedDict):
    """One event of DataHub's. `event` holds plain JSON types under DataHub's own field names."""

    event_type: EventType
    event: dict[str, Any]
    meta: Meta


class Event(TypedDict):
    """What a handler is called with. `events` is never empty; `attempt` counts from 1."""

    action: str
    batch_id: str
    attempt: int
    events: list[Envelope]


class ItemIdentifier(TypedDict):
    """A record's name in a response. `partition` is the topic and the partition's number: `TOPIC-N`."""

    partition: str
    offset: int


class ItemFailure(TypedDict):
    """One failed record in a response."""

    itemIdentifier: ItemIdentifier


class Response(TypedDict, total=False):
    """What a handler may return. None, or no `batchItemFailures` in it, says that all events succeeded."""

    batchItemFailures: list[ItemFailure] | None


class Identity:
    """Lambda's Cognito identity, which nothing here has."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


class Context:
    """Lambda's context, by the attributes that AWS documents, for a function that runs beside the poller.

    `deadline` is in monotonic seconds. The ARN has the right parts, and names no real function.
    """

    function_version = "$LATEST"
    memory_limit_in_mb = "0"  # text, as Lambda has it; no limit is set
    log_stream_name = ""
    client_context: Any = None
    tenant_id: str | None = None

    def __init__(self, action: str, request_id: str, deadline: float) -> None:
        self.function_name = action
        self.invoked_function_arn = f"arn:aws:lambda:local:000000000000:function:{action}"
        self.aws_request_id = request_id
        self.log_group_name = f"/datahub-poller/{action}"
        self.identity = Identity()
        self.deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the handler's time is over, 0 afterwards."""
        return int(max(0.0, min(self.deadline - time.monotonic(), _LONGEST)) * 1000)


class MalformedResponse(Exception):
    """A response that says nothing certain about any record, so that the whole batch counts as failed."""


def failed_of(response: object, sent: Iterable[Coordinates]) -> frozenset[Coordinates]:
    """The records of `sent` that a response names as failed; empty when all succeeded.

    None, `{}`, and a `batchItemFailures` that is null or empty mean success, and other keys are nobody's business.
    Anything else that is not a list of records of this very batch raises MalformedResponse.
    """
    if response is None:
        return frozenset()
    if not isinstance(response, dict):
        raise MalformedResponse(
            f"the handler returned {_shown(response)} ({type(response).__name__}): "
            'return None, or {"batchItemFailures": [...]}'
        )
    _refuse_misspelled(response)
    failures = response.get("batchItemFailures")
    if failures is None:
        return frozenset()
    if not isinstance(failures, list | tuple):
        raise MalformedResponse(f"batchItemFailures is {_shown(failures)}: it must be a list")
    if not failures:
        return frozenset()
    names = {(f"{topic}-{partition}", offset): (topic, partition, offset) for topic, partition, offset in sent}
    return frozenset(names[_named(position, item, names)] for position, item in enumerate(failures))


def _refuse_misspelled(response: dict[Any, Any]) -> None:
    """A key that was surely meant to be `batchItemFailures` must not read as "all succeeded"."""
    for key in response:
        if key != "batchItemFailures" and isinstance(key, str):
            plain = key[:40].replace("_", "").replace("-", "").lower()
            if plain in {"batchitemfailures", "batchitemfailure"}:
                raise MalformedResponse(f"the response has the key {key!r}: it must be 'batchItemFailures'")


def _named(position: int, item: object, names: dict[tuple[str, int], Coordinates]) -> tuple[str, int]:
    where = f"batchItemFailures[{position}]"
    identifier = item.get("itemIdentifier") if isinstance(item, dict) else None
    if not isinstance(identifier, dict):
        raise MalformedResponse(
            f'{where} is {_shown(item)}: it must be {{"itemIdentifier": {{"partition": "TOPIC-N", "offset": O}}}}'
        )
    partition, offset = identifier.get("partition"), identifier.get("offset")
    if not isinstance(partition, str):
        raise MalformedResponse(f"{where}: partition is {_shown(partition)}: it must be text, TOPIC-N")
    if not isinstance(offset, int) or isinstance(offset, bool):
        raise MalformedResponse(f"{where}: offset is {_shown(offset)}: it must be a whole number")
    if (partition, offset) not in names:
        raise MalformedResponse(f"{where}: {_shown(partition)} at offset {_shown(offset)} was not in this batch")
    return partition, offset


def _shown(value: object) -> str:
    """A short text for any value at all, however large, and whatever its own `__repr__` does."""
    try:
        return reprlib.repr(value)[:200]
    except Exception:  # noqa: BLE001 - the value is a handler's and may do anything
        return f"a value of type {type(value).__name__}"
