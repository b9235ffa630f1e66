"""`pause` and `resume`: hand out nothing new for a while, of an action, a topic or a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from datahub_poller.commands.operating.giving import EXIT_CODES, Giver, giving
from datahub_poller.commands.shared import verbatim
from datahub_poller.model import TopicPartition

if TYPE_CHECKING:
    from datahub_poller.orders import Scope

TOPIC = click.argument("topic", required=False)
PARTITION = click.argument("partition", type=click.IntRange(0, 2**31 - 1), required=False)


@click.command(
    short_help="Hand out nothing new for a while.",
    epilog=verbatim(f"""
Running calls finish, and what they did is committed. The poller stays in its group
and keeps its partitions; it reads ahead no more than its buffer holds. `status` says
who paused it, why and since when. A pause lasts until `resume`: a restart forgets it,
and a partition that moves to another process loses its own.
{EXIT_CODES}
Examples:
  datahub-poller pause -c action.yaml --why 'the service behind is being upgraded'
  datahub-poller pause PlatformEvent_v1 -c action.yaml
  datahub-poller pause PlatformEvent_v1 0 -c action.yaml
"""),
)
@TOPIC
@PARTITION
@giving
def pause(giver: Giver, topic: str | None, partition: int | None) -> None:
    """Pause the whole action, or the partitions of a TOPIC that the process holds, or one PARTITION."""
    from datahub_poller.orders import Pause

    giver.give(Pause(_scope(topic, partition)), _tp(topic, partition))


@click.command(
    short_help="Go on with what was paused.",
    epilog=verbatim(f"""
Without a topic everything goes on, whatever was paused. With one, what was paused by
itself does; where the whole action is paused, it stays so.
{EXIT_CODES}
Examples:
  datahub-poller resume -c action.yaml
  datahub-poller resume PlatformEvent_v1 0 -c action.yaml
"""),
)
@TOPIC
@PARTITION
@giving
def resume(giver: Giver, topic: str | None, partition: int | None) -> None:
    """Resume what was paused: everything, or the partitions of a TOPIC, or one PARTITION."""
    from datahub_poller.orders import Resume

    giver.give(Resume(_scope(topic, partition)), _tp(topic, partition))


def _scope(topic: str | None, partition: int | None) -> Scope:
    from datahub_poller.orders import Scope

    return Scope(topic, partition)


def _tp(topic: str | None, partition: int | None) -> TopicPartition | None:
    return None if topic is None or partition is None else TopicPartition(topic, partition)
