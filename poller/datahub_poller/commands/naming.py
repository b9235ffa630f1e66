"""How commands name a running poller: by its status port, or by the action file that says it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import click

from datahub_poller.commands.shared import WRONG_USE, fail, fail_for
from datahub_poller.errors import ConfigError

DEFAULT_PORT = 8470

CONFIG = click.option(
    "-c",
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take the port from this file, and the token where one is needed.",
)
PORT = click.option(
    "--port", type=click.IntRange(1, 65535), metavar="PORT", help=f"The status port [default: {DEFAULT_PORT}]."
)


class Door(NamedTuple):
    """Where a poller is asked, and what orders to it must show."""

    port: int
    token: str | None = None


def port_and_token(path: Path | None, port: int | None) -> Door:
    """The port that is given, or that of the file; where there is none that can be asked, this ends the command."""
    from datahub_poller.config import load

    if path is None:
        return Door(DEFAULT_PORT if port is None else port)
    try:
        status = load(path, os.environ).status
    except ConfigError as error:
        fail_for([*error.problems, "the port can also be given by itself: --port PORT"])
    known = status.port if port is None else port
    if known is None:
        fail(f"{path}: status.port is off: this poller cannot be asked", WRONG_USE)
    if known == 0:
        where = "its log line 'status is served' tells which. Give it with --port"
        fail(f"{path}: status.port is 0, any free port: {where}", WRONG_USE)
    return Door(known, status.token)
