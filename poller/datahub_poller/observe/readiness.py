"""Whether a poller can work now: what `/readyz` answers. Being alive is another question, and `/livez` answers that.

Pure. A poller that is not ready is not to be restarted for it: what it waits for would not come any sooner.
"""

from __future__ import annotations

from typing import Final

from datahub_poller.observe.status import PartitionState, PollerStatus

_STANDS: Final[frozenset[PartitionState]] = frozenset(
    {"waiting_schema", "waiting_sink", "blocked", "breaker", "halted"}
)


def has_joined(status: PollerStatus | None) -> bool:
    """Whether the group has answered once, be it without partitions. Where no topic exists it is never asked."""
    if status is None or status.state == "starting":
        return False
    return not status.missing_topics or bool(status.counters.get("rebalances"))


def not_ready(status: PollerStatus | None) -> str | None:
    """Why it cannot work, in words; None where it can: it has partitions, and not all of them wait for something."""
    if status is None or status.state == "starting":
        return "starting: no partition has been assigned yet"
    if status.state in ("halted", "stopping"):
        return status.state
    if not status.partitions and status.missing_topics:
        return f"no partition is assigned: {', '.join(status.missing_topics)} does not exist"
    if not status.partitions:
        return "no partition is assigned: others of the group have them all, or the topics have none"
    if (trouble := next((reason for reason in status.reasons if reason.startswith("kafka: ")), None)) is not None:
        return trouble
    if all(each.state in _STANDS for each in status.partitions):
        first = status.partitions[0]
        return f"every partition stands still: {first.state.replace('_', ' ')}: {first.reason}".rstrip(": ")
    return None
