"""The commands. Exit codes: 0 stopped, 1 failed while running, 2 wrong use or configuration, 3 could not start.

Each command imports what it needs when it runs, so that `--help` is quick and the daemon stays small.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from datahub_poller import __version__
from datahub_poller.errors import CannotStart, ConfigError, PollerError

if TYPE_CHECKING:
    from datahub_poller.checking import Finding
    from datahub_poller.config import ActionFile

WRONG_USE, NOT_STARTED = 2, 3
DEFAULT_PORT = 8470
ENVIRONMENT_PORT = "DATAHUB_POLLER_STATUS_PORT"

ACTION_FILE = click.option(
    "-c", "--config", "path", required=True, type=click.Path(path_type=Path), help="The action file (YAML or JSON)."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="datahub-poller")
def cli() -> None:
    r"""Hand DataHub's change events to a function of yours: in batches, at least once, in order.

    \b
    Examples:
      datahub-poller demo                      see it work, with nothing to connect to
      datahub-poller check -c action.yaml      try everything that `run` needs
      datahub-poller run -c action.yaml        consume until stopped
      datahub-poller status                    what a running poller does, and what it waits for
    """


@cli.command()
@ACTION_FILE
@click.option("--status-port", type=click.IntRange(0, 65535), help="Instead of `status.port`; 0 takes any free port.")
@click.option("--debug", is_flag=True, help="Log at DEBUG.")
def run(path: Path, status_port: int | None, debug: bool) -> None:
    r"""Consume the action's topics and call its handler, until stopped.

    \b
    Ends in order on SIGTERM or Ctrl-C, within `shutdown.deadline`; a second signal ends it at once.
    Exit codes: 0 stopped, 1 failed while running (or halted by failure_mode: THROW),
    2 wrong configuration, 3 could not start.

    \b
    Example:
      datahub-poller run -c action.yaml --status-port 8471
    """
    action = _load(path)
    if not action.enabled:
        click.echo(f"{path}: enabled: false: nothing to run")
        return
    _start_logging(action, debug)
    from datahub_poller.service import Service

    try:
        code = Service(action, os.environ, action.status.port if status_port is None else status_port).run()
    except CannotStart as error:
        _fail(str(error), NOT_STARTED)
    sys.exit(code)


@cli.command()
@ACTION_FILE
@click.option("--offline", is_flag=True, help="Stop before connecting to anything.")
@click.option("--json", "as_json", is_flag=True, help="Findings and settings as one JSON document.")
def check(path: Path, offline: bool, as_json: bool) -> None:
    r"""Validate the file and try all that `run` needs, without consuming anything.

    Imports the handler, writes to the dead-letter place, and asks the broker, each topic and the registry.
    Prints the effective settings, secrets masked. Exit codes: 0 all well, 2 wrong configuration, 3 something failed.

    \b
    Examples:
      datahub-poller check -c action.yaml
      datahub-poller check -c action.yaml --offline --json
    """
    action = _load(path)
    _start_logging(action, debug=False, level="critical")
    from datahub_poller.checking import findings
    from datahub_poller.config import effective

    settings = effective(action, os.environ)
    found = []
    for finding in findings(action, os.environ, offline):
        found.append(finding)
        if not as_json:
            _print_finding(finding)
    if as_json:
        document = {"file": str(path), "findings": [each._asdict() for each in found], "settings": settings}
        click.echo(json.dumps(document, indent=2, default=str))
    else:
        _print_settings(action, settings)
    if any(each.verdict == "failed" for each in found):
        sys.exit(NOT_STARTED)


@cli.command()
@click.option("-c", "--config", "path", type=click.Path(path_type=Path), help="Take the port from this action file.")
@click.option("--port", type=click.IntRange(1, 65535), help=f"The status port [default: {DEFAULT_PORT}].")
@click.option("--json", "as_json", is_flag=True, help="The status as JSON.")
def status(path: Path | None, port: int | None, as_json: bool) -> None:
    r"""Show what a running poller does: each partition's state and reason, counters, what it waits for.

    \b
    Examples:
      datahub-poller status
      datahub-poller status -c action.yaml --json
    """
    from datahub_poller.observe.render import fetch_status, render

    if port is None and path is not None:
        port = _load(path).status.port
    try:
        document = fetch_status(DEFAULT_PORT if port is None else port)
    except PollerError as error:
        _fail(str(error), 1)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        render(document, sys.stdout)


@cli.command()
@click.option("--keep", is_flag=True, help="Leave broker, registry and poller running until Ctrl-C.")
def demo(keep: bool) -> None:
    """See it work: a broker, registries and events of its own, a handler, and the real poller. Needs no network."""
    from rich.console import Console

    from datahub_poller.demo.run import run_demo

    sys.exit(run_demo(keep, Console()))


def _load(path: Path) -> ActionFile:
    from datahub_poller.config import load, look

    try:
        return load(path, os.environ, container=look(os.environ))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"datahub-poller: {problem}", err=True)
        sys.exit(WRONG_USE)


def _start_logging(action: ActionFile, debug: bool, level: str | None = None) -> None:
    from datahub_poller.config import secrets_of
    from datahub_poller.observe import logs

    wanted = "debug" if debug else action.logs.level if level is None else level
    logs.setup(wanted, action.logs.format, scrub=secrets_of(action, os.environ))


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"datahub-poller: {message}", err=True)
    sys.exit(code)


def _print_finding(finding: Finding) -> None:
    colour = {"ok": "green", "failed": "red", "skipped": "yellow"}[finding.verdict]
    click.echo(f"{click.style(f'{finding.verdict:<8}', fg=colour)} {finding.step}: {finding.detail}")


def _print_settings(action: ActionFile, settings: dict[str, Any]) -> None:
    import yaml

    click.echo(f"\nEffective settings of {action.name} (secrets masked):\n")
    click.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


def main() -> None:
    """The console script."""
    cli(prog_name="datahub-poller")
