"""The demo's handler: it is given DataHub's events in batches, and says in words what happened.

Copy it and begin: it imports nothing of the poller's, and works as an AWS Lambda function too. What it did is
written to `handled.jsonl` beside it, one line for each call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).with_name("handled.jsonl")
LEFT_THE_COMPANY = ("urn:li:corpuser:zoe.nobody",)


class NoSuchUser(Exception):
    """The company's directory does not know an owner: no number of attempts will change that."""


def handle(event: dict[str, Any], context: Any) -> None:
    """Called once for each batch. Returning means that all of it succeeded; an exception, that none of it did."""
    told: list[str] = []
    error = None
    try:
        told.extend(tell(record["event_type"], record["event"]) for record in event["events"])
    except NoSuchUser as problem:
        error = f"{type(problem).__name__}: {problem}"
        raise
    finally:
        write({"request": context.aws_request_id, "attempt": event["attempt"]}, event["events"], told, error)


def tell(event_type: str, event: dict[str, Any]) -> str:
    """One event in words."""
    match event_type:
        case "EntityChangeEvent_v1":
            who, table = name(event["auditStamp"]["actor"]), name(event["entityUrn"])
            if event.get("modifier") in LEFT_THE_COMPANY:
                raise NoSuchUser(f"{name(event['modifier'])} is to own {table}, and is not in the directory")
            what = f"{event['operation']} {event['category']}".lower().replace("_", " ")
            return " ".join([f"{table}: {what}", *(name(it) for it in modifier(event)), f"by {who}"])
        case "RelationshipChangeEvent_v1":
            arrow = "no longer " if event["operation"] == "REMOVE" else ""
            return f"{name(event['sourceUrn'])}: {arrow}{event['relationshipType']} {name(event['destinationUrn'])}"
        case _:
            return f"{name(event['entityUrn'])}: {event['changeType'].lower()} {event['aspectName']}"


def modifier(event: dict[str, Any]) -> Iterator[str]:
    """The tag, owner, column or status that the change is about, if it has one."""
    if event.get("modifier"):
        yield event["modifier"]


def name(urn: str) -> str:
    """The part of a URN that people say: the table's name, the column's, the tag's, the user's."""
    inner = urn.removesuffix(")").rpartition(":(")[2]
    parts = inner.removesuffix(",PROD").split(",") if inner != urn else [urn.rpartition(":")[2]]
    return parts[-1].removesuffix(",PROD")


def write(call: dict[str, Any], records: list[dict[str, Any]], told: list[str], error: str | None) -> None:
    """Add a line to the notebook in one piece, so that two calls at a time do not mix theirs."""
    kafka = [record["meta"]["kafka"] for record in records]
    events = [[it["topic"], it["partition"], it["offset"]] for it in kafka]
    line = {**call, "events": events, "told": told, "error": error}
    with NOTEBOOK.open("ab", buffering=0) as notebook:
        notebook.write(json.dumps(line).encode() + b"\n")
