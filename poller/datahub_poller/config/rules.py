"""What must hold between the keys of an action file: settings that are right by themselves and wrong together.

Pure. Works on a file whose values have all been checked, with DataHub's spellings already folded in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from datahub_poller.config.auth import Auth
from datahub_poller.config.dead_letter import KEYS_OF
from datahub_poller.config.models import ActionFile
from datahub_poller.config.problems import KeyPath, Problem
from datahub_poller.config.properties import timing
from datahub_poller.config.quantities import duration_text, size_text
from datahub_poller.config.source import SchemaRegistry
from datahub_poller.config.values import DATAHUB_TOPICS
from datahub_poller.filter_shape import EVENT_TYPES, METADATA_CHANGE_LOG, filter_problems
from datahub_poller.filters import Filter
from datahub_poller.msk import contradictions

_NEEDED = {"kafka": "topic", "sqs": "queue", "s3": "bucket"}
_CONFIG = ("source", "config")
_CONNECTION = (*_CONFIG, "connection")
_GROUP_SESSION = 45.0
"""Seconds: what a broker gives the members of a group with protocol `consumer` unless it is told otherwise."""

_LONGEST_DIMENSION = 1024

LESS_THAN_THE_INTERVAL = 0.8
SHARE_OF_A_SHORT_INTERVAL = 0.3


def rule_problems(
    action: ActionFile, properties: Mapping[str, Any], given: frozenset[KeyPath], now: datetime
) -> Iterator[Problem]:
    """Every combination that cannot hold. `given` are the keys that the file itself sets."""
    yield from _timing_problems(action, properties, given)
    yield from _amount_problems(action, given)
    yield from _auth_problems(action)
    yield from _registry_problems(action, given)
    yield from _dead_letter_problems(action, given)
    yield from _metrics_problems(action)
    start = action.source.config.start
    if isinstance(start, datetime) and start > now:
        what = "lies in the future"
        yield Problem((*_CONFIG, "start"), what, "A group begins at a time that has been.", start.isoformat())


def _timing_problems(action: ActionFile, properties: Mapping[str, Any], given: frozenset[KeyPath]) -> Iterator[Problem]:
    session, poll = timing(properties)
    where: KeyPath = (*_CONNECTION, "consumer_config", "max.poll.interval.ms")
    classic = str(properties.get("group.protocol", "classic")).lower() != "consumer"
    if classic and poll < session:
        what = f"max.poll.interval.ms ({poll}) is below session.timeout.ms ({session}), which librdkafka refuses"
        yield Problem(where, what, "Raise max.poll.interval.ms, or lower session.timeout.ms.")
        return
    if ("shutdown", "deadline") not in given:
        return
    together = action.shutdown.deadline + _session(properties)
    if together >= poll / 1000:
        what = (
            f"does not fit below max.poll.interval.ms ({duration_text(poll / 1000)}) "
            f"together with session.timeout.ms ({duration_text(_session(properties))})"
        )
        hint = "Lower shutdown.deadline, or raise max.poll.interval.ms."
        yield Problem(("shutdown", "deadline"), what, hint, duration_text(action.shutdown.deadline))


def _dead_letter_problems(action: ActionFile, given: frozenset[KeyPath]) -> Iterator[Problem]:
    kind, config = action.dead_letter.type, action.dead_letter.config
    where: KeyPath = ("dead_letter", "config")
    for key, kinds in KEYS_OF.items():
        if (*where, key) in given and kind not in kinds:
            hint = f"Set dead_letter.type: {' or '.join(sorted(kinds))}, or leave it out."
            yield Problem((*where, key), f"is not for dead_letter.type: {kind}", hint)
    if (needed := _NEEDED.get(kind)) is not None and getattr(config, needed) is None:
        yield Problem((*where, needed), f"is required for dead_letter.type: {kind}")
    match kind:
        case "file":
            yield from _file_problems(action, where, given)
        case "kafka":
            yield from _topic_problems(action, where)
        case _:
            yield from _encryption_problems(action, where)


def _file_problems(action: ActionFile, where: KeyPath, given: frozenset[KeyPath]) -> Iterator[Problem]:
    config = action.dead_letter.config
    if config.limit < config.rotate and (*where, "limit") in given:
        what = f"is below dead_letter.config.rotate ({size_text(config.rotate)})"
        yield Problem((*where, "limit"), what, "Raise it, or lower rotate.", size_text(config.limit))


def _topic_problems(action: ActionFile, where: KeyPath) -> Iterator[Problem]:
    config = action.dead_letter.config
    if config.topic in DATAHUB_TOPICS:
        yield Problem((*where, "topic"), "is DataHub's own, and others read it", "Give letters a topic of their own.")
    elif config.topic in action.source.config.topic_routes.values() and config.bootstrap is None:
        yield Problem((*where, "topic"), "is read by this very action: letters would come back as events")


def _encryption_problems(action: ActionFile, where: KeyPath) -> Iterator[Problem]:
    config = action.dead_letter.config
    if action.dead_letter.type == "sqs" and config.overflow is None:
        for key, without in (("encryption", "bucket"), ("kms_key", None)):
            if getattr(config, key) != without:
                yield Problem((*where, key), "is for the objects of dead_letter.config.overflow, which is not set")
    elif config.kms_key is not None and config.encryption != "aws:kms":
        yield Problem((*where, "kms_key"), "needs dead_letter.config.encryption: aws:kms")


def _session(properties: Mapping[str, Any]) -> float:
    classic = str(properties.get("group.protocol", "classic")).lower() != "consumer"
    return timing(properties)[0] / 1000 if classic else _GROUP_SESSION


def revoke_wait(action: ActionFile, properties: Mapping[str, Any], given: frozenset[KeyPath]) -> float:
    """Seconds that running calls get when partitions move away.

    A deadline that the file gives has been checked. The default gives way to a short poll interval.
    """
    deadline = action.shutdown.deadline
    if ("shutdown", "deadline") in given:
        return deadline
    poll, session = timing(properties)[1] / 1000, _session(properties)
    room = (poll - session) * LESS_THAN_THE_INTERVAL if poll > session else poll * SHARE_OF_A_SHORT_INTERVAL
    return min(deadline, room)


def _amount_problems(action: ActionFile, given: frozenset[KeyPath]) -> Iterator[Problem]:
    batch, buffer, retry = action.batch, action.source.config.buffer, action.retry
    if ("batch", "bytes") in given and batch.bytes > buffer:
        what = f"is larger than source.config.buffer ({size_text(buffer)}), and a batch is held in it"
        yield Problem(("batch", "bytes"), what, "Raise the buffer, or lower batch.bytes.", size_text(batch.bytes))
    if ("retry", "max_backoff") in given and retry.max_backoff < retry.backoff:
        what = f"is shorter than retry.backoff ({duration_text(retry.backoff)})"
        yield Problem(("retry", "max_backoff"), what, "", duration_text(retry.max_backoff))


def _metrics_problems(action: ActionFile) -> Iterator[Problem]:
    name = action.name
    if action.metrics.emf and not (name.isascii() and name.isprintable() and len(name) <= _LONGEST_DIMENSION):
        takes = f"CloudWatch takes at most {_LONGEST_DIMENSION} printable ASCII characters"
        what = f"is the dimension of metrics.emf, and {takes}"
        yield Problem(("name",), what, "Name it otherwise, or leave metrics.emf out.")


def _auth_problems(action: ActionFile) -> Iterator[Problem]:
    connection = action.source.config.connection
    if connection.auth is not None:
        for key, hint in contradictions(connection.consumer_config):
            what = "contradicts source.config.connection.auth: msk-iam"
            yield Problem((*_CONNECTION, "consumer_config", key), what, hint)
    assumed: list[tuple[KeyPath, Auth | SchemaRegistry | None]] = [
        ((*_CONNECTION, "auth"), connection.auth),
        ((*_CONFIG, "schema_registry"), action.source.config.schema_registry),
    ]
    for where, section in assumed:
        if section is not None and section.external_id is not None and section.role is None:
            yield Problem((*where, "external_id"), "is for a role to assume", "Set role beside it.")


def _registry_problems(action: ActionFile, given: frozenset[KeyPath]) -> Iterator[Problem]:
    registry, connection = action.source.config.schema_registry, action.source.config.connection
    if registry.type == "confluent":
        for key in ("region", "endpoint", "profile", "role", "external_id"):
            if (*_CONFIG, "schema_registry", key) in given:
                yield Problem((*_CONFIG, "schema_registry", key), "is for Glue", "Set type: glue, or type: auto.")
    settings = connection.schema_registry_config
    first = urlsplit(connection.schema_registry_url.split(",")[0])
    if "basic.auth.user.info" in settings and first.username is not None:
        path = (*_CONNECTION, "schema_registry_config", "basic.auth.user.info")
        yield Problem(path, "is given beside a user in the registry's URL", "Keep one of them.")
    if "ssl.key.location" in settings and "ssl.certificate.location" not in settings:
        path = (*_CONNECTION, "schema_registry_config", "ssl.key.location")
        yield Problem(path, "needs ssl.certificate.location")


def subscription_problems(action: ActionFile, chosen: Filter) -> Iterator[Problem]:
    """Filters and topics that leave nothing to read."""
    if not action.filters and action.filter is None:
        return
    where = "filters" if action.filters else "filter"
    if not any(chosen.admits(event_type) for event_type in EVENT_TYPES):
        yield Problem((where,), "let no event through", f"Event types: {', '.join(EVENT_TYPES)}.")
    elif not any(_read(action, chosen, event_type) for event_type in EVENT_TYPES):
        hint = "mcl and mcl_timeseries carry MetadataChangeLogEvent_v1, pe the two others."
        yield Problem((*_CONFIG, "topic_routes"), "routes no topic whose events pass the filters", hint)


def _read(action: ActionFile, chosen: Filter, event_type: str) -> bool:
    routes = {"mcl", "mcl_timeseries"} if event_type == METADATA_CHANGE_LOG else {"pe"}
    return chosen.admits(event_type) and not routes.isdisjoint(action.source.config.topic_routes)


def filters_problems(data: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the keys `filters` and `filter` of the file's data."""
    filters = data.get("filters")
    return [
        Problem(problem.path, problem.what, problem.hint)
        for problem in filter_problems([] if filters is None else filters, data.get("filter"))
    ]
