"""IAM policies judged by what was called: what they do not allow, and what they allow that nobody called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Document = Mapping[str, Any]


class Call(NamedTuple):
    """One right that a request needed, on one resource (an ARN).

    `prefix` is what S3 was asked to list the keys of, None where no keys were. `operation` is what was asked for, where
    the right has another name.
    """

    action: str
    resource: str
    prefix: str | None = None
    operation: str | None = None


class Grant(NamedTuple):
    """One action that a statement allows on one resource, under the condition that the prefix is like `prefix`."""

    action: str
    resource: str
    prefix: str | None = None

    def covers(self, call: Call) -> bool:
        """As IAM compares them: the action whatever its case; a condition on a prefix only where one was asked for."""
        return (
            _like(call.action.lower(), self.action.lower())
            and _like_arn(call.resource, self.resource)
            and (self.prefix is None or (call.prefix is not None and _like(call.prefix, self.prefix)))
        )


def wild(text: str) -> bool:
    """Whether IAM takes it for more than itself."""
    return "*" in text or "?" in text


def grants(documents: Iterable[Document]) -> Iterator[Grant]:
    """Everything that they allow."""
    for document in documents:
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
            prefix = asked_prefix(statement.get("Condition"))
            assert prefix is None or isinstance(prefix, str)
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


def asked_prefix(condition: Any) -> Any:
    """What a statement's condition wants of a prefix, resolved or not. AssertionError for any other condition."""
    match condition:
        case None:
            return None
        case {"StringLike": {"s3:prefix": prefix, **others}, **more} if not others and not more:
            return prefix
    raise AssertionError(f"a condition that nobody has thought of here: {condition}")


def _like(text: str, pattern: str) -> bool:
    """`*` is any characters and `?` one; nothing else is special, as it would be in a shell."""
    found = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(found, text, re.DOTALL) is not None


def _like_arn(arn: str, pattern: str) -> bool:
    """Part by part: what is any in one part of an ARN does not reach into the next."""
    parts, patterns = arn.split(":", 5), pattern.split(":", 5)
    return pattern == "*" or (len(parts) == len(patterns) and all(map(_like, parts, patterns)))


def _many(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
