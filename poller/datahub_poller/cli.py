"""The commands. Exit codes: 0 stopped, 1 failed while running, 2 wrong use or configuration, 3 could not start.

Each command imports what it needs when it runs, so that `--help` is quick and the daemon stays small.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from datahub_poller import __version__
from datahub_poller.errors import CannotStart, ConfigError, PollerError

if TYPE_CHECKING:
    from datahub_poller.checking import Finding
    from datahub_poller.config import ActionFile

FAILED, WRONG_USE, NOT_STARTED = 1, 2, 3
DEFAULT_PORT = 8470
COLOURS = {"ok": "green", "failed": "red", "warning": "yellow", "skipped": "yellow"}

ACTION_FILE = click.option(
    "-c",
    "--config",
    "path",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="The action file (YAML or JSON).",
)


def _verbatim(text: str) -> str:
    """A text that click leaves as it is, line for line."""
    return "\n\n".join(f"\b\n{part}" for part in text.strip("\n").split("\n\n"))


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_verbatim("""
Examples:
  datahub-poller demo                  see it work, with nothing to connect to
  datahub-poller check -c action.yaml  try everything that `run` needs
  datahub-poller run -c action.yaml    consume until stopped
  datahub-poller status                what a running poller does and waits for

Exit codes: 0 stopped or all well, 1 failed while running,
2 wrong use or configuration, 3 could not start.
"""),
)
@click.version_option(__version__, prog_name="datahub-poller", message="%(prog)s %(version)s")
def cli() -> None:
    """Hand DataHub's change events to a function of yours: in batches, at least once, in order."""


@cli.command(
    short_help="Consume and call the handler, until stopped.",
    epilog=_verbatim("""
Ends in order on SIGTERM or Ctrl-C, within `shutdown.deadline`; a second signal
ends it at once. What it does is logged to standard error; what it is waiting
for, `datahub-poller status` tells.

Exit codes: 0 stopped, 1 failed while running (also when failure_mode: THROW
halts it), 2 wrong use or configuration, 3 could not start.

Examples:
  datahub-poller run -c action.yaml
  datahub-poller run -c action.yaml --status-port 8471 --debug
"""),
)
@ACTION_FILE
@click.option(
    "--status-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Use this instead of `status.port`; 0 takes any free one.",
)
@click.option("--debug", is_flag=True, help="Log everything, instead of `logs.level`.")
def run(path: Path, status_port: int | None, debug: bool) -> None:
    """Consume the action's topics and call its handler, until stopped."""
    action = _load(path)
    if not action.enabled:
        click.echo(f"datahub-poller: {path}: enabled is false: there is nothing to run", err=True)
        return
    _start_logging(action, "debug" if debug else action.logs.level)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a handler prints is seen when it prints it
    from datahub_poller.service import Service, leave

    try:
        code = Service(action, os.environ, action.status.port if status_port is None else status_port).run()
    except CannotStart as error:
        _tell_not_started(action, str(error))
        code = NOT_STARTED
    leave(code)


@cli.command(
    short_help="Try all that `run` needs, without consuming.",
    epilog=_verbatim("""
Imports the handler, writes to the dead-letter place, and asks the broker, each
topic and the registry. Joins no group and reads no record.

Exit codes: 0 all well (warnings included), 2 wrong use or configuration,
3 something failed.

Examples:
  datahub-poller check -c action.yaml
  datahub-poller check -c action.yaml --offline
  datahub-poller check -c action.yaml --json | jq .findings
"""),
)
@ACTION_FILE
@click.option("--offline", is_flag=True, help="Stop before connecting to anything.")
@click.option("--json", "as_json", is_flag=True, help="Print findings and settings as one JSON document.")
def check(path: Path, offline: bool, as_json: bool) -> None:
    """Print the effective settings, secrets masked, and try all that `run` needs, without consuming anything."""
    action = _load(path, as_json)
    _start_logging(action, "critical")
    from datahub_poller.checking import findings
    from datahub_poller.config import effective

    settings = effective(action, os.environ)
    if not as_json:
        _print_settings(settings)
    found = []
    for finding in findings(action, os.environ, offline):
        found.append(finding)
        if not as_json:
            _print_finding(finding)
    if as_json:
        _print_document(path, found, settings)
    else:
        _print_summary(found)
    if any(each.verdict == "failed" for each in found):
        sys.exit(NOT_STARTED)


@cli.command(
    short_help="Show what a running poller does and waits for.",
    epilog=_verbatim("""
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
        _fail(str(error), FAILED)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        render(document, sys.stdout)


@cli.command(
    short_help="See it work, with nothing to connect to.",
    epilog=_verbatim("""
Examples:
  datahub-poller demo
  datahub-poller demo --keep
"""),
)
@click.option("--keep", is_flag=True, help="Leave broker, registry and poller running until Ctrl-C.")
def demo(keep: bool) -> None:
    """See it work: a broker, registries and events of its own, a handler, and the real poller. Needs no network."""
    from rich.console import Console

    from datahub_poller.demo.run import run_demo

    sys.exit(run_demo(keep, Console()))


# -- the action file


def _load(path: Path, as_json: bool = False) -> ActionFile:
    from datahub_poller.config import load, look

    try:
        return load(path, os.environ, container=look(os.environ))
    except ConfigError as error:
        if as_json:
            found = [{"step": "action file", "verdict": "failed", "detail": each} for each in error.problems]
            click.echo(
                json.dumps({"file": str(path), "verdict": "failed", "findings": found, "settings": None}, indent=2)
            )
            sys.exit(WRONG_USE)
        _fail_for(error.problems)


def _port_of(path: Path) -> int:
    """The status port that a file names; where it names none that can be asked, this ends the command."""
    from datahub_poller.config import load

    try:
        port = load(path, os.environ).status.port
    except ConfigError as error:
        _fail_for([*error.problems, "the port can also be given by itself: --port PORT"])
    match port:
        case None:
            _fail(f"{path}: status.port is off: this poller cannot be asked", WRONG_USE)
        case 0:
            where = "its log line 'status is served' tells which. Give it with --port"
            _fail(f"{path}: status.port is 0, any free port: {where}", WRONG_USE)
    return port


# -- what is said


def _start_logging(action: ActionFile, level: str) -> None:
    from datahub_poller.config import secrets_of
    from datahub_poller.observe import logs

    logs.setup(level, action.logs.format, scrub=secrets_of(action, os.environ))


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"datahub-poller: {message}", err=True)
    sys.exit(code)


def _fail_for(problems: Sequence[str]) -> NoReturn:
    for problem in problems:
        click.echo(f"datahub-poller: {problem}", err=True)
    sys.exit(WRONG_USE)


def _tell_not_started(action: ActionFile, reason: str) -> None:
    """Once: as a line of the log for machines, or as a sentence for people."""
    from datahub_poller.config import secrets_of
    from datahub_poller.observe.logs import log_event
    from datahub_poller.observe.scrub import Scrubber

    first, _, stack = reason.partition("\n")
    if action.logs.format == "json":
        logger = logging.getLogger("datahub_poller")
        log_event(logger, logging.ERROR, "could not start", reason=first, details=stack or None)
        return
    more = " (`datahub-poller check` shows the stack)" if stack else ""
    message = Scrubber(secrets_of(action, os.environ)).text(f"could not start: {first}{more}")
    click.echo(f"datahub-poller: {message}", err=True)


def _print_settings(settings: Mapping[str, Any]) -> None:
    import yaml

    click.echo(f"# Effective settings of {settings['name']}, secrets masked\n")
    click.echo(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))


def _print_finding(finding: Finding) -> None:
    from datahub_poller.observe.scrub import one_line

    first, *more = finding.detail.splitlines()
    verdict = click.style(f"{finding.verdict:<8}", fg=COLOURS[finding.verdict])
    text = "\n".join([f"{verdict} {finding.step}: {one_line(first)}", *(f"    | {one_line(line)}" for line in more)])
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def _print_summary(found: Sequence[Finding]) -> None:
    failed = [each.step for each in found if each.verdict == "failed"]
    tried = sum(each.verdict in ("ok", "failed") for each in found)
    click.echo(f"\n{len(failed)} of {tried} failed: {', '.join(failed)}" if failed else f"\nall {tried} ok")


def _print_document(path: Path, found: Sequence[Finding], settings: Mapping[str, Any]) -> None:
    verdict = "failed" if any(each.verdict == "failed" for each in found) else "ok"
    findings = [each._asdict() for each in found]
    document = {"file": str(path), "verdict": verdict, "findings": findings, "settings": settings}
    click.echo(json.dumps(document, indent=2, default=str))


def main() -> None:
    """The console script."""
    try:
        cli(prog_name="datahub-poller")
    except OSError as error:  # of a closed pipe, click takes care
        if error.errno != errno.ENOSPC:
            raise
        click.echo(f"datahub-poller: the output cannot be written: {error.strerror}", err=True)
        os._exit(FAILED)  # in order, Python would try to write it again
