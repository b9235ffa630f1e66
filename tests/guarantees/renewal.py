"""A topic that was deleted and made again under its name: the same places mean other records before and after.

Pure. The later ones get the topic's name with a mark, so that the oracles take the two for two topics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from datahub_poller.model import TopicPartition
from guarantees.trace import Due, Trace
from support.recorded import Place

MARK = "-anew"


class Renewal(NamedTuple):
    """When a topic was deleted, and what was owed of it until then."""

    topic: str
    at: float
    due: Mapping[Place, Due]


def told_apart(trace: Trace, renewal: Renewal) -> None:
    """Mark what is of the topic's second life, and owe its first one's records as well."""
    topic, at = renewal.topic, renewal.at

    def place(each: Place, when: float) -> Place:
        return each._replace(topic=topic + MARK) if each.topic == topic and when >= at else each

    trace.due = {**{place(each, at): due for each, due in trace.due.items()}, **renewal.due}
    trace.calls = [
        replace(
            call,
            places=tuple(place(each, call.began) for each in call.places),
            done=frozenset(place(each, call.began) for each in call.done),
        )
        for call in trace.calls
    ]
    trace.commits = [
        commit._replace(tp=TopicPartition(topic + MARK, commit.tp.partition))
        if commit.tp.topic == topic and commit.at >= at
        else commit
        for commit in trace.commits
    ]
    trace.letters = [letter._replace(place=place(letter.place, letter.at)) for letter in trace.letters]
    trace.ownerships = [
        each._replace(
            held={
                client: held | {TopicPartition(topic + MARK, tp.partition) for tp in held if tp.topic == topic}
                for client, held in each.held.items()
            }
        )
        for each in trace.ownerships
    ]
