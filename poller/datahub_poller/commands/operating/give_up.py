"""`give-up`: dead-letter one record that does not get on, and go on behind it."""

from __future__ import annotations

import click

from datahub_poller.commands.operating.giving import EXIT_CODES, Giver, giving
from datahub_poller.commands.shared import verbatim


@click.command(
    "give-up",
    short_help="Dead-letter one record that is stuck, and go on.",
    epilog=verbatim(f"""
Without --yes it says what would be given up, and does nothing. With it, the record
becomes a dead letter that says who and why; its partition goes on when the letter is
acknowledged. failure_mode: THROW and an open breaker do not stop it.

A record can be given up while it waits: for its next try, for a schema, for a
breaker, or behind another that does. One in a running call cannot: pause the
partition, give it up when the call has returned, then resume.
{EXIT_CODES}
Examples:
  datahub-poller give-up PlatformEvent_v1 0 1042 -c action.yaml
  datahub-poller give-up PlatformEvent_v1 0 1042 -c action.yaml --yes --why 'tag is gone'
"""),
)
@click.argument("topic")
@click.argument("partition", type=click.IntRange(0, 2**31 - 1))
@click.argument("offset", type=click.IntRange(0, 2**63 - 1))
@click.option("--yes", is_flag=True, help="Do it; --why is needed.")
@giving
def give_up(giver: Giver, topic: str, partition: int, offset: int, yes: bool) -> None:
    """Give one record up: a dry run first, --yes does it. It becomes a dead letter, never a silent skip."""
    from datahub_poller.model import TopicPartition
    from datahub_poller.orders import GiveUp

    if yes and not giver.why:
        raise click.UsageError("--yes: say why, for the letter: --why TEXT.")
    tp = TopicPartition(topic, partition)
    if not yes:
        click.echo("datahub-poller: a dry run: nothing is done. --yes --why TEXT gives the record up", err=True)
    giver.give(GiveUp(tp, offset, look=not yes), tp)
