"""`dead-letters`: look at an action's dead letters, and decide what becomes of them."""

from __future__ import annotations

import click

from datahub_poller.commands.dead_letters.drop import drop
from datahub_poller.commands.dead_letters.list import list_letters
from datahub_poller.commands.dead_letters.redrive import redrive
from datahub_poller.commands.dead_letters.show import show
from datahub_poller.commands.dead_letters.stats import stats
from datahub_poller.commands.shared import verbatim


@click.group(
    "dead-letters",
    short_help="Look at dead letters, and decide what becomes of them.",
    epilog=verbatim("""
A letter is waiting until it is redriven or dropped; what was done with it stands
in a ledger beside the letters. The commands take the same options to say which
letters are meant, and look at those that are waiting if no --state is given.
GLOBs are as in a shell (* ? [abc]); capital letters count. An option that is given
again widens the choice, another option narrows it.

Examples:
  datahub-poller dead-letters list -c action.yaml --since 2h
  datahub-poller dead-letters stats -c action.yaml
  datahub-poller dead-letters show -c action.yaml PlatformEvent_v1-0@1042
  datahub-poller dead-letters drop -c action.yaml --error 'KeyError: *'
"""),
)
def dead_letters() -> None:
    """Look at the dead letters of an action, wherever its file lets them go, and decide what becomes of them."""


for command in (list_letters, show, stats, redrive, drop):
    dead_letters.add_command(command)
