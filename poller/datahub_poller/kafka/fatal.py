"""Errors that keep a consumer out of its group: which are final, which pass by themselves, and what to do about each.

Knows codes and texts, and no client. librdkafka reports a fatal error as a message whose error has the code `_FATAL`
and no flag, or through its error callback with the flag and the first cause's code. A message's text names that cause
in the broker's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from confluent_kafka import KafkaError

from datahub_poller.kafka.words import plain

FATAL: Final = KafkaError._FATAL  # noqa: SLF001 - the client library's own names begin with an underscore

Outcome = Literal["fatal", "rejoin", "kept out"]
"""End the process; wait and join with a new client; wait, since the client tries again by itself."""

_OLD_BROKERS: Final = "group.protocol: consumer needs brokers of Kafka 4.0 or later: use classic"
_DEAD: Final[Mapping[int, str]] = {
    KafkaError.FENCED_INSTANCE_ID: "another process uses the same group.instance.id: give each its own "
    "(${POLLER_PROCESS} differs between those of --processes)",
    KafkaError.UNSUPPORTED_ASSIGNOR: "group.remote.assignor names one that the brokers do not have: use uniform or "
    "range, or see their group.consumer.assignors",
    KafkaError.UNSUPPORTED_VERSION: _OLD_BROKERS,
    KafkaError._UNSUPPORTED_FEATURE: _OLD_BROKERS,  # noqa: SLF001
}
"""Causes of a client's fatal error that waiting does not change."""
_HELD: Final[Mapping[int, str]] = {
    KafkaError.UNRELEASED_INSTANCE_ID: "waiting until the session of the process that had this group.instance.id "
    "ends. If another process runs with it, give each its own",
}
"""Causes of a client's fatal error that pass."""
_WRONG: Final[Mapping[int, str]] = {
    KafkaError.INVALID_SESSION_TIMEOUT: "session.timeout.ms must lie between the brokers' "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    KafkaError.INVALID_GROUP_ID: "the brokers do not accept the action's name as a group.id",
}
"""Refusals of a group's coordinator that waiting does not change, although the client tries again."""
_KEPT_OUT: Final[Mapping[int, str]] = {
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "other members of the group use another partition.assignment.strategy or "
    "group.protocol: stop them, or use theirs",
    KafkaError.GROUP_MAX_SIZE_REACHED: "the group has as many members as the brokers allow: stop one, or raise their "
    "group.max.size",
}
"""Refusals that pass when other members go."""


def is_fatal(error: KafkaError) -> bool:
    """Whether the client that reports this error will never work again."""
    return error.fatal() or error.code() == FATAL


def outcome(error: KafkaError) -> tuple[Outcome, str] | None:
    """What an error of a consumer means for its membership, with the remedy; None where it means nothing."""
    code = error.code()
    if is_fatal(error):
        return ("rejoin" if _cause(error) in _HELD else "fatal"), remedied(error)
    if code in _WRONG:
        return "fatal", f"{error.str()}: {_WRONG[code]}"
    if code in _KEPT_OUT:
        return "kept out", f"{error.str()}: {_KEPT_OUT[code]}"
    return None


def remedied(error: KafkaError) -> str:
    """A fatal error's first cause, and what to do about it where that is known."""
    cause = _cause(error)
    remedy = {**_DEAD, **_HELD}.get(cause)
    return plain(error.str()) if remedy is None else f"{KafkaError(cause).str()}: {remedy}"


def _cause(error: KafkaError) -> int:
    """The code of the first cause, which a message's error has in its text only."""
    if error.code() != FATAL:
        return error.code()
    return next((code for code in (*_DEAD, *_HELD) if KafkaError(code).str() in error.str()), FATAL)
