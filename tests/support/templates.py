"""CloudFormation templates as their checkers and an emulator of AWS see them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cfnlint.decode import decode

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
BIN = Path(sys.prefix, "bin")
CHECKOV = Path(sys.prefix, "checkov", "bin", "checkov")
"""It has an environment of its own: `make .venv/checkov/.made`."""


def lint(template: Path) -> list[str]:
    """What cfn-lint has to say, warnings and remarks included."""
    done = subprocess.run(
        [BIN / "cfn-lint", "--include-checks", "I", "--format", "parseable", "--", template],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def checkov(template: Path, framework: str = "cloudformation") -> dict[str, Any]:
    """Its report: `passed_checks`, `failed_checks` and `skipped_checks` under `results`."""
    done = subprocess.run(
        [CHECKOV, "-f", template, "--framework", framework, "--skip-download", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert not report["results"]["parsing_errors"]
    return report["results"]


def passes_checkov(file: Path, least: int, framework: str = "cloudformation") -> None:
    """AssertionError where a check fails, fewer than `least` saw anything, or one is skipped without a reason."""
    report = checkov(file, framework)
    assert [f"{check['check_id']} {check['resource']}" for check in report["failed_checks"]] == []
    assert len(report["passed_checks"]) >= least, "it saw nothing"
    for skipped in report["skipped_checks"]:
        assert len(skipped["check_result"]["suppress_comment"]) > 30, "skipped without a reason"


def deciding(document: Mapping[str, Any], parameters: Mapping[str, str]) -> Callable[[Any], bool]:
    """Tells of a condition whether it holds, with these parameters and the others' defaults."""
    values = {name: str(each.get("Default", "")) for name, each in document["Parameters"].items()} | dict(parameters)

    def holds(condition: Any) -> bool:
        match condition:
            case {"Condition": name}:
                return holds(document["Conditions"][name])
            case {"Fn::Not": [one]}:
                return not holds(one)
            case {"Fn::And": several}:
                return all(holds(each) for each in several)
            case {"Fn::Or": several}:
                return any(holds(each) for each in several)
            case {"Fn::Equals": [{"Ref": name}, {"Ref": other}]}:
                return values[name] == values[other]
            case {"Fn::Equals": [{"Ref": name} | {"Fn::Join": [_, {"Ref": name}]}, text]}:
                return values[name] == str(text)
            case {"Fn::Equals": [{"Fn::Select": [number, {"Fn::Split": [between, {"Fn::Sub": given}]}]}, text]}:
                put_in = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], given)
                return put_in.split(between)[int(number)] == text
            case {"Fn::Contains": [several, {"Ref": name}]}:
                return values[name] in several
        raise AssertionError(condition)

    return holds


def broken_rules(document: Mapping[str, Any], parameters: Mapping[str, str]) -> list[str]:
    """What CloudFormation says of parameters that a template's rules refuse, before it makes anything."""
    holds = deciding(document, parameters)
    return [
        each["AssertDescription"]
        for rule in document.get("Rules", {}).values()
        if "RuleCondition" not in rule or holds(rule["RuleCondition"])
        for each in rule["Assertions"]
        if not holds(each["Assert"])
    ]


def settled(document: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """A template with its conditions decided and AWS::NoValue taken out, which the emulator does in part only."""
    holds = deciding(document, parameters)

    def decided(value: Any) -> Any:
        match value:
            case {"Fn::If": [name, one, other]}:
                return decided(one if holds({"Condition": name}) else other)
            case dict():
                pairs = ((key, decided(item)) for key, item in value.items())
                return {key: item for key, item in pairs if item != _NO_VALUE}
            case list():
                return [item for item in map(decided, value) if item != _NO_VALUE]
        return value

    def kept(section: Mapping[str, Any]) -> Any:
        wanted = {
            name: {key: item for key, item in each.items() if key != "Condition"}
            for name, each in section.items()
            if "Condition" not in each or holds({"Condition": each["Condition"]})
        }
        return decided(wanted)

    return {
        "Parameters": document["Parameters"],
        "Resources": kept(document["Resources"]),
        "Outputs": kept(document["Outputs"]),
    }


_NO_VALUE = {"Ref": "AWS::NoValue"}


class Stack:
    """A template deployed to an emulator. `body` stands in for its text."""

    def __init__(
        self, client: Any, name: str, template: Path, parameters: Mapping[str, str], body: str | None = None
    ) -> None:
        client.create_stack(
            StackName=name,
            TemplateBody=template.read_text() if body is None else body,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
        found = client.describe_stack_resources(StackName=name)["StackResources"]
        # What the emulator does not know it passes over in silence, or lists without a name.
        self.resources = {
            each["LogicalResourceId"]: each.get("PhysicalResourceId") for each in found if "LogicalResourceId" in each
        }
        wanted = re.findall(
            r"^  (\w+):\n    Type: AWS::", template.read_text().partition("\nResources:")[2], re.MULTILINE
        )
        self.passed_over = set(wanted) - self.resources.keys()


def parameters(template: Path) -> str:
    """What a template's parameters are for, as a table. `python tests/support/templates.py FILE` prints it."""
    document, _ = decode(str(template))
    rows = []
    for name, about in document["Parameters"].items():
        default = str(about["Default"]) if "Default" in about else "required"
        shown = default if default in ("required", "") else f"`{default}`"
        rows.append(f"| `{name}` | {shown} | {about['Description']} |\n")
    return "| parameter | default | what it does |\n| --- | --- | --- |\n" + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(parameters(Path(sys.argv[1])))
