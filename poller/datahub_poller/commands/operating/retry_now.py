"""`retry-now`: end every wait of a running poller."""

from __future__ import annotations

import click

from datahub_poller.commands.operating.giving import EXIT_CODES, Giver, giving
from datahub_poller.commands.shared import verbatim


@click.command(
    "retry-now",
    short_help="Try now whatever waits for its time.",
    epilog=verbatim(f"""
For when what was broken is mended: back-offs, the waits for a schema and for the
place of dead letters, and an open breaker's pause end now. Attempts count as always,
and `batch.rate` holds as always.
{EXIT_CODES}
Examples:
  datahub-poller retry-now -c action.yaml
  datahub-poller retry-now --port 8471 --why 'the registry is back'
"""),
)
@giving
def retry_now(giver: Giver) -> None:
    """Let a running poller try at once whatever it would try later."""
    from datahub_poller.orders import RetryNow

    giver.give(RetryNow())
