"""What this member knows of its group's first start on each topic, and writes beside every offset that it commits."""

from __future__ import annotations

from collections.abc import Mapping

from datahub_poller.model import TopicPartition
from datahub_poller.start import Mark, mark, mark_in, short_name


class Memory:
    """`partitions`: how many a topic had at the group's first start on it.

    `topic_ids`, of what is read now, may grow. A topic is known when the group has commits for it, or waits for it.
    """

    def __init__(self, topic_ids: Mapping[TopicPartition, str]) -> None:
        self.partitions: dict[str, int] = {}
        self._topic_ids = topic_ids
        self._known: frozenset[str] = frozenset()

    def know(self, topic: str) -> None:
        """Without a commit, the topic counts as newer than the group from now on."""
        self._known |= {short_name(topic)}

    def knows(self, topic: str) -> bool:
        """Whether the group had commits for it, or waited for it."""
        return short_name(topic) in self._known

    def beside(self, tp: TopicPartition, topic_id: str = "") -> str:
        """The metadata of a commit; `topic_id` where reading has not begun."""
        first = self.partitions.get(tp.topic)
        if first is None:
            return ""
        return mark(Mark(first, self._topic_ids.get(tp, topic_id), self._known | {short_name(tp.topic)}))

    def outdates(self, metadata: str) -> bool:
        """Whether a commit with this metadata remembers less than is known now."""
        stored = mark_in(metadata)
        return stored is None or not self._known <= stored.known
