"""IAM policies judged by what was called: what they do not allow, and what they allow that nobody called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Document = Mapping[str, Any]


class Call(NamedTuple):
    """One right that a request needed, on one resource (an ARN).

    `prefix` is what S3 was asked to list the keys of; None: nobody asks about it.
    """

    action: str
    resource: str
    prefix: str | None = None


class Grant(NamedTuple):
    """One action that a statement allows on one resource, under the condition that the prefix is like `prefix`."""

    action: str
    resource: str
    prefix: str | None = None

    def covers(self, call: Call) -> bool:
        """As IAM compares them: the action whatever its case, `*` for any characters."""
        return (
            fnmatchcase(call.action.lower(), self.action.lower())
            and fnmatchcase(call.resource, self.resource)
            and (self.prefix is None or call.prefix is None or fnmatchcase(call.prefix, self.prefix))
        )


def grants(documents: Iterable[Document]) -> Iterator[Grant]:
    """Everything that they allow."""
    for document in documents:
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            prefix = _condition(statement.get("Condition"))
            for action in _many(statement["Action"]):
                for resource in _many(statement["Resource"]):
                    yield Grant(action, resource, prefix)


def not_allowed(documents: Sequence[Document], calls: Iterable[Call]) -> set[Call]:
    """Calls that no statement allows."""
    allowed = list(grants(documents))
    return {call for call in calls if not any(grant.covers(call) for grant in allowed)}


def not_called(documents: Sequence[Document], calls: Iterable[Call]) -> set[Grant]:
    """Grants that no call needed."""
    made = set(calls)
    return {grant for grant in grants(documents) if not any(grant.covers(call) for call in made)}


def _condition(condition: Any) -> str | None:
    match condition:
        case None:
            return None
        case {"StringLike": {"s3:prefix": str(prefix), **others}, **more} if not others and not more:
            return prefix
    raise AssertionError(f"a condition that nobody has thought of here: {condition}")


def _many(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
