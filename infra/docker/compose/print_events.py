"""The sample's handler: one line for each event, to be seen with `docker compose logs -f poller`."""

from __future__ import annotations

from typing import Any


def handle(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - the signature is AWS Lambda's
    """Called once for each batch. Returning means that all of it succeeded."""
    for record in event["events"]:
        place, change = record["meta"]["kafka"], record["event"]
        about = change.get("entityUrn") or change.get("sourceUrn")
        print(f"{place['topic']}-{place['partition']}@{place['offset']} {record['event_type']} {about}")  # noqa: T201 - that is its purpose
