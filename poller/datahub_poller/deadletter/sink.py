"""What every keeper of dead letters promises. It must not know what kind of place a letter goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from datahub_poller.deadletter.letter import Letter


class Sink(Protocol):
    """A place for dead letters. `check` and `write` block, and may be called from several threads at once."""

    @property
    def place(self) -> str:
        """Where letters go, for people: a directory, a topic, a queue's or a bucket's address. No secrets."""

    def check(self) -> None:
        """Try the place without leaving a letter. Raises CannotStart, with what to do about it."""

    def write(self, letters: Sequence[Letter]) -> None:
        """Returns only when all letters are durable. Raises Transient when they may not be: write them all again."""

    def close(self) -> None:
        """Let go of what is held, within a few seconds."""
