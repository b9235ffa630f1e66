"""`status`: what a running poller does and waits for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from datahub_poller.commands.naming import CONFIG, HOST, PORT, door_of
from datahub_poller.commands.shared import FAILED, fail, verbatim
from datahub_poller.errors import PollerError


@click.command(
    short_help="Show what a running poller does and waits for.",
    epilog=verbatim("""
Exit codes: 0 the poller answered (whatever it said: look for RED), 1 it did not,
2 wrong use or configuration.

Examples:
  datahub-poller status
  datahub-poller status -c action.yaml
  datahub-poller status --port 8471 --json | jq .reasons
"""),
)
@CONFIG
@PORT
@HOST
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def status(path: Path | None, port: int | None, host: str | None, as_json: bool) -> None:
    """Show what a poller on this machine does: each partition's state and reason, counters, what it waits for."""
    from datahub_poller.observe.render import fetch_status, render

    door = door_of(path, port, host)
    try:
        document = fetch_status(door.port, host=door.host)
    except PollerError as error:
        fail(str(error), FAILED)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        render(document, sys.stdout)
