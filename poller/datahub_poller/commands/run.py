"""`run`: consume and call the handler, until stopped."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datahub_poller.commands.shared import (
    ACTION_FILE,
    ENABLED_FALSE,
    NOT_STARTED,
    load_enabled,
    start_logging,
    verbatim,
)
from datahub_poller.errors import CannotStart
from datahub_poller.observe.standard_output import StandardOutput

if TYPE_CHECKING:
    from datahub_poller.config import ActionFile


@click.command(
    short_help="Consume and call the handler, until stopped.",
    epilog=verbatim("""
Ends in order on SIGTERM or Ctrl-C, within `shutdown.deadline`; a second signal
ends it at once. What it does is logged to standard error; what it is waiting
for, `datahub-poller status` tells.

With --processes N, N pollers share the partitions as members of one consumer
group. Signals are handed down to them, and none outlives the command. One that
dies is started again after 1 s, 2 s, 4 s and so on up to 60 s. All are stopped,
with the exit code of the one, when one cannot start the first time (2, 3), and
when one ends with 1 under failure_mode: THROW or on_gap: halt: its partitions
would go to the others, and halt them one by one. Process k, of 0 to N-1, has
k in the variable POLLER_PROCESS, in its log lines, and serves its status on
`status.port` + k: `datahub-poller status --port` asks one.

Exit codes: 0 stopped, 1 failed while running (also when failure_mode: THROW
halts it), 2 wrong use or configuration, 3 could not start.

Examples:
  datahub-poller run -c action.yaml
  datahub-poller run -c action.yaml --status-port 8471 --debug
  datahub-poller run -c action.yaml --processes 4
"""),
)
@ACTION_FILE
@click.option(
    "--status-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Use this instead of `status.port`; 0 takes any free one.",
)
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Run so many pollers, in one consumer group.",
)
@click.option("--debug", is_flag=True, help="Log everything, instead of `logs.level`.")
@click.option("--lifeline", type=click.IntRange(3), hidden=True)  # what `supervise` gives to its processes
def run(path: Path, status_port: int | None, processes: int, debug: bool, lifeline: int | None) -> None:
    """Consume the action's topics and call its handler, until stopped."""
    if processes > 1:
        from datahub_poller.commands.supervise import supervise

        sys.exit(supervise(path, processes, status_port, debug))
    action = load_enabled(path)
    if action is None:
        click.echo(f"datahub-poller: {path}: {ENABLED_FALSE}", err=True)
        return
    start_logging(action, "debug" if debug else action.logs.level)
    from datahub_poller.service import Service, leave

    output = _standard_output()
    kind = Service
    if lifeline is not None:
        from datahub_poller.member import Member, hold_on

        kind = Member
        hold_on(lifeline)
    try:
        code = kind(action, os.environ, action.status.port if status_port is None else status_port, output.line).run()
    except CannotStart as error:
        _tell_not_started(action, str(error))
        code = NOT_STARTED
    leave(code)


def _standard_output() -> StandardOutput:
    """What a handler prints is seen when it prints it, and no line of metrics begins in the middle of it."""
    if sys.stdout is None:  # it was closed from the beginning
        output = StandardOutput(os.open(os.devnull, os.O_WRONLY), _tell_lost)
        sys.stdout = output.text("utf-8")  # a handler may call its methods
        return output
    output = StandardOutput(sys.stdout.fileno(), _tell_lost, os.dup(sys.stdout.fileno()))
    sys.stdout.flush()
    sys.stdout = output.text(sys.stdout.encoding, sys.stdout.errors)
    return output


def _tell_lost(reason: str) -> None:
    """What a handler prints, and lines of metrics, go nowhere."""
    from datahub_poller.observe.logs import get_logger, log_event

    logger = get_logger("datahub_poller")
    log_event(logger, logging.WARNING, "standard output cannot be written: it is lost", reason=reason)


def _tell_not_started(action: ActionFile, reason: str) -> None:
    """Once: as a line of the log for machines, or as a sentence for people."""
    from datahub_poller.config import secrets_of
    from datahub_poller.observe.logs import get_logger, log_event, say
    from datahub_poller.observe.scrub import Scrubber

    first, _, stack = reason.partition("\n")
    if action.logs.format == "json":
        logger = get_logger("datahub_poller")
        log_event(logger, logging.ERROR, "could not start", reason=first, details=stack or None)
        return
    more = " (`datahub-poller check` shows the stack)" if stack else ""
    message = Scrubber(secrets_of(action, os.environ)).text(f"could not start: {first}{more}")
    say(f"datahub-poller: {message}")
