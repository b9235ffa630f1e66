"""The command `aws` as far as the pages use it, by boto3 against an emulator: what a person types is run as it stands.

Run as a program. Operations take their arguments as AWS's model names them; `cloudformation deploy` goes by
`templates.settled`, since the emulator does not decide every condition, and what fails it never takes back; `s3 sync`
sends every file. An argument that there is none of fails.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3
import jmespath
from botocore import xform_name
from cfnlint.decode import decode

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.templates import Stack, broken_rules, settled

RENAMED = {"notification-endpoint": "endpoint"}
"""Arguments that the AWS command line has another name for than AWS's model."""


def main(words: list[str]) -> None:
    """One command."""
    if words[:2] == ["s3", "sync"]:
        sync(*words[2:])
        return
    if words[:2] == ["cloudformation", "wait"]:
        wait(*words[2:])
        return
    service, operation, *rest = words
    options = parsed(rest)
    query, form = options.pop("query", [None])[0], options.pop("output", ["json"])[0]
    options.pop("region", None)
    client = boto3.client("s3" if service == "s3api" else service)  # type: ignore[call-overload]  # whatever service it is
    if (service, operation) == ("cloudformation", "deploy"):
        deploy(client, options)
        return
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation.replace("-", "_")])
    members = {xform_name(name, "-"): (name, shape) for name, shape in model.input_shape.members.items()}
    arguments = {}
    for option, values in options.items():
        name, shape = members[RENAMED.get(option, option)]
        arguments[name] = value(shape, values)
    answer = getattr(client, operation.replace("-", "_"))(**arguments)
    answer.pop("ResponseMetadata", None)
    found = answer if query is None else jmespath.search(query, answer)
    if form == "text":
        print(*(found if isinstance(found, list) else [found]), sep="\t")
    else:
        print(json.dumps(found, default=str))


def parsed(words: list[str]) -> dict[str, list[str]]:
    """Options with their values."""
    options: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word[2:]
            options[name] = []
        else:
            options[name].append(word)
    return options


def value(shape: Any, values: list[str]) -> Any:
    """As the model wants it."""
    match shape.type_name:
        case "list":
            return [value(shape.member, [each]) for each in values]
        case "structure":
            pairs = dict(each.split("=", 1) for each in ",".join(values).split(","))
            return {name: value(shape.members[name], [text]) for name, text in pairs.items()}
        case "boolean":
            return not values or values == ["true"]
        case "integer" | "long":
            return int(values[0])
        case "double" | "float":
            return float(values[0])
    (text,) = values
    return text


def deploy(client: Any, options: dict[str, list[str]]) -> None:
    """A template with its parameters; those that it does not have, or that are missing, fail."""
    template = Path(options.pop("template-file")[0])
    given = dict(each.split("=", 1) for each in options.pop("parameter-overrides", []))
    assert options.pop("capabilities") == ["CAPABILITY_IAM"]
    (name,) = options.pop("stack-name")
    assert options.pop("disable-rollback", []) == []  # of a stack that fails, which none does here
    assert not options, options
    document, _ = decode(str(template))
    known = document["Parameters"]
    assert given.keys() <= known.keys(), given.keys() - known.keys()
    before = deployed(client, name)
    given = (before or {}) | given
    missing = {each for each, about in known.items() if "Default" not in about} - given.keys()
    assert not missing, missing
    assert not (broken := broken_rules(document, given)), broken
    # They are the same but where a stack that fails goes back, and the emulator knows the one of them only.
    body = json.dumps(settled(document, given)).replace('"RetainExceptOnCreate"', '"Retain"')
    if before is None:
        Stack(client, name, template, given, body)
    else:
        wanted = [{"ParameterKey": key, "ParameterValue": text} for key, text in given.items()]
        client.update_stack(StackName=name, TemplateBody=body, Parameters=wanted, Capabilities=["CAPABILITY_IAM"])
    print(f"Successfully created/updated stack - {name}")


def deployed(client: Any, name: str) -> dict[str, str] | None:
    """The parameters of a stack that there is; whoever deploys it again need not give them anew."""
    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except client.exceptions.ClientError:
        return None
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())}


def wait(state: str, option: str, name: str) -> None:
    """Until a stack is what it is to be."""
    assert option == "--stack-name"
    boto3.client("cloudformation").get_waiter(state.replace("-", "_")).wait(StackName=name)  # type: ignore[call-overload]  # whatever state it is


def sync(*words: str) -> None:
    """Every file below a directory into a bucket; with --delete what is there beside them goes."""
    source, target = (word for word in words if word != "--delete")
    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    files = {f"{prefix}{file.relative_to(source)}": file for file in Path(source).rglob("*") if file.is_file()}
    for key, file in sorted(files.items()):
        client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
        print(f"upload: {file} to s3://{bucket}/{key}")
    there = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ()) if "--delete" in words else ()
    for key in {each["Key"] for each in there} - files.keys():
        client.delete_object(Bucket=bucket, Key=key)
        print(f"delete: s3://{bucket}/{key}")


if __name__ == "__main__":
    main(sys.argv[1:])
