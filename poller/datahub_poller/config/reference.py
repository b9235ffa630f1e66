"""The table of all configuration keys in Markdown, written from the models so that the two cannot part.

`python -m datahub_poller.config.reference` prints it; the README holds it between two markers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, PlainSerializer, PlainValidator
from pydantic.fields import FieldInfo

from datahub_poller.config.models import ActionFile
from datahub_poller.config.quantities import Duration, OneOf, Rate, Size, Text, Whole, start_position
from datahub_poller.config.values import (
    aws_region,
    bootstrap_servers,
    bucket_name,
    bucket_place,
    directory_path,
    error_names,
    external_id_of_a_role,
    function_name,
    key_prefix,
    listening_address,
    role_arn,
    status_port,
    topic_name,
    web_address,
)

BEGIN = "<!-- keys:begin -->"
END = "<!-- keys:end -->"

_OWN_TEXT = (Duration, OneOf, Rate, Size, Text, Whole)
_TAKES: Mapping[Any, str] = {
    aws_region: "text",
    bootstrap_servers: "text",
    bucket_name: "text",
    bucket_place: "`s3://bucket/prefix`",
    error_names: "list",
    external_id_of_a_role: "text",
    key_prefix: "text",
    listening_address: "IP address",
    role_arn: "ARN",
    topic_name: "text",
    directory_path: "path",
    function_name: "text",
    start_position: "`latest` or `earliest` or time",
    status_port: "0 to 65535 or `off`",
    web_address: "URL",
}
_KINDS: Mapping[Any, str] = {bool: "`true` or `false`", dict: "map", list: "list", str: "text"}


class Row(NamedTuple):
    """One key."""

    key: str
    default: str
    values: str
    meaning: str


def rows(section: type[BaseModel] = ActionFile, prefix: str = "") -> Iterator[Row]:
    """Every key below the section, in the order in which the models have them."""
    for name, field in section.model_fields.items():
        key = f"{prefix}{name if field.alias is None else field.alias}"
        below = _section(field.annotation)
        if below is None:
            yield Row(f"`{key}`", _default(field), _values(field), _plain(field.description))
        else:
            yield from rows(below, f"{key}.")


def markdown() -> str:
    """The table."""
    head = "| key | default | values | meaning |\n| --- | --- | --- | --- |\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows())


def block(text: str) -> str | None:
    """What a text holds between the markers, `None` if it has no such block."""
    _, begin, rest = text.partition(BEGIN)
    inner, end, _ = rest.partition(END)
    return inner.strip("\n") + "\n" if begin and end else None


def _section(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    return next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _plain(description: str | None) -> str:
    return "" if description is None else description.replace("|", "\\|")


def _values(field: FieldInfo) -> str:
    for part in field.metadata:
        if isinstance(part, PlainValidator) and isinstance(part.func, _OWN_TEXT):
            return str(part.func)
        if isinstance(part, PlainValidator) and part.func in _TAKES:
            return _TAKES[part.func]
    options = get_args(field.annotation) if get_origin(field.annotation) is UnionType else [field.annotation]
    kinds = [option if get_origin(option) is None else get_origin(option) for option in options]
    return next((_KINDS[kind] for kind in kinds if kind in _KINDS), "anything")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ({}, []):
        return ""
    for part in field.metadata:
        if isinstance(part, PlainSerializer):
            value = part.func(value)  # type: ignore[call-arg]  # ours take the value alone
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"`{key}: {item}`" for key, item in value.items())
    return f"`{value}`"


def _main() -> None:
    sys.stdout.write(markdown())


if __name__ == "__main__":
    _main()
