"""What the policies of a template grant once its parameters are given, each grant with the place where it is written.

Resolves what the policies of `infra` are made of, as CloudFormation does, without an emulator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from support.aws_requests import ACCOUNT
from support.policies import Document, Grant, grants
from support.template_rights import POLICIES, document_of
from support.templates import settled

_VARIABLE = re.compile(r"\$\{([^}]+)\}")


class Place(NamedTuple):
    """Where an action stands: `ecs/service.yaml`, the policy, its statement, the action, and which of its resources."""

    template: str
    policy: str
    statement: int
    action: str
    resource: int

    def __str__(self) -> str:
        return f"{self.template} {self.policy}[{self.statement}] {self.action} {self.resource}"


class Placed(NamedTuple):
    """A grant and its place."""

    place: Place
    grant: Grant


def policies(template: str, parameters: Mapping[str, str], role: str | None = None) -> dict[str, Document]:
    """The policies by their names, of one role where `role` names it. Their region is `us-east-1`, unless given."""
    found = _Template(template, {"AWS::Region": "us-east-1", **parameters})
    return {
        name: found.resolved(each["Properties"]["PolicyDocument"])
        for name, each in found.resources.items()
        if each["Type"] in POLICIES and (role is None or {"Ref": role} in each["Properties"]["Roles"])
    }


def placed(template: str, documents: Mapping[str, Document]) -> Iterator[Placed]:
    """Each of their grants."""
    for policy, document in documents.items():
        for number, statement in enumerate(document["Statement"]):
            seen: dict[str, int] = {}
            for grant in grants([{"Statement": [statement]}]):
                seen[grant.action] = seen.get(grant.action, -1) + 1
                yield Placed(Place(template, policy, number, grant.action, seen[grant.action]), grant)


class _Template:
    def __init__(self, template: str, parameters: Mapping[str, str]) -> None:
        document = document_of(template)
        given = {name: value for name, value in parameters.items() if not name.startswith("AWS::")}
        assert given.keys() <= document["Parameters"].keys(), template
        defaults = {name: str(each.get("Default", "")) for name, each in document["Parameters"].items()}
        self._lists = {name for name, each in document["Parameters"].items() if "List" in each["Type"]}
        self._values = {**defaults, "AWS::Partition": "aws", "AWS::AccountId": ACCOUNT, **parameters}
        self.resources = settled(document, given)["Resources"]

    def resolved(self, value: Any) -> Any:
        match value:
            case {"Ref": name}:
                return self._values[name].split(",") if name in self._lists else self._values[name]
            case {"Fn::GetAtt": [name, "Arn"]}:
                return self._arn(name)
            case {"Fn::Sub": [text, more]}:
                return self._filled(text, self.resolved(more))
            case {"Fn::Sub": str(text)}:
                return self._filled(text, {})
            case {"Fn::Select": [number, several]}:
                return self.resolved(several)[int(number)]
            case {"Fn::Split": [between, text]}:
                return self.resolved(text).split(between)
            case dict():
                return {key: self.resolved(item) for key, item in value.items()}
            case list():
                return [item for each in value for item in _several(self.resolved(each))]
        return value

    def _filled(self, text: str, more: Mapping[str, str]) -> str:
        def filling(found: re.Match[str]) -> str:
            name, _, attribute = found[1].partition(".")
            if name in more:
                return more[name]
            return str(self.resolved({"Fn::GetAtt": [name, attribute]} if attribute else {"Ref": name}))

        return _VARIABLE.sub(filling, text)

    def _arn(self, name: str) -> str:
        properties = self.resources[name]["Properties"]
        match self.resources[name]["Type"]:
            case "AWS::SQS::Queue":
                place = f"{self._values['AWS::Region']}:{ACCOUNT}"
                return f"arn:aws:sqs:{place}:{self.resolved(properties['QueueName'])}"
            case "AWS::S3::Bucket":
                return f"arn:aws:s3:::{self.resolved(properties['BucketName'])}"
        raise AssertionError(f"{name} has an ARN that nobody has thought of here")


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
