"""What a request to AWS asks for: its operation, and the right that it needs on which resource. Pure.

Rights are named as AWS's service authorization reference does, where one right often stands for several operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.policies import Call

ACCOUNT = "123456789012"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
_QUEUE = re.compile(rb'"QueueUrl": ?"([^"]+)"')
_S3_OBJECT = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_S3_BUCKET = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
_RIGHTS = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
"""Operations whose right has another name."""
_S3_PLAIN = {"x-id"}
"""What a request for an object may have in its query and still be what it seems."""
_S3_MORE = re.compile(r"x-amz-(acl|copy-source|grant-|object-lock-|tagging)")
"""Headers that want another right beside the request's own. A call with one of them is named with it, so that no
grant covers it."""


def operation(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> str:
    """Such as `s3:PutObject`, by the service that the request was signed for."""
    lower = {name.lower(): value for name, value in headers.items()}
    _, service = _scope(headers)
    if target := lower.get("x-amz-target"):
        return f"{service}:{target.rsplit('.', 1)[-1]}"
    parts = urlsplit(path)
    if service == "lambda" and parts.path.endswith("/invocations"):
        return "lambda:Invoke"
    if service == "s3":
        return f"s3:{_s3_operation(method, parts.path, parts.query)}"
    if action := _form(body).get("Action"):
        return f"{service}:{action}"
    return f"{service}:{method} {parts.path}"


def call_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
    """What the request needs. Of a service that nobody has thought of here, the operation on a resource `?`."""
    asked = operation(method, path, headers, body)
    action = _RIGHTS.get(asked, asked)
    return _on(action, path, headers, body)._replace(operation=None if action == asked else asked)


def _on(action: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
    region, service = _scope(headers)
    match service:
        case "sqs":
            found = _QUEUE.search(body)  # not read as JSON: it may be a megabyte
            return Call(action, "?" if found is None else _queue(region, found[1].decode()))
        case "s3":
            return _of_s3(action, urlsplit(path), headers)
        case "sts":
            return Call(action, _form(body).get("RoleArn", "*"))
        case "glue":
            return Call(action, "*")
    return Call(action, "?")


def _of_s3(action: str, path: Any, headers: Mapping[str, str]) -> Call:
    bucket, _, key = unquote(path.path).lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    asked = parse_qs(path.query, keep_blank_values=True)
    if key:
        aside = [*sorted(asked.keys() - _S3_PLAIN), *sorted(filter(_S3_MORE.match, map(str.lower, headers)))]
        return Call(f"{action} with {', '.join(aside)}" if aside else action, f"{arn}/{key}")
    return Call(action, arn, asked.get("prefix", [""])[0] if "list-type" in asked else None)


def _queue(region: str, url: str) -> str:
    account, name = urlsplit(url).path.strip("/").split("/")[-2:]
    return f"arn:aws:sqs:{region}:{account}:{name}"


def _s3_operation(method: str, path: str, query: str) -> str:
    asked = parse_qs(query, keep_blank_values=True)
    if "/" in path.strip("/"):
        return _S3_OBJECT.get(method, method)
    if method == "GET":
        return "ListObjectsV2" if asked.get("list-type") == ["2"] else "GetBucket"
    return "DeleteObjects" if "delete" in asked else _S3_BUCKET.get(method, method)


def _scope(headers: Mapping[str, str]) -> tuple[str, str]:
    """The region and the service that the request was signed for."""
    signed = {name.lower(): value for name, value in headers.items()}.get("authorization", "")
    found = _SCOPE.search(signed)
    return (found[1], found[2]) if found else ("", "unsigned")


def _form(body: bytes) -> dict[str, str]:
    if not body.startswith(b"Action="):
        return {}
    return {key: values[0] for key, values in parse_qs(body.decode()).items()}
