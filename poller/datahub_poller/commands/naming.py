"""How commands name a running poller: by its status port and address, or by the action file that says them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import click

from datahub_poller.commands.shared import WRONG_USE, action_file, fail, fail_for
from datahub_poller.errors import ConfigError
from datahub_poller.observe.listening import DEFAULT_PORT, LOOPBACK, address_of, asked_at, in_url

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def _host(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A name or an address, without a port. An IPv6 address may stand in brackets, as a URL has it."""
    if value is None or _NAME.fullmatch(value):
        return value
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        if "%" not in bare:  # a zone is not the same on both sides of a URL
            return str(address_of(bare))
    except ValueError:
        pass
    raise click.BadParameter(f"{value!r} is not an address such as {LOOPBACK} or ::1, and not a name.")


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
        return f"http://{in_url(self.host)}:{self.port}{path}"


def door_of(path: Path | None, port: int | None, host: str | None) -> Door:
    """What is given, else what the file says; where there is nothing that can be asked, this ends the command."""
    from datahub_poller.config import load

    if path is None:
        return Door(DEFAULT_PORT if port is None else port, asked_at(host or LOOPBACK))
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
    return Door(known, asked_at(host or status.host), status.token)
