"""DataHub's filter semantics, compiled once when the action file is read and applied to every event.

Pure and total: no I/O, and no event makes a filter raise. Must not know records, Kafka or the action
file's models; it gets the plain maps of the keys `filters` and `filter`.

The rules: the items of `filters` are joined by AND, then the older `filter`. Within an item the predicates
of an event type are joined by OR and the keys of a predicate by AND. A wanted map looks into a map, or into
a string that holds one as JSON; a wanted list means "the string is one of these"; all else is equality.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from datahub_poller.errors import ConfigError
from datahub_poller.filter_shape import METADATA_CHANGE_LOG, filter_problems
from datahub_poller.model import Envelope
from datahub_poller.nesting import is_deep, may_be_deep

LEADING_FIELDS = frozenset({"entityType", "entityUrn", "changeType", "aspectName"})
"""The fields of a metadata change log that stand before its bulk, and that a filter can decide by."""

Check = Callable[[Any], bool]
"""Does this value match?"""


class _Rule(NamedTuple):
    """One item of `filters`, or the older `filter`, for one event type: any of the predicates, or no condition."""

    predicates: tuple[Mapping[str, Any], ...] | None

    @property
    def possible(self) -> bool:
        return self.predicates is None or bool(self.predicates)

    @property
    def selective(self) -> bool:
        """Can it drop an event of its type at all? An empty predicate matches everything."""
        return self.predicates is not None and all(self.predicates)


class Filter:
    """What the action lets through. Made by `compile_filters`; safe to share between threads."""

    __slots__ = ("_checks", "_everything", "_leading", "_leading_fields")

    def __init__(self, rules: Mapping[str, Sequence[_Rule]], *, everything: bool) -> None:
        """`rules` holds the event types that may pass; `everything`: types that are not in it pass as well."""
        self._everything = everything
        self._checks: dict[str, Check] = {
            event_type: _all_of([_any_of(rule.predicates) for rule in of_type if rule.selective and rule.predicates])
            for event_type, of_type in rules.items()
        }
        deciding = [part for rule in rules.get(METADATA_CHANGE_LOG, ()) if (part := _leading_part(rule))]
        self._leading: Check = _all_of([_any_of(predicates) for predicates in deciding])
        if not self.admits(METADATA_CHANGE_LOG):
            self._leading = _never
        self._leading_fields = frozenset(
            field for predicates in deciding for predicate in predicates for field in predicate
        )

    def admits(self, event_type: str) -> bool:
        """May an event of this type pass? Where it may not, its topic need not be read."""
        return self._everything or event_type in self._checks

    def leading(self, lead: Mapping[str, Any]) -> bool:
        """Decide a metadata change log by its `leading_fields` alone (null or absent alike).

        False: the event certainly does not pass. True: only the whole event can tell.
        """
        return self._leading(lead)

    @property
    def everything(self) -> bool:
        """Does everything pass?"""
        return self._everything

    @property
    def leading_fields(self) -> frozenset[str]:
        """The fields that `leading` looks at; empty if they decide nothing."""
        return self._leading_fields

    def passes(self, envelope: Envelope) -> bool:
        """Is this event handed out?"""
        return self.check_of(envelope["event_type"])(envelope["event"])

    def check_of(self, event_type: str) -> Check:
        """Is an event of this type handed out?"""
        return self._checks.get(event_type, _always if self._everything else _never)


def compile_filters(filters: Sequence[Mapping[str, Any]], legacy: Mapping[str, Any] | None) -> Filter:
    """The filter that the keys `filters` and `filter` describe.

    Raises ConfigError with every problem; the paths in it start at `filters` or `filter`.
    """
    problems = list(filter_problems(filters, legacy))
    if problems:
        raise ConfigError([str(problem) for problem in problems])
    if not filters and legacy is None:
        return Filter({}, everything=True)
    items = [_item_rules(item["config"]["filter"]) for item in filters]
    if legacy is not None:
        items.append(_legacy_rules(legacy))
    shared = [event_type for event_type in items[0] if all(event_type in rules for rules in items)]
    rules = {event_type: [rules[event_type] for rules in items] for event_type in shared}
    possible = {name: of_type for name, of_type in rules.items() if all(rule.possible for rule in of_type)}
    return Filter(possible, everything=False)


def _item_rules(wanted: Mapping[str, Any]) -> dict[str, _Rule]:
    rules = {}
    for event_type, body in wanted.items():
        predicates = None if body is None else body.get("event")
        rules[event_type] = _Rule(None if predicates is None else tuple(predicates))
    return rules


def _legacy_rules(legacy: Mapping[str, Any]) -> dict[str, _Rule]:
    wanted, body = legacy["event_type"], legacy.get("event")
    rule = _Rule(None if body is None else (body,))
    return dict.fromkeys([wanted] if isinstance(wanted, str) else wanted, rule)


def _leading_part(rule: _Rule) -> list[dict[str, Any]]:
    """What the leading fields say of each predicate; empty as soon as one predicate has nothing to say."""
    parts = []
    for predicate in rule.predicates or ():
        part = {
            key: wanted
            for key, wanted in predicate.items()
            if key in LEADING_FIELDS and not isinstance(wanted, Mapping)
        }
        if not part:
            return []
        parts.append(part)
    return parts


# Compiling: each wanted value becomes a function, so that no event pays for looking at the configuration.


def _never(_value: Any) -> bool:
    return False


def _always(_value: Any) -> bool:
    return True


def _all_of(checks: Sequence[Check]) -> Check:
    match checks:
        case []:
            return _always
        case [only]:
            return only
        case _:
            return lambda value: all(check(value) for check in checks)


def _any_of(predicates: Sequence[Mapping[str, Any]]) -> Check:
    checks = [_fields(predicate) for predicate in predicates]
    if len(checks) == 1:
        return checks[0]

    def matches(body: Any) -> bool:
        for check in checks:  # noqa: SIM110 - a generator would cost every event a frame
            if check(body):
                return True
        return False

    return matches


def _fields(wanted: Mapping[str, Any]) -> Check:
    """All keys of a map match; the cheap conditions are looked at first, which changes no verdict."""
    scalars = [(key, want) for key, want in wanted.items() if not isinstance(want, (Mapping, list, tuple))]
    lists = [
        (key, frozenset(item for item in want if isinstance(item, str)))
        for key, want in wanted.items()
        if isinstance(want, (list, tuple))
    ]
    maps = [(key, _map(want)) for key, want in wanted.items() if isinstance(want, Mapping)]

    def matches(body: Any) -> bool:
        get = body.get
        for key, want in scalars:
            if not get(key) == want:  # noqa: SIM201 - equality as DataHub asks it, also for NaN
                return False
        for key, choices in lists:
            value = get(key)
            if not isinstance(value, str) or value not in choices:
                return False
        for key, check in maps:  # noqa: SIM110 - a generator would cost every event a frame
            if not check(get(key)):
                return False
        return True

    return matches


def _map(wanted: Mapping[str, Any]) -> Check:
    check = _fields(wanted)

    def matches(value: Any) -> bool:
        if isinstance(value, str):
            value = _decoded(value)
        return isinstance(value, dict) and check(value)

    return matches


def _decoded(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if may_be_deep(text) and is_deep(value) else value
