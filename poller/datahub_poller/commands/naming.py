"""How commands name a running poller: by its status port and address, or by the action file that says them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import click

from datahub_poller.commands.shared import WRONG_USE, action_file, fail, fail_for
from datahub_poller.errors import ConfigError
from datahub_poller.observe.listening import DEFAULT_PORT, EVERYWHERE, LOOPBACK

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def _host(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """What stands in a URL as it is: without a port, or anything else."""
    if value is not None and not _HOST.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no address such as {LOOPBACK}, and no name.")
    return value


CONFIG = action_file(
    required=False, help="Take the port and the address from this file, and the token where one is needed."
)
PORT = click.option(
    "--port", type=click.IntRange(1, 65535), metavar="PORT", help=f"The status port [default: {DEFAULT_PORT}]."
)
HOST = click.option(
    "--host",
    callback=_host,
    metavar="ADDRESS",
    help=f"The address that it listens on, where `status.host` names one [default: {LOOPBACK}].",
)


class Door(NamedTuple):
    """Where a poller is asked, and what orders to it must show."""

    port: int
    host: str = LOOPBACK
    token: str | None = None

    def url(self, path: str) -> str:
        """Of one of its pages."""
        return f"http://{self.host}:{self.port}{path}"


def door_of(path: Path | None, port: int | None, host: str | None) -> Door:
    """What is given, else what the file says; where there is nothing that can be asked, this ends the command."""
    from datahub_poller.config import load

    if path is None:
        return Door(DEFAULT_PORT if port is None else port, _asked_at(host or LOOPBACK))
    try:
        status = load(path, os.environ).status
    except ConfigError as error:
        fail_for([*error.problems, "the port can also be given by itself: --port PORT, and the address by --host"])
    known = status.port if port is None else port
    if known is None:
        fail(f"{path}: status.port is off: this poller cannot be asked", WRONG_USE)
    if known == 0:
        where = "its log line 'status is served' tells which. Give it with --port"
        fail(f"{path}: status.port is 0, any free port: {where}", WRONG_USE)
    return Door(known, _asked_at(host or status.host), status.token)


def _asked_at(host: str) -> str:
    """Where a poller that listens there is asked from its own machine."""
    return LOOPBACK if host == EVERYWHERE else host
