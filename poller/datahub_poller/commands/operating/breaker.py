"""`breaker close`: accept the letters that an open breaker holds, and go on."""

from __future__ import annotations

import click

from datahub_poller.commands.operating.giving import EXIT_CODES, Giver, giving
from datahub_poller.commands.shared import verbatim


@click.group(short_help="Close the breaker of a running poller.")
def breaker() -> None:
    """The breaker of a running poller, which holds dead letters back when too many come in a row."""


@breaker.command(
    short_help="Accept the letters that it holds, and go on.",
    epilog=verbatim(f"""
What the open breaker holds is dead-lettered, and everything goes on as if a probe had
succeeded. It counts from nothing again: if as much fails once more, it opens once more.
{EXIT_CODES}
Examples:
  datahub-poller breaker close -c action.yaml --why 'tags that are gone'
  datahub-poller breaker close -c action.yaml --processes 4
"""),
)
@giving
def close(giver: Giver) -> None:
    """Close an open breaker: its letters are accepted and written, and all goes on."""
    from datahub_poller.orders import BreakerClose

    giver.give(BreakerClose())
