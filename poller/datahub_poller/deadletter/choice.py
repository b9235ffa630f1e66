"""Which dead letters are meant: by error, stage, place in Kafka, time, key, entity, name, and what was done with them.

Pure. What is empty means any. It must not know where letters lie, nor what is done with the chosen.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from datahub_poller.deadletter.found import Found

State = Literal["waiting", "redriven", "dropped"]
"""What the ledger says of a letter: nothing yet, that it was handed out again, or that it was given up for good."""

STATES: tuple[State, ...] = ("waiting", "redriven", "dropped")
WAITING: frozenset[State] = frozenset({"waiting"})


class Choice(NamedTuple):
    """A letter must meet every part that is not empty, and one value of each.

    `errors`, `topics`, `keys`, `urns` and `aspects` are globs, in which capital letters count; an error's glob may be
    for its class alone or for `class: message`. `since` and `until` are epoch seconds of when the record was given up,
    `until` itself not included. `ids` are as `is_named` takes them.
    """

    errors: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
    since: float | None = None
    until: float | None = None
    keys: tuple[str, ...] = ()
    urns: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    states: frozenset[State] = WAITING
    redrives_below: int | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the state is asked for."""
        return self._replace(states=WAITING) != Choice()


def matches(choice: Choice, found: Found, state: State) -> bool:
    """Whether this letter, in this state, is chosen. One without a time, place or key has none that could match."""
    return (
        (not choice.states or state in choice.states)
        and (not choice.stages or found.stage in choice.stages)
        and (choice.redrives_below is None or found.redrives < choice.redrives_below)
        and _in_time(choice, found.at)
        and _in_place(choice, found)
        and (not choice.errors or _any(choice.errors, found.kind) or _any(choice.errors, found.error))
        and (not choice.keys or _any(choice.keys, found.key))
        and (not choice.urns or _any(choice.urns, found.entity))
        and (not choice.aspects or _any(choice.aspects, found.aspect))
        and (not choice.ids or any(is_named(found, text) for text in choice.ids))
    )


def is_named(found: Found, text: str) -> bool:
    """Whether the text names this letter: its id, the beginning of it, or `topic-partition@offset`.

    A beginning ends between two parts of the id or within its last one: `topic/0/1` does not mean `topic/0/17/...`.
    """
    if text in (found.id, place_of(found)):
        return True
    if not text or not found.id.startswith(text):
        return False
    head, _, _ = found.id.rpartition("/")
    return len(text) > len(head) or text.endswith("/") or found.id[len(text)] == "/"


def place_of(found: Found) -> str | None:
    """`topic-partition@offset`, where the letter says one."""
    return None if found.tp is None or found.offset is None else f"{found.tp}@{found.offset}"


def _in_time(choice: Choice, at: float | None) -> bool:
    if choice.since is None and choice.until is None:
        return True
    return (
        at is not None and (choice.since is None or choice.since <= at) and (choice.until is None or at < choice.until)
    )


def _in_place(choice: Choice, found: Found) -> bool:
    if not choice.topics and not choice.partitions:
        return True
    if found.tp is None:
        return False
    topic, partition = found.tp
    return (not choice.topics or _any(choice.topics, topic)) and (
        not choice.partitions or partition in choice.partitions
    )


def _any(globs: tuple[str, ...], text: str | None) -> bool:
    return isinstance(text, str) and any(fnmatchcase(text, glob) for glob in globs)
