"""`run --processes N`: what all N have in common is checked once, here; then a supervisor starts them.

Kept apart from `run`, which is each of the N. Imports nothing of what consumes: this process stays small.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datahub_poller.commands.shared import ENABLED_FALSE, WRONG_USE, fail, fail_for, start_logging
from datahub_poller.errors import ConfigError
from datahub_poller.processes import ports, shared
from datahub_poller.supervisor import PROCESS, Plan, Supervisor

if TYPE_CHECKING:
    from datahub_poller.config import ActionFile

INSTANCE_ID = "group.instance.id"


def supervise(path: Path, count: int, status_port: int | None, debug: bool) -> int:
    """Run so many pollers until they are stopped; the exit code."""
    action = _load(path, 0)
    if action is None:
        click.echo(f"datahub-poller: {path}: {ENABLED_FALSE}", err=True)
        return 0
    try:
        status_ports = ports(action.status.port if status_port is None else status_port, count)
    except ValueError as error:
        where = "status.port" if status_port is None else "--status-port"
        fail(f"{path}: {where}: {error}. Take a lower one, or 0 for any that are free", WRONG_USE)
    if (twice := shared(_instance_ids(path, action, count))) is not None:
        fail(
            f"{path}: {INSTANCE_ID}: {twice!r} would be the name of more than one of {count} processes, and members of "
            f"one name throw each other out. Put ${{{PROCESS}}} into it, in source.config.connection.consumer_config: "
            f"it is 0 to {count - 1}",
            WRONG_USE,
        )
    start_logging(action, "debug" if debug else action.logs.level)
    halts = action.options.failure_mode == "THROW" or action.source.config.on_gap == "halt"
    plan = Plan(_command(path, debug), os.environ, status_ports, action.shutdown.deadline, halts)
    return Supervisor(plan).run()


def _load(path: Path, number: int) -> ActionFile | None:
    """The action file as this process will read it; None where it is disabled."""
    from datahub_poller import config

    environ = {**os.environ, PROCESS: str(number)}
    try:
        return config.load_enabled(path, environ, container=config.look(environ))
    except ConfigError as error:
        fail_for(error.problems)


def _instance_ids(path: Path, first: ActionFile, count: int) -> Iterator[str | None]:
    """Each process's name as a static member of the group; nothing where there are none."""
    from datahub_poller.config import consumer_properties

    def of(action: ActionFile) -> str | None:
        return consumer_properties(action, os.environ)[0].get(INSTANCE_ID)

    yield (name := of(first))
    if name is not None:
        others = (_load(path, number) for number in range(1, count))
        yield from (of(action) for action in others if action is not None)


def _command(path: Path, debug: bool) -> list[str]:
    """The program as it was called, up to its arguments; then `run` for one of the processes."""
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return [sys.executable, *program, "run", "-c", str(path), *(["--debug"] if debug else [])]
