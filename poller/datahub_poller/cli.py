"""The command line. Exit codes: 0 stopped, 1 failed while running, 2 wrong use or configuration, 3 could not start.

Each command imports what it needs when it runs, so that `--help` is quick and the daemon stays small.
"""

from __future__ import annotations

import errno
import os
import sys

import click

from datahub_poller import __version__
from datahub_poller.commands.check import check
from datahub_poller.commands.dead_letters import dead_letters
from datahub_poller.commands.demo import demo
from datahub_poller.commands.explain import explain
from datahub_poller.commands.init import init
from datahub_poller.commands.operating import ORDERS
from datahub_poller.commands.run import run
from datahub_poller.commands.shared import FAILED, verbatim
from datahub_poller.commands.status import status
from datahub_poller.commands.tail import tail
from datahub_poller.observe.standard_error import hold_standard_descriptors
from datahub_poller.observe.standard_output import make_lenient


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=verbatim("""
Examples:
  datahub-poller demo                  see it work, with nothing to connect to
  datahub-poller init tag-sync         make the files of a first handler
  datahub-poller check -c action.yaml  try everything that `run` needs
  datahub-poller run -c action.yaml    consume until stopped
  datahub-poller status                what a running poller does and waits for
  datahub-poller explain               why a partition does not move
  datahub-poller pause --why upgrade   hand out nothing new for a while
  datahub-poller tail -c action.yaml   look at the events, outside of the group
  datahub-poller dead-letters list -c action.yaml  what was given up, and why

Exit codes: 0 stopped or all well, 1 failed while running,
2 wrong use or configuration, 3 could not start.
"""),
)
@click.version_option(__version__, prog_name="datahub-poller", message="%(prog)s %(version)s")
def cli() -> None:
    """Hand DataHub's change events to a function of yours: in batches, at least once, in order."""


for command in (run, check, status, explain, tail, dead_letters, *ORDERS, demo, init):
    cli.add_command(command)


def main() -> None:
    """The console script."""
    hold_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        make_lenient(stream)
    try:
        cli(prog_name="datahub-poller")
    except OSError as error:  # of a closed pipe, click takes care
        if error.errno != errno.ENOSPC:
            raise
        click.echo(f"datahub-poller: the output cannot be written: {error.strerror}", err=True)
        os._exit(FAILED)  # in order, Python would try to write it again
