"""IAM policies judged by what was called: what they do not allow, and what they allow that nobody called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Document = Mapping[str, Any]


class Call(NamedTuple):
    """One right that a request needed, on one resource (an ARN)."""

    action: str
    resource: str


class Grant(NamedTuple):
    """One action that a statement allows on one resource."""

    action: str
    resource: str

    def covers(self, call: Call) -> bool:
        """As IAM compares them: the action whatever its case, `*` for any characters."""
        return fnmatchcase(call.action.lower(), self.action.lower()) and fnmatchcase(call.resource, self.resource)


def grants(documents: Iterable[Document]) -> Iterator[Grant]:
    """Everything that they allow, whatever the conditions."""
    for document in documents:
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in _many(statement["Action"]):
                for resource in _many(statement["Resource"]):
                    yield Grant(action, resource)


def not_allowed(documents: Sequence[Document], calls: Iterable[Call]) -> set[Call]:
    """Calls that no statement allows."""
    allowed = list(grants(documents))
    return {call for call in calls if not any(grant.covers(call) for grant in allowed)}


def not_called(documents: Sequence[Document], calls: Iterable[Call]) -> set[Grant]:
    """Grants that no call needed."""
    made = set(calls)
    return {grant for grant in grants(documents) if not any(grant.covers(call) for call in made)}


def _many(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
