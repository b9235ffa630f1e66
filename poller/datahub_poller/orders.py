"""What a person may tell a running poller to do, as values and as the JSON in which it comes.

Pure. It knows nothing of who may say so, nor of what becomes of it: that is `obeying`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from datahub_poller.model import TopicPartition

WHO_LIMIT, WHY_LIMIT = 200, 500
TOPIC_LIMIT = 249
PARTITIONS, OFFSETS = 2**31, 2**63


@dataclass(frozen=True, slots=True)
class BreakerClose:
    """The letters that an open breaker holds are accepted, and all goes on."""

    def __str__(self) -> str:
        return "breaker close"


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A record becomes a dead letter; `look` only tells what would."""

    tp: TopicPartition
    offset: int
    look: bool = False

    def __str__(self) -> str:
        return f"give-up {self.tp.topic} {self.tp.partition} {self.offset}"


class Scope(NamedTuple):
    """A partition, all of a topic's, or, without a topic, the whole action."""

    topic: str | None = None
    partition: int | None = None

    def __str__(self) -> str:
        return "".join(f" {each}" for each in self if each is not None)


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing new is handed out."""

    scope: Scope

    def __str__(self) -> str:
        return f"pause{self.scope}"


@dataclass(frozen=True, slots=True)
class Resume:
    """What was paused goes on."""

    scope: Scope

    def __str__(self) -> str:
        return f"resume{self.scope}"


@dataclass(frozen=True, slots=True)
class RetryNow:
    """Whatever waits for its time tries now."""

    def __str__(self) -> str:
        return "retry-now"


What = BreakerClose | GiveUp | Pause | Resume | RetryNow


class Order(NamedTuple):
    """What is to be done, who says so, and why; `why` may be empty."""

    what: What
    who: str
    why: str = ""


class Unclear(ValueError):
    """It is no order. Says what is wrong with it."""


_KEYS: Mapping[str, frozenset[str]] = {
    "breaker-close": frozenset(),
    "give-up": frozenset({"topic", "partition", "offset", "look"}),
    "pause": frozenset({"topic", "partition"}),
    "resume": frozenset({"topic", "partition"}),
    "retry-now": frozenset(),
}


def to_document(order: Order) -> dict[str, Any]:
    """The JSON of an order."""
    said: dict[str, Any] = {"who": order.who, "why": order.why}
    match order.what:
        case BreakerClose():
            return {"order": "breaker-close", **said}
        case GiveUp(tp=tp, offset=offset, look=look):
            where = {"topic": tp.topic, "partition": tp.partition, "offset": offset}
            return {"order": "give-up", **where, "look": look, **said}
        case Pause(scope=scope):
            return {"order": "pause", **_present(scope), **said}
        case Resume(scope=scope):
            return {"order": "resume", **_present(scope), **said}
        case RetryNow():
            return {"order": "retry-now", **said}


def from_document(document: Any) -> Order:
    """The order that some JSON is. Raises Unclear."""
    if not isinstance(document, dict):
        raise Unclear("an order is a JSON object")
    name = document.get("order")
    if not isinstance(name, str) or name not in _KEYS:
        raise Unclear(f"order: must be one of {', '.join(_KEYS)}")
    if unknown := document.keys() - _KEYS[name] - {"order", "who", "why"}:
        raise Unclear(f"{name} has no {', '.join(sorted(map(ascii, unknown)))}")
    who, why = _text(document, "who", WHO_LIMIT), _text(document, "why", WHY_LIMIT)
    if not who:
        raise Unclear("who: say who gives the order")
    return Order(_what(name, document), who, why)


def _what(name: str, document: Mapping[str, Any]) -> What:
    match name:
        case "breaker-close":
            return BreakerClose()
        case "retry-now":
            return RetryNow()
        case "give-up":
            tp = TopicPartition(_topic(document), _whole(document, "partition", PARTITIONS))
            look = document.get("look", False)
            if not isinstance(look, bool):
                raise Unclear("look: must be true or false")
            return GiveUp(tp, _whole(document, "offset", OFFSETS), look)
    scope = _scope(document)
    return Pause(scope) if name == "pause" else Resume(scope)


def _scope(document: Mapping[str, Any]) -> Scope:
    if "topic" not in document:
        if "partition" in document:
            raise Unclear("partition: of which topic?")
        return Scope()
    partition = _whole(document, "partition", PARTITIONS) if "partition" in document else None
    return Scope(_topic(document), partition)


def _present(scope: Scope) -> dict[str, Any]:
    return {key: value for key, value in scope._asdict().items() if value is not None}


def _topic(document: Mapping[str, Any]) -> str:
    if not (topic := _text(document, "topic", TOPIC_LIMIT)):
        raise Unclear("topic: must be a topic's name")
    return topic


def _text(document: Mapping[str, Any], key: str, limit: int) -> str:
    value = document.get(key, "")
    if not isinstance(value, str) or not (value.isprintable() and len(value) <= limit):
        raise Unclear(f"{key}: must be text that can be printed, of at most {limit} characters")
    return value.strip()


def _whole(document: Mapping[str, Any], key: str, limit: int) -> int:
    value = document.get(key)
    if type(value) is not int or not 0 <= value < limit:
        raise Unclear(f"{key}: must be a whole number, 0 or more")
    return value
