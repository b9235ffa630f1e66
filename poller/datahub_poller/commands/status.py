"""`status`: what a running poller does and waits for."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from datahub_poller.commands.shared import FAILED, WRONG_USE, fail, fail_for, verbatim
from datahub_poller.errors import ConfigError, PollerError

DEFAULT_PORT = 8470


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
@click.option(
    "-c", "--config", "path", metavar="FILE", type=click.Path(path_type=Path), help="Take the port from this file."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="PORT", help=f"The status port [default: {DEFAULT_PORT}]."
)
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
def status(path: Path | None, port: int | None, as_json: bool) -> None:
    """Show what a poller on this machine does: each partition's state and reason, counters, what it waits for."""
    from datahub_poller.observe.render import fetch_status, render

    if port is None:
        port = DEFAULT_PORT if path is None else _port_of(path)
    try:
        document = fetch_status(port)
    except PollerError as error:
        fail(str(error), FAILED)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        render(document, sys.stdout)


def _port_of(path: Path) -> int:
    """The status port that a file names; where it names none that can be asked, this ends the command."""
    from datahub_poller.config import load

    try:
        port = load(path, os.environ).status.port
    except ConfigError as error:
        fail_for([*error.problems, "the port can also be given by itself: --port PORT"])
    match port:
        case None:
            fail(f"{path}: status.port is off: this poller cannot be asked", WRONG_USE)
        case 0:
            where = "its log line 'status is served' tells which. Give it with --port"
            fail(f"{path}: status.port is 0, any free port: {where}", WRONG_USE)
    return port
