"""Every right that a template writes down, as it stands there: both sides of each condition, and no parameter given.

What `template_grants` resolves is what one set of parameters grants; here nothing hides behind a parameter's value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cfnlint.decode import decode

from support.policies import asked_prefix, wild
from support.templates import INFRA

POLICIES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
_NAMED = re.compile(r"\$\{([^}]+)\}")


class Written(NamedTuple):
    """An action on a resource as its template has it: a name that is filled in stands there as `${Name}`."""

    policy: str
    action: str
    resource: str
    prefix: str | None = None

    @property
    def wild(self) -> bool:
        """Whether it is for more than one thing."""
        return any(map(wild, (self.action, self.resource, self.prefix or "")))


def document_of(template: str) -> Any:
    """Of a file below `infra`, or anywhere."""
    return _decoded(INFRA / template)


@cache
def _decoded(file: Path) -> Any:
    return decode(str(file))[0]


def written(template: str) -> Iterator[Written]:
    """All that its policies allow. AssertionError for what is written in a way that nobody has thought of here."""
    document = document_of(template)
    for name, each in document["Resources"].items():
        if each["Type"] in POLICIES:
            for statement in _either(each["Properties"]["PolicyDocument"]["Statement"]):
                assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}, name
                assert statement["Effect"] == "Allow", name
                asked = asked_prefix(statement.get("Condition"))
                prefix = None if asked is None else _text(document, asked)
                for action in _either(statement["Action"]):
                    for resource in _either(statement["Resource"]):
                        yield Written(name, _text(document, action), _text(document, resource), prefix)


def unread(template: str) -> list[str]:
    """Resources that may give rights beside the policies that are read here, and how."""
    resources = document_of(template)["Resources"]
    return [f"{name}: {how}" for name, each in resources.items() if (how := _aside(each["Type"], each["Properties"]))]


def _aside(kind: str, properties: Mapping[str, Any]) -> str:
    match kind:
        case "AWS::IAM::Role":
            return _aside_role(properties)
        case "AWS::IAM::Policy":
            match properties:
                case {"Roles": [{"Ref": str()}], "PolicyName": _, "PolicyDocument": _, **others} if not others:
                    return ""
            return "belongs to something else than one role of the template"
        case "AWS::IAM::ManagedPolicy":
            return "" if properties.keys() <= {"Description", "PolicyDocument"} else "is given to somebody"
        case "AWS::IAM::InstanceProfile":
            return ""
    if kind.startswith("AWS::IAM::"):
        return f"is a {kind}"
    statements = properties.get("PolicyDocument", {}).get("Statement", [])
    return "" if all(each["Effect"] == "Deny" for each in statements) else "lets somebody in"


def _aside_role(properties: Mapping[str, Any]) -> str:
    if more := properties.keys() - {"Description", "AssumeRolePolicyDocument", "ManagedPolicyArns"}:
        return f"has {sorted(more)}"
    if not all(set(each) == {"Ref"} for each in _either(properties.get("ManagedPolicyArns", []))):
        return "has a policy that no parameter names"
    for each in properties["AssumeRolePolicyDocument"]["Statement"]:
        if each["Action"] != "sts:AssumeRole" or set(each["Principal"]) != {"Service"}:
            return "is taken by somebody else than a service"
    return ""


def _either(value: Any) -> Iterator[Any]:
    """Each of several, on both sides of every condition."""
    match value:
        case list():
            for each in value:
                yield from _either(each)
        case {"Fn::If": [_, one, other]}:
            yield from _either([one, other])
        case {"Ref": "AWS::NoValue"}:
            return
        case _:
            yield value


def _text(document: Any, value: Any) -> str:
    match value:
        case str():
            return str(value)
        case {"Ref": name}:
            return _named(document, name)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": [text, more]}:
            assert not wild(json.dumps(more)), f"{more} fills in more than a name"
            return _filled(document, text, more)
        case {"Fn::Sub": str(text)}:
            return _filled(document, text, {})
    raise AssertionError(f"a text that nobody has thought of here: {value}")


def _filled(document: Any, text: str, more: Mapping[str, Any]) -> str:
    return _NAMED.sub(lambda found: found[0] if found[1] in more else _named(document, found[1]), text)


def _named(document: Any, name: str) -> str:
    """A parameter whose default is wild is no name."""
    default = str(document["Parameters"].get(name, {}).get("Default", ""))
    return default if wild(default) else f"${{{name}}}"
