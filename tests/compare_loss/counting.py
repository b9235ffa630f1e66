"""What became of each record of a trace, counted from outside of the product.

Pure: what was produced, what the action wrote down, the dead letters in the files, and what the broker says the group
has committed. Nothing of it is a product's own word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from datahub_poller.model import TopicPartition
from support.recorded import Place


class Seen(NamedTuple):
    """A run's end. `acted` has a place for each time that the action finished with it, in order."""

    produced: Collection[Place]
    acted: Sequence[Place]
    lettered: Collection[Place]
    committed: Mapping[TopicPartition, int]


class Outcome(NamedTuple):
    """Numbers of records, but for the last two. Delivered, dead letters, waiting and lost are all of them."""

    produced: int
    delivered: int
    """Acted on at least once."""
    dead_letters: int
    """Kept as a dead letter, and never acted on."""
    waiting: int
    """Neither, and not below the committed offset: a healthy process would get it."""
    lost: int
    """Neither, and below the committed offset: nobody is going to see it again."""
    repeated: int
    """Deliveries beyond each record's first."""
    uncommitted: int
    """Delivered, and not below the committed offset: they come again at the next start."""
    restarts: int
    gave_up: bool
    """It ended by itself once more than the supervisor restarts."""

    @property
    def whole(self) -> bool:
        return not self.lost and not self.waiting


def counted(seen: Seen, restarts: int, gave_up: bool) -> Outcome:
    """Raises ValueError where the action or a letter names a record that was not produced."""
    produced, acted = set(seen.produced), set(seen.acted)
    if strange := sorted((acted | set(seen.lettered)) - produced):
        raise ValueError(f"{len(strange)} records that nobody produced, such as {strange[0]}")
    lettered = set(seen.lettered) - acted
    past = {place for place in produced if place.offset < seen.committed.get(place.tp, 0)}
    neither = produced - acted - lettered
    return Outcome(
        produced=len(produced),
        delivered=len(acted),
        dead_letters=len(lettered),
        waiting=len(neither - past),
        lost=len(neither & past),
        repeated=len(seen.acted) - len(acted),
        uncommitted=len(acted - past),
        restarts=restarts,
        gave_up=gave_up,
    )
