"""What commands share: the action file's option, exit codes, and how a failure is told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from datahub_poller.errors import ConfigError

if TYPE_CHECKING:
    from datahub_poller.config import ActionFile

FAILED, WRONG_USE, NOT_STARTED = 1, 2, 3


def _only_one(_: click.Context, __: click.Parameter, paths: tuple[Path, ...]) -> Path | None:
    """Click would keep the last file and drop the others without a word."""
    if len(paths) > 1:
        given = " and ".join(str(path) for path in paths)
        raise click.UsageError(f"-c names {len(paths)} files: {given}. Give one: start one process per file.")
    return paths[0] if paths else None


def action_file(*, required: bool, help: str) -> Callable[[Any], Any]:  # noqa: A002 - click's own name
    """The option `-c`, the same for every command that has it."""
    return click.option(
        "-c",
        "--config",
        "path",
        metavar="FILE",
        required=required,
        multiple=True,
        callback=_only_one,
        type=click.Path(path_type=Path),
        help=help,
    )


ACTION_FILE = action_file(required=True, help="The action file (YAML or JSON).")
ENABLED_FALSE = "enabled is false: there is nothing to run"


def verbatim(text: str) -> str:
    """A text that click leaves as it is, line for line."""
    return "\n\n".join(f"\b\n{part}" for part in text.strip("\n").split("\n\n"))


def load_enabled(path: Path, as_json: bool = False) -> ActionFile | None:
    """The action file, None where it is disabled. Everything that is wrong with it is said, and ends the command."""
    from datahub_poller import config

    try:
        return config.load_enabled(path, os.environ, container=config.look(os.environ))
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
