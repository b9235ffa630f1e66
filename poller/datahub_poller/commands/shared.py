"""What commands share: the action file's option, exit codes, and how a failure is told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from datahub_poller.errors import ConfigError

if TYPE_CHECKING:
    from datahub_poller.config import ActionFile

FAILED, WRONG_USE, NOT_STARTED = 1, 2, 3

ACTION_FILE = click.option(
    "-c",
    "--config",
    "path",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="The action file (YAML or JSON).",
)


def verbatim(text: str) -> str:
    """A text that click leaves as it is, line for line."""
    return "\n\n".join(f"\b\n{part}" for part in text.strip("\n").split("\n\n"))


def load(path: Path, as_json: bool = False) -> ActionFile:
    """The action file. Everything that is wrong with it is said at once, and ends the command."""
    from datahub_poller import config

    try:
        return config.load(path, os.environ, container=config.look(os.environ))
    except ConfigError as error:
        if as_json:
            found = [{"step": "action file", "verdict": "failed", "detail": each} for each in error.problems]
            click.echo(
                json.dumps({"file": str(path), "verdict": "failed", "findings": found, "settings": None}, indent=2)
            )
            sys.exit(WRONG_USE)
        fail_for(error.problems)


def start_logging(action: ActionFile, level: str) -> None:
    """To standard error, in the file's form and without its secrets."""
    from datahub_poller.config import secrets_of
    from datahub_poller.observe import logs

    logs.setup(level, action.logs.format, scrub=secrets_of(action, os.environ))


def fail(message: str, code: int) -> NoReturn:
    """Say it, and end."""
    click.echo(f"datahub-poller: {message}", err=True)
    sys.exit(code)


def fail_for(problems: Sequence[str]) -> NoReturn:
    """Say all of it, and end as for wrong use."""
    for problem in problems:
        click.echo(f"datahub-poller: {problem}", err=True)
    sys.exit(WRONG_USE)
